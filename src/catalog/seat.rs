//! Renders nodes, settles their revisions, and hands them their truth.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rayon::prelude::*;

use crate::model::{
    NodeId, SubscriptionId,
    node::{NodeRecord, Own, Seed},
    node_config::{NodeConfig, Rendered},
};
use crate::store::{StoreError, Wanted};

use super::{cut, follow::Catalogue, render::render};

/// So many nodes are rendered and settled at a time; between, cut-offs have their turn. At 1 ms a node and one transaction a slice
/// a cut-off waits for 0.1 s.
const SLICE: usize = 64;

/// So many at the start, when nobody waits for anything but its end.
const SLICE_AT_START: usize = 1_024;

/// A node that was rendered and waits for its revision.
struct Candidate {
    record: Arc<NodeRecord>,
    rendered: Rendered,
}

/// What a slice is rendered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nobody is served yet: all processors may render.
    Start,
    /// The catalogue changed: without the store it has time.
    Change,
    /// This subscription must be gone from the configs: without the store it takes a provisional revision.
    CutOff(SubscriptionId),
}

impl Why {
    /// Nodes at a time.
    pub(super) const fn slice(self) -> usize {
        match self {
            Self::Start => SLICE_AT_START,
            Self::Change | Self::CutOff(_) => SLICE,
        }
    }

    /// While calls are answered, the other processors are for them.
    const fn on_all_processors(self) -> bool {
        matches!(self, Self::Start)
    }
}

impl Catalogue {
    /// Brings these nodes up to date. Those that could not be settled stay in `dirty`, and the error is given.
    pub(super) async fn seat(&mut self, nodes: &BTreeSet<NodeId>, why: Why) -> Result<(), StoreError> {
        let candidates = self.candidates(nodes, why);
        let wanted: Vec<Wanted> = candidates
            .iter()
            .filter_map(|candidate| self.wanted(candidate))
            .collect();
        let settled = if wanted.is_empty() {
            Ok(Vec::new())
        } else {
            self.store.settle_revisions(&wanted).await
        };
        match settled {
            Ok(revisions) => {
                let given = wanted.into_iter().map(|wanted| wanted.node).zip(revisions).collect();
                self.hand_out(candidates, &given);
                Ok(())
            }
            Err(error) => {
                self.do_without(candidates, why).await;
                Err(error)
            }
        }
    }

    fn candidates(&mut self, nodes: &BTreeSet<NodeId>, why: Why) -> Vec<Candidate> {
        for node in nodes {
            self.dirty.remove(node);
        }
        let records: Vec<_> = nodes
            .iter()
            .filter_map(|node| self.records.get(node).cloned())
            .collect();
        let rendered = self.rendered(&records, why);
        let pairs = records.into_iter().zip(rendered);
        pairs
            .filter_map(|(record, rendered)| {
                let rendered = rendered.or_else(|| self.not_rendered(record.id, why))?;
                Some(Candidate { record, rendered })
            })
            .collect()
    }

    /// Their configs, in order; `None` where rendering fell.
    fn rendered(&self, records: &[Arc<NodeRecord>], why: Why) -> Vec<Option<Rendered>> {
        let (renderer, snapshot, now) = (self.renderer, &self.snapshot, self.clock.now());
        let one = |record: &Arc<NodeRecord>| catch_unwind(AssertUnwindSafe(|| renderer(record, snapshot, now))).ok();
        if why.on_all_processors() {
            records.par_iter().map(one).collect()
        } else {
            records.iter().map(one).collect()
        }
    }

    /// What a node is given whose config can't be rendered, if anything.
    fn not_rendered(&mut self, node: NodeId, why: Why) -> Option<Rendered> {
        self.fallen.insert(node);
        metrics::counter!("core_render_failures_total").increment(1);
        tracing::error!(node = %node, "a config can't be rendered: the node keeps the last good one");
        let Why::CutOff(subscription) = why else { return None };
        cut::without(self.sink.current(node)?.as_ref(), subscription)
    }

    /// What the store must decide: a new content, or a revision that it has not heard of.
    fn wanted(&self, candidate: &Candidate) -> Option<Wanted> {
        let (node, hash) = (candidate.record.id, candidate.rendered.hash());
        let above = self.provisional.get(&node).copied().unwrap_or(0);
        (candidate.record.config_hash != Some(hash) || above > 0).then_some(Wanted { node, hash, above })
    }

    fn hand_out(&mut self, candidates: Vec<Candidate>, given: &std::collections::HashMap<NodeId, Option<i64>>) {
        for Candidate { record, rendered } in candidates {
            let current = self
                .sink
                .current(record.id)
                .filter(|current| current.hash() == rendered.hash());
            let revision = match given.get(&record.id) {
                // The same content keeps its number, which may have been lifted meanwhile.
                None => current.map_or(0, |current| current.revision()).max(record.revision),
                Some(Some(revision)) => *revision,
                // Deleted meanwhile: the next look takes it away.
                Some(None) => continue,
            };
            self.provisional.remove(&record.id);
            self.adopt(record, rendered, revision);
        }
    }

    /// Without the store: a cut-off takes the next number by itself, everything else waits.
    async fn do_without(&mut self, candidates: Vec<Candidate>, why: Why) {
        let mut cut = false;
        for Candidate { record, rendered } in candidates {
            self.dirty.insert(record.id);
            let current = self.sink.current(record.id);
            let changed = current.as_ref().is_none_or(|current| current.hash() != rendered.hash());
            if !matches!(why, Why::CutOff(_)) || !changed {
                continue;
            }
            let known = current
                .map_or(record.revision, |current| current.revision())
                .max(record.revision);
            let above = self.provisional.get(&record.id).copied().unwrap_or(0);
            let revision = known.max(above) + 1;
            self.provisional.insert(record.id, revision);
            self.adopt(record, rendered, revision);
            cut = true;
        }
        if cut {
            tracing::warn!("a cut-off took revisions without the store");
            self.sink.keep().await;
        }
    }

    fn adopt(&mut self, mut record: Arc<NodeRecord>, rendered: Rendered, revision: i64) {
        let hash = rendered.hash();
        let kept = self.sink.current(record.id).filter(|it| {
            it.revision() == revision && it.hash() == hash && it.problems() == rendered.problems.as_slice()
        });
        let config = kept.unwrap_or_else(|| Arc::new(NodeConfig::new(revision, rendered)));
        if (record.revision, record.config_hash) != (revision, Some(hash)) {
            let settled = Arc::make_mut(&mut record);
            (settled.revision, settled.config_hash) = (revision, Some(hash));
        }
        if !self.provisional.contains_key(&record.id) {
            self.records.insert(record.id, Arc::clone(&record));
        }
        let own = self.own(record.id);
        self.sink.adopt(Seed { record, own, config });
    }

    fn own(&mut self, node: NodeId) -> Own {
        let protocols = self.snapshot.protocols(node).iter().map(|row| row.id);
        let tags = self.snapshot.outbounds(node).iter().map(|row| row.tag.as_str());
        // The two that every node has from the start.
        let tags = tags.chain(["direct", "block"]).map(Box::from);
        let own = Own::new(protocols, tags);
        let present = self.snapshot.members_on(node);
        let clients = self.clients.entry(node).or_default();
        let followed = clients.follow(present, self.clock.now());
        if followed != **clients {
            *clients = Arc::new(followed);
        }
        own.with_clients(Arc::clone(clients))
    }
}

/// How a config is made; a test may put another in its place.
pub type Renderer = fn(&NodeRecord, &super::snapshot::Snapshot, crate::model::Time) -> Rendered;

/// The real one.
pub const RENDERER: Renderer = render;
