//! How nodes do: what they said last, what they say when they are asked, and how they did before.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{
    live_fetch::{LiveFetch, LookError},
    model::{NodeId, Time, stats::StatsSnapshot},
    node::LiveView,
};

use super::{AdminError, Desk};

/// How long an answer waits for what is kept beside memory.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// So many nodes may be looked at at once: more is no person who looks.
const LOOKS_MAX: usize = 64;

/// What is known of nodes that did not report since Core's start.
#[async_trait]
pub trait LastStats: Send + Sync + 'static {
    /// What the node reported last; none if that is not known.
    async fn last(&self, node: NodeId) -> Option<StatsSnapshot>;
}

/// Where a snapshot comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Core's memory.
    Memory,
    /// The mirror.
    Redis,
    /// The node itself, just now.
    Node,
}

/// How a node does.
#[derive(Debug, Clone)]
pub struct RuntimeStatus {
    /// Which.
    pub node: NodeId,
    /// As of now.
    pub now: Time,
    /// Who says so.
    pub source: Source,
    /// What; none if it never said anything.
    pub stats: Option<Arc<StatsSnapshot>>,
}

/// What became of a live look.
pub type Looked = Result<Arc<StatsSnapshot>, LookError>;

/// The looks that are under way, at most one a node: who comes meanwhile gets the same answer.
pub struct Looks {
    fetch: LiveFetch,
    under_way: Mutex<HashMap<NodeId, Look>>,
}

type Look = watch::Receiver<Option<Looked>>;

impl Looks {
    /// None is under way yet.
    pub fn new(fetch: LiveFetch) -> Self {
        Self {
            fetch,
            under_way: Mutex::default(),
        }
    }

    /// The look at this node that is under way, or a new one: it goes on to its end whether anybody waits for it or not.
    fn begin(self: &Arc<Self>, desk: &Desk, node: NodeId, address: SocketAddr) -> Result<Look, AdminError> {
        let mut under_way = self.under_way();
        // One that fell told nobody.
        under_way.retain(|_, look| look.has_changed().is_ok());
        if let Some(look) = under_way.get(&node) {
            return Ok(look.clone());
        }
        if under_way.len() >= LOOKS_MAX {
            return Err(AdminError::Busy("too many nodes are looked at now"));
        }
        let (tell, look) = watch::channel(None);
        under_way.insert(node, look.clone());
        drop(under_way);
        let (looks, key, now) = (Arc::clone(self), desk.keys.last_used(node), desk.clock.now());
        tokio::spawn(async move {
            let looked = looks.fetch.look(address, key, now).await;
            looks.under_way().remove(&node);
            tell.send_replace(Some(looked.map(Arc::new)));
        });
        Ok(look)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<NodeId, Look>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// What a node said last of its machine and its users.
    pub async fn live(&self, id: NodeId) -> Result<LiveView, AdminError> {
        Ok(self.nodes.live(id).await?)
    }

    /// How a node did when it last said so: memory knows, or else the mirror.
    pub async fn runtime_status(&self, id: NodeId) -> Result<RuntimeStatus, AdminError> {
        let (mut stats, mut source) = (self.live(id).await?.stats, Source::Memory);
        if let (None, Some(last)) = (&stats, &self.last_stats) {
            let found = tokio::time::timeout(LAST_WAIT, last.last(id)).await;
            if let Some(found) = found.ok().flatten() {
                (stats, source) = (Some(Arc::new(found)), Source::Redis);
            }
        }
        Ok(self.status(id, source, stats))
    }

    /// Asks a node itself, at its registered address.
    pub async fn look(&self, id: NodeId) -> Result<Result<RuntimeStatus, LookError>, AdminError> {
        let record = &self.node(id)?.seed.record;
        let mut look = self.looks.begin(self, id, SocketAddr::new(record.ip, record.port))?;
        let looked = match look.wait_for(Option::is_some).await {
            Ok(looked) => looked.clone(),
            Err(_) => None,
        };
        let looked = looked.unwrap_or_else(|| Err(LookError::Unreachable("Core gave up".to_owned())));
        Ok(looked.map(|stats| self.status(id, Source::Node, Some(stats))))
    }

    fn status(&self, node: NodeId, source: Source, stats: Option<Arc<StatsSnapshot>>) -> RuntimeStatus {
        RuntimeStatus {
            node,
            now: self.clock.now(),
            source,
            stats,
        }
    }
}
