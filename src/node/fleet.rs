//! All nodes at once, without asking an actor: lists, the watchdog, the state saver, the snapshot.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use crate::model::{
    NodeId,
    event::{Happening, NodeFacts, NodeNews},
    node::{Seed, StoredState},
};

use super::{
    actor::Leave,
    liveness::{Judgement, Pulse},
    registry::{Nodes, deliver},
    slot::NodeView,
    vitals::{Life, Vitals},
};

impl Nodes {
    /// One node.
    pub fn view(&self, node: NodeId) -> Option<NodeView> {
        let now = self.shared.around.clock.now();
        self.shared.slots.get(&node).map(|slot| slot.view(now))
    }

    /// Whether there is such a node.
    pub fn knows(&self, node: NodeId) -> bool {
        self.shared.slots.contains_key(&node)
    }

    /// The nodes below `before`, newest first.
    pub fn list(&self, before: Option<NodeId>, limit: usize) -> Vec<NodeView> {
        let mut ids: Vec<NodeId> = self
            .shared
            .slots
            .iter()
            .map(|it| *it.key())
            .filter(|id| before.is_none_or(|before| *id < before))
            .collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.truncate(limit);
        ids.into_iter().filter_map(|id| self.view(id)).collect()
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.shared.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shared.slots.is_empty()
    }

    /// Forgets all nodes but these; gives those that were forgotten.
    pub fn retain(&self, keep: &HashSet<NodeId>) -> Vec<NodeId> {
        let mut gone = Vec::new();
        self.shared.slots.retain(|id, slot| {
            let stays = keep.contains(id);
            if !stays {
                self.shared.edition.fetch_add(1, Relaxed);
                slot.actor.take().inspect(|home| deliver(&home.addr, Leave));
                gone.push(*id);
            }
            stays
        });
        gone
    }

    /// What was made durable but had not reached the store when Core stopped: the node's state is what it says.
    pub fn restore(&self, node: NodeId, change: impl FnOnce(StoredState, i64) -> StoredState) {
        if let Some(mut slot) = self.shared.slots.get_mut(&node) {
            let desired = slot.seed.config.revision();
            slot.vitals = Arc::new(Vitals::new(change(slot.vitals.state(), desired)));
        }
    }

    /// All that must be known to serve the nodes without a store, and its edition.
    pub fn export(&self) -> (u64, Vec<(Arc<Seed>, StoredState)>) {
        let edition = self.shared.edition.load(Relaxed);
        (
            edition,
            self.shared
                .slots
                .iter()
                .map(|slot| (Arc::clone(&slot.seed), slot.vitals.state()))
                .collect(),
        )
    }

    /// The states of all nodes.
    pub fn states(&self) -> Vec<(NodeId, StoredState)> {
        self.shared
            .slots
            .iter()
            .map(|slot| (*slot.key(), slot.vitals.state()))
            .collect()
    }

    /// What the watchdog looks at.
    pub fn pulses(&self) -> Vec<Pulse> {
        let pulse = |id: NodeId, vitals: &Vitals| Pulse {
            node: id,
            life: vitals.life(),
            last_seen: vitals.last_seen(),
            beat_interval: Duration::from_millis(u64::try_from(vitals.beat_interval()).unwrap_or(0)),
        };
        self.shared
            .slots
            .iter()
            .map(|slot| pulse(*slot.key(), &slot.vitals))
            .collect()
    }

    /// What the watchdog found. A node that called meanwhile is not touched.
    pub fn judge(&self, judgement: &Judgement) {
        let events = &self.shared.around.events;
        if let Some((lost, of)) = judgement.mass_loss {
            metrics::counter!("core_mass_losses_total").increment(1);
            tracing::error!(
                lost,
                of,
                "most of the fleet stopped calling at once: is it the nodes, or the way to them?"
            );
            events.publish(Happening::MassLoss { lost, of });
        }
        for (node, from, to) in &judgement.changes {
            let changed = self
                .shared
                .slots
                .get(node)
                .is_some_and(|slot| slot.vitals.judge(*from, *to));
            if changed {
                tracing::warn!(node = %node, from = ?from, to = ?to, "a node stopped calling");
                let news = if *to == Life::Unknown {
                    NodeNews::Unknown
                } else {
                    NodeNews::Offline
                };
                events.publish(Happening::Node(news, *node, NodeFacts::default()));
            }
        }
        if let Some((back, offline)) = judgement.recovered {
            tracing::warn!(back, offline, "the mass loss is over");
            events.publish(Happening::Recovered { back, offline });
        }
    }
}
