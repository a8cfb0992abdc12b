//! The door to all nodes: finds a node's actor, starts it where its first call landed, asks it within a deadline, and revives it
//! when it fell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::{Actor as _, Addr, ArbiterHandle, Handler, Message, dev::ToEnvelope};
use dashmap::DashMap;

use crate::{
    model::{
        NodeId,
        event::{Happening, NodeFacts, NodeNews},
        node::{NodePatch, Seed},
        node_config::NodeConfig,
        stats::StatsPoint,
    },
    store::{Change, Store},
};

use super::{
    ConfirmApplied, Heartbeat, LiveView, NodeError, OutboundReport, Receipt, ReportError, ReportOnline, ReportStats,
    SessionReport, Surroundings, UsageReport,
    actor::{Adopt, GetConfig, Lately, NodeActor, Retry, Show},
    slot::{Home, Slot, settle_without_actor},
    state::Verdict,
};

/// How long a call may wait for its node's actor. An actor answers in microseconds; a report waits for its `fdatasync`, on a sick disk for
/// seconds. Agents give up after about 10 s.
const ASK_DEADLINE: Duration = Duration::from_secs(8);

/// A reported revision above this can't be one of ours: JSON numbers are exact up to here.
const REVISION_MAX: i64 = 1 << 53;

/// All nodes. Cheap to clone; a clone made by [`Nodes::at`] starts actors on its own shard.
#[derive(Clone)]
pub struct Nodes {
    pub(super) shared: Arc<Shared>,
    home: Option<usize>,
}

pub(super) struct Shared {
    pub(super) slots: DashMap<NodeId, Slot>,
    shards: Vec<ArbiterHandle>,
    store: Arc<dyn Store>,
    pub(super) around: Surroundings,
    /// Moves with every seed, so that a snapshot knows whether it is old.
    pub(super) edition: AtomicU64,
}

impl Nodes {
    /// A registry without nodes, whose actors will live on these shards.
    pub fn new(shards: Vec<ArbiterHandle>, store: Arc<dyn Store>, around: Surroundings) -> Self {
        assert!(!shards.is_empty(), "actors need a shard");
        let shared = Shared {
            slots: DashMap::new(),
            shards,
            store,
            around,
            edition: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
            home: None,
        }
    }

    /// The same registry for calls that land on this shard.
    pub fn at(&self, shard: usize) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            home: Some(shard),
        }
    }

    /// A sign of life: the node showed its key, whatever its call comes to.
    pub fn seen(&self, node: NodeId) {
        let Some(slot) = self.shared.slots.get(&node) else {
            return;
        };
        if slot.vitals.seen(self.shared.around.clock.now()) {
            tracing::info!(node = %node, "a node is online");
            drop(slot);
            let news = Happening::Node(NodeNews::Online, node, NodeFacts::default());
            self.shared.around.events.publish(news);
        }
    }

    /// Decides a heartbeat: whether the node should pull its config.
    pub async fn heartbeat(&self, node: NodeId, heartbeat: Heartbeat) -> Result<bool, NodeError> {
        let verdict = self.send(node, heartbeat).await?;
        if let Some(ip) = heartbeat.ip {
            self.note_address(node, ip);
        }
        match verdict {
            Verdict::InSync => Ok(false),
            Verdict::NeedSync => Ok(true),
            Verdict::Ahead => Ok(self.overtake(node, heartbeat.revision).await),
        }
    }

    /// Takes a usage report; it is durable when this returns.
    pub async fn usage(&self, node: NodeId, report: UsageReport) -> Result<Receipt, NodeError> {
        self.send(node, report).await?
    }

    /// Takes an outbound-usage report; it is durable when this returns.
    pub async fn outbound_usage(&self, node: NodeId, report: OutboundReport) -> Result<Receipt, NodeError> {
        self.send(node, report).await?
    }

    /// Takes a session-events report; it is durable when this returns.
    pub async fn session_events(&self, node: NodeId, report: SessionReport) -> Result<Receipt, NodeError> {
        self.send(node, report).await?
    }

    /// The config that the node should run.
    pub async fn config(&self, node: NodeId) -> Result<Arc<NodeConfig>, NodeError> {
        self.send(node, GetConfig).await
    }

    /// Takes the confirmation of a revision; it is durable when this returns.
    pub async fn confirm_applied(&self, node: NodeId, confirm: ConfirmApplied) -> Result<(), NodeError> {
        self.send(node, confirm).await?
    }

    /// Takes an error; it is durable when this returns.
    pub async fn report_error(&self, node: NodeId, error: ReportError) -> Result<(), NodeError> {
        self.send(node, error).await?
    }

    /// Takes a snapshot of the machine.
    pub async fn stats(&self, node: NodeId, stats: ReportStats) -> Result<(), NodeError> {
        self.send(node, stats).await
    }

    /// Takes the full set of connected users.
    pub async fn online(&self, node: NodeId, online: ReportOnline) -> Result<(), NodeError> {
        self.send(node, online).await
    }

    /// The node's live side.
    pub async fn live(&self, node: NodeId) -> Result<LiveView, NodeError> {
        self.send(node, Show).await
    }

    /// How the node's machine was in the last 15 minutes, oldest first.
    pub async fn lately(&self, node: NodeId) -> Result<Vec<StatsPoint>, NodeError> {
        self.send(node, Lately).await
    }

    /// An admin says: try again now.
    pub async fn retry_config(&self, node: NodeId) -> Result<(), NodeError> {
        self.send(node, Retry).await
    }

    /// The config that a node has now.
    pub fn current_config(&self, node: NodeId) -> Option<Arc<NodeConfig>> {
        self.shared.slots.get(&node).map(|slot| Arc::clone(&slot.seed.config))
    }

    /// A new node, or a new truth about one.
    pub fn adopt(&self, seed: Seed) {
        let id = seed.record.id;
        let seed = Arc::new(seed);
        let mut slot = self
            .shared
            .slots
            .entry(id)
            .or_insert_with(|| Slot::new(Arc::clone(&seed)));
        if !Arc::ptr_eq(&slot.seed, &seed) && *slot.seed == *seed {
            return;
        }
        self.seat(&mut slot, seed);
    }

    /// Gives a slot its seed. The actor is told while the slot is held, so that it hears of seeds in their order.
    fn seat(&self, slot: &mut Slot, seed: Arc<Seed>) {
        slot.seed = Arc::clone(&seed);
        self.shared.edition.fetch_add(1, Relaxed);
        match &slot.actor {
            Some(home) => deliver(&home.addr, Adopt(seed)),
            None => settle_without_actor(&slot.vitals, &seed),
        }
    }

    /// Asks a node's actor; not a sign of the node's life.
    pub async fn send<M>(&self, node: NodeId, message: M) -> Result<M::Result, NodeError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        NodeActor: Handler<M>,
        actix::Context<NodeActor>: ToEnvelope<NodeActor, M>,
    {
        let home = self.find(node)?;
        if self.home.is_some_and(|here| here != home.shard) {
            metrics::counter!("core_node_calls_crossing_total").increment(1);
        }
        home.addr.send(message).timeout(ASK_DEADLINE).await.map_err(|error| {
            metrics::counter!("core_node_calls_failed_total").increment(1);
            tracing::warn!(node = %node, %error, "a node's actor did not answer");
            NodeError::Busy
        })
    }

    /// The actor of a node: the one that runs, or a new one.
    fn find(&self, node: NodeId) -> Result<Home, NodeError> {
        let slot = self.shared.slots.get(&node).ok_or(NodeError::Missing)?;
        if let Some(home) = slot.actor.as_ref().filter(|home| home.addr.connected()) {
            return Ok(home.clone());
        }
        drop(slot);
        let mut slot = self.shared.slots.get_mut(&node).ok_or(NodeError::Missing)?;
        match &slot.actor {
            Some(home) if home.addr.connected() => return Ok(home.clone()),
            Some(_) => slot.fell(node, self.shared.around.clock.now()),
            None => {}
        }
        if self.shared.around.clock.now() < slot.not_before {
            return Err(NodeError::Busy);
        }
        let home = self.start(node, &slot);
        slot.actor = Some(home.clone());
        Ok(home)
    }

    fn start(&self, node: NodeId, slot: &Slot) -> Home {
        let shards = &self.shared.shards;
        let spread = || usize::try_from(node.0.unsigned_abs() % shards.len() as u64).unwrap_or(0);
        let shard = self.home.unwrap_or_else(spread);
        let (seed, vitals) = (Arc::clone(&slot.seed), Arc::clone(&slot.vitals));
        let around = self.shared.around.clone();
        let addr = NodeActor::start_in_arbiter(&shards[shard], move |_| NodeActor::new(seed, vitals, around));
        Home { shard, addr }
    }

    /// The node runs a revision above the one that is known. If the store knows no better, the desired revision moves past it, so that one
    /// number never names two configs. Without the store nothing is decided.
    async fn overtake(&self, node: NodeId, reported: i64) -> bool {
        if reported > REVISION_MAX {
            metrics::counter!("core_absurd_revisions_total").increment(1);
            return true;
        }
        match self.shared.store.raise_revision(node, reported).await {
            Ok(Some(revision)) => {
                tracing::warn!(node = %node, reported, revision, "a node runs a revision that was never given out");
                self.renumber(node, revision);
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(node = %node, reported, %error, "a node's revision can't be checked now");
                false
            }
        }
    }

    /// Puts the node's config under a higher revision. The copy is made without holding the slot, for a config may be large; if another
    /// config came meanwhile, that one counts.
    fn renumber(&self, node: NodeId, revision: i64) {
        while let Some(read) = self.current_config(node).filter(|config| config.revision() < revision) {
            let lifted = Arc::new(read.with_revision(revision));
            let Some(mut slot) = self.shared.slots.get_mut(&node) else {
                return;
            };
            if let Some(seed) = slot.renumbered(&read, lifted) {
                self.seat(&mut slot, Arc::new(seed));
                return;
            }
        }
    }

    /// A changed address goes to the store, off the path of the call; the catalogue brings it back from there.
    fn note_address(&self, node: NodeId, ip: std::net::IpAddr) {
        let Some(slot) = self.shared.slots.get(&node) else {
            return;
        };
        if slot.seed.record.ip == ip || !slot.vitals.start_moving() {
            return;
        }
        let vitals = Arc::clone(&slot.vitals);
        drop(slot);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let patch = NodePatch {
                ip: Some(ip),
                ..NodePatch::default()
            };
            let by = Change {
                actor: format!("node {node}"),
                address: None,
                request_id: None,
                at: shared.around.clock.now(),
            };
            match shared.store.patch_node(node, patch, None, &by).await {
                Ok(_) => tracing::info!(node = %node, %ip, "a node has a new address"),
                Err(error) => tracing::warn!(node = %node, %error, "a node's new address can't be kept now"),
            }
            vitals.stop_moving();
        });
    }
}

/// Hands a message over without waiting for the actor; the task waits for room in the mailbox.
pub(super) fn deliver<M>(addr: &Addr<NodeActor>, message: M)
where
    M: Message<Result = ()> + Send + 'static,
    NodeActor: Handler<M>,
    actix::Context<NodeActor>: ToEnvelope<NodeActor, M>,
{
    let sent = addr.send(message);
    tokio::spawn(async move {
        if sent.await.is_err() {
            tracing::debug!("an actor was gone before it heard the news");
        }
    });
}
