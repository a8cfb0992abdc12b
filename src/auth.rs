//! Who calls: nodes by their keys, admins by their tokens.

pub mod address;
pub mod admins;
pub mod guard;
pub mod limits;
pub mod registration;

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use crate::{
    clock::Clock,
    model::{
        NodeId,
        node::NodeKey,
        secrets::{SecretHash, is_well_formed_node_key},
    },
    node::{keys::Keys, registry::Nodes},
    store::Store,
};

use guard::Guard;
use limits::{Call, TooMany};

/// How many unknown keys may be looked up in the store at a time: strangers must not keep it busy.
const LOOKUPS_MAX: usize = 8;

/// How many of those from addresses that have shown too many keys that are none: a good one among them may wait, but the others' do not wait for it.
const SUSPECT_LOOKUPS_MAX: usize = 1;

/// How long a call with an unknown key waits for its turn and its look-up together.
const LOOKUP_WAIT: Duration = Duration::from_secs(2);

/// Knows nodes by their keys.
pub struct Authenticator {
    keys: Arc<Keys>,
    nodes: Nodes,
    store: Arc<dyn Store>,
    lookups: Semaphore,
    suspect_lookups: Semaphore,
    guard: Arc<Guard>,
    clock: Clock,
}

/// A node that has shown its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Which.
    pub node: NodeId,
}

/// Why nobody was let in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No key, an unknown key, a dead key: never said which.
    #[error("the auth key is missing or not valid")]
    Unknown,
    /// The key may be good, but the store that would know is away.
    #[error("the auth key can't be checked now")]
    Unsure,
    /// Too many calls: of this address without a good key, or of this node.
    #[error("too many calls: come back in {} s", whole_seconds(*.0))]
    TooMany(Duration),
}

/// The seconds after which somebody may come back, at least one.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

impl From<TooMany> for AuthError {
    fn from(TooMany(wait): TooMany) -> Self {
        Self::TooMany(wait)
    }
}

impl Authenticator {
    /// An authenticator that knows these keys and nodes.
    pub fn new(keys: Arc<Keys>, nodes: Nodes, store: Arc<dyn Store>, guard: Arc<Guard>, clock: Clock) -> Self {
        Self {
            keys,
            nodes,
            store,
            lookups: Semaphore::new(LOOKUPS_MAX),
            suspect_lookups: Semaphore::new(SUSPECT_LOOKUPS_MAX),
            guard,
            clock,
        }
    }

    /// Who looks at addresses and rates.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Lets a node in for a call, and notes the sign of its life. A good key is never refused for what its address did before.
    pub async fn admit(&self, key: &str, from: IpAddr, call: Call) -> Result<Caller, AuthError> {
        let caller = self.node(key, from).await?;
        self.nodes.seen(caller.node);
        self.guard.node(caller.node, call)?;
        Ok(caller)
    }

    /// Whose key it is. A known key costs one hash and one look into memory.
    async fn node(&self, key: &str, from: IpAddr) -> Result<Caller, AuthError> {
        let hash = SecretHash::of(key);
        let now = self.clock.now();
        if let Some(node) = self.keys.find(hash, now) {
            return Ok(Caller { node });
        }
        let within = self.guard.auth_failure(from);
        let refused = || within.map_or_else(AuthError::from, |()| AuthError::Unknown);
        if !is_well_formed_node_key(key) {
            return Err(refused());
        }
        let turns = if within.is_ok() {
            &self.lookups
        } else {
            &self.suspect_lookups
        };
        let looking = tokio::time::timeout(LOOKUP_WAIT, self.look_up(hash, turns));
        match looking.await.map_err(|_| AuthError::Unsure)?? {
            // A node that registered while nobody could tell us: it is let in as soon as the catalogue has brought it.
            Some(known) if !self.nodes.knows(known.node_id) => Err(AuthError::Unsure),
            Some(known) => {
                self.keys.insert(&known);
                self.keys
                    .find(hash, now)
                    .map(|node| Caller { node })
                    .ok_or_else(refused)
            }
            None => Err(refused()),
        }
    }

    /// The living key with this hash, as the store knows it.
    async fn look_up(&self, hash: SecretHash, turns: &Semaphore) -> Result<Option<NodeKey>, AuthError> {
        let _turn = turns.acquire().await.map_err(|_| AuthError::Unsure)?;
        let known = self.store.find_key(hash).await.map_err(|error| {
            tracing::warn!(%error, "an unknown key can't be looked up");
            AuthError::Unsure
        })?;
        Ok(known.filter(|key| key.revoked_at.is_none()))
    }
}
