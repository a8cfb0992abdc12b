//! Who calls: nodes by their keys, admins by their tokens.

pub mod admins;
pub mod registration;

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::{
    clock::Clock,
    model::{
        NodeId,
        secrets::{SecretHash, is_well_formed_node_key},
    },
    node::keys::Keys,
    store::Store,
};

/// How many unknown keys may be looked up in the store at a time: strangers must not keep it busy.
const LOOKUPS_MAX: usize = 8;

/// Knows nodes by their keys.
pub struct Authenticator {
    keys: Arc<Keys>,
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
    /// An authenticator that knows these keys.
    pub fn new(keys: Arc<Keys>, store: Arc<dyn Store>, clock: Clock) -> Self {
        Self {
            keys,
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
        let _turn = self.lookups.acquire().await.map_err(|_| AuthError::Unsure)?;
        match self.store.find_key(hash).await {
            Ok(Some(known)) if known.revoked_at.is_none() => {
                self.keys.insert(&known);
                self.keys
                    .find(hash, now)
                    .map(|node| Caller { node })
                    .ok_or(AuthError::Unknown)
            }
            Ok(_) => Err(AuthError::Unknown),
            Err(error) => {
                tracing::warn!(%error, "an unknown key can't be looked up");
                Err(AuthError::Unsure)
            }
        }
    }
}
