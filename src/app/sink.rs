//! The peers of the heart do not know each other: here one leads to the other.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, OnceLock},
};

use actix::Addr;
use async_trait::async_trait;
use tokio::sync::Mutex;

use crate::{
    catalog::{NodeSink, ledger::Ledger},
    flush::TakeOver,
    jobs::samples::Collector,
    mirror::Mirror,
    model::{
        NodeId, SubscriptionId,
        entry::{Entry, Payload},
        node::{NodeKey, Seed},
        node_config::NodeConfig,
        presence::OnlineSet,
        quota::Quota,
        stats::StatsSnapshot,
    },
    node::{Audience, Meter, keys::Keys, registry::Nodes},
    presence::actor::{Heard, PresenceActor},
};

use super::snapshot::Snapshots;

/// Leads the catalogue's truth to the nodes and the keys.
pub struct Seats {
    nodes: Nodes,
    keys: Arc<Keys>,
    mirror: Option<Mirror>,
    snapshots: OnceLock<Arc<Mutex<Snapshots>>>,
}

impl Seats {
    /// For these nodes and keys, and the mirror that holds things of them.
    pub const fn new(nodes: Nodes, keys: Arc<Keys>, mirror: Option<Mirror>) -> Self {
        Self {
            nodes,
            keys,
            mirror,
            snapshots: OnceLock::new(),
        }
    }

    /// Where things are kept without the store; told once.
    pub fn keep_in(&self, snapshots: Arc<Mutex<Snapshots>>) {
        if self.snapshots.set(snapshots).is_err() {
            tracing::error!("the seats have snapshots already");
        }
    }
}

#[async_trait]
impl NodeSink for Seats {
    fn current(&self, node: NodeId) -> Option<Arc<NodeConfig>> {
        self.nodes.current_config(node)
    }

    fn adopt(&self, seed: Seed) {
        self.nodes.adopt(seed);
    }

    fn complete(&self, nodes: &HashSet<NodeId>, keys: Vec<NodeKey>) {
        let gone = self.nodes.retain(nodes);
        if let Some(mirror) = &self.mirror {
            gone.iter().for_each(|node| mirror.forget(*node));
        }
        self.keys.replace(&keys);
    }

    async fn keep(&self) {
        if let Some(snapshots) = self.snapshots.get() {
            snapshots.lock().await.save().await;
        }
    }
}

/// Leads what was acknowledged, and what was taken over, to the ledger of quotas.
pub struct Counting(pub Arc<Ledger>);

impl Meter for Counting {
    fn acknowledged(&self, entry: &Entry, multiplier: f64) {
        let Payload::Usage(report) = &entry.payload else { return };
        for row in report.counted() {
            if let Some(subscription) = row.subscription {
                self.0.count(subscription, row.bytes(), multiplier);
            }
        }
    }

    fn knows(&self, subscription: SubscriptionId) -> bool {
        self.0.knows(subscription)
    }
}

impl TakeOver for Counting {
    fn taken_over(&self, bytes: &BTreeMap<SubscriptionId, i64>, counted: &[Quota]) {
        let counted: BTreeMap<SubscriptionId, Quota> =
            counted.iter().map(|quota| (quota.subscription, *quota)).collect();
        for (subscription, bytes) in bytes {
            self.0
                .taken_over(*subscription, *bytes, counted.get(subscription).copied());
        }
    }
}

/// Leads what nodes say of their users and machines to those who follow it. Who is too busy misses a report, and has the node's next one.
pub struct Hearers {
    /// Knows who is online anywhere, and shows it to the mirror.
    pub presence: Addr<PresenceActor>,
    /// What keeps Redis as memory is.
    pub mirror: Option<Mirror>,
    /// What takes a sample a minute to the store.
    pub samples: Arc<Collector>,
}

impl Audience for Hearers {
    fn online(&self, set: &Arc<OnlineSet>) {
        if self.presence.try_send(Heard(Arc::clone(set))).is_err() {
            metrics::counter!("core_online_reports_missed_total").increment(1);
        }
    }

    fn stats(&self, node: NodeId, snapshot: &Arc<StatsSnapshot>) {
        if let Some(mirror) = &self.mirror {
            mirror.stats(node, snapshot);
        }
        self.samples.note(node, snapshot.received_at, &snapshot.system);
    }
}
