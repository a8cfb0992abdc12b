//! Who calls: nodes by their keys, admins by their tokens.

pub mod admins;
pub mod registration;

use std::{sync::Arc, time::Duration};

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

/// How many unknown keys may be looked up in the store at a time: strangers must not keep it busy.
const LOOKUPS_MAX: usize = 8;

/// How long a call with an unknown key waits for its turn and its look-up together.
const LOOKUP_WAIT: Duration = Duration::from_secs(2);

/// Knows nodes by their keys.
pub struct Authenticator {
    keys: Arc<Keys>,
    nodes: Nodes,
    store: Arc<dyn Store>,
    lookups: Semaphore,
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
}

impl Authenticator {
    /// An authenticator that knows these keys and nodes.
    pub fn new(keys: Arc<Keys>, nodes: Nodes, store: Arc<dyn Store>, clock: Clock) -> Self {
        Self {
            keys,
            nodes,
            store,
            lookups: Semaphore::new(LOOKUPS_MAX),
            clock,
        }
    }

    /// Lets a node in. A known key costs one hash and one look into memory.
    pub async fn node(&self, key: &str) -> Result<Caller, AuthError> {
        let hash = SecretHash::of(key);
        let now = self.clock.now();
        if let Some(node) = self.keys.find(hash, now) {
            return Ok(Caller { node });
        }
        if !is_well_formed_node_key(key) {
            return Err(AuthError::Unknown);
        }
        let looking = tokio::time::timeout(LOOKUP_WAIT, self.look_up(hash));
        match looking.await.map_err(|_| AuthError::Unsure)?? {
            // A node that registered while nobody could tell us: it is let in as soon as the catalogue has brought it.
            Some(known) if !self.nodes.knows(known.node_id) => Err(AuthError::Unsure),
            Some(known) => {
                self.keys.insert(&known);
                self.keys
                    .find(hash, now)
                    .map(|node| Caller { node })
                    .ok_or(AuthError::Unknown)
            }
            None => Err(AuthError::Unknown),
        }
    }

    /// The living key with this hash, as the store knows it.
    async fn look_up(&self, hash: SecretHash) -> Result<Option<NodeKey>, AuthError> {
        let _turn = self.lookups.acquire().await.map_err(|_| AuthError::Unsure)?;
        let known = self.store.find_key(hash).await.map_err(|error| {
            tracing::warn!(%error, "an unknown key can't be looked up");
            AuthError::Unsure
        })?;
        Ok(known.filter(|key| key.revoked_at.is_none()))
    }
}
