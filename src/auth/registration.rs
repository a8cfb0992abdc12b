//! How a node comes to its key.

use std::{sync::Arc, time::Duration};

use actix::MailboxError;
use secrecy::SecretString;

use crate::{
    catalog::actor::{CatalogActor, Welcome},
    clock::Clock,
    model::{
        NodeId,
        node::{NodeIdentity, RegisterOutcome, Registration},
        secrets::{KeyIssuer, SecretHash},
    },
    node::keys::Keys,
    store::{Store, StoreError},
};

/// How long a new node waits for its first config. The catalogue makes it at once, unless it is being loaded anew; after that a retry with
/// the same code is answered with the same node.
const WELCOME_WAIT: Duration = Duration::from_secs(8);

/// Registers nodes.
pub struct Registrar {
    store: Arc<dyn Store>,
    keys: Arc<Keys>,
    catalog: actix::Addr<CatalogActor>,
    clock: Clock,
}

/// A node that registered.
#[derive(Debug)]
pub struct Registered {
    /// Its key: this is the only time that it is shown.
    pub auth_key: SecretString,
    /// Its id.
    pub node: NodeId,
}

/// Why a node was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The code is unknown, used, or has ended: never said which.
    #[error("the registration code is not valid")]
    BadCode,
    /// Another node has the name.
    #[error("the name is taken by another node")]
    NameTaken,
    /// The store is needed, and did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Registrar {
    /// A registrar.
    pub const fn new(store: Arc<dyn Store>, keys: Arc<Keys>, catalog: actix::Addr<CatalogActor>, clock: Clock) -> Self {
        Self {
            store,
            keys,
            catalog,
            clock,
        }
    }

    /// Uses up the code and makes the node, or gives a known node a new key. The key is good when this returns.
    pub async fn register(&self, code: &str, identity: NodeIdentity) -> Result<Registered, RegisterError> {
        // Whether a lost answer may be given again depends on first uses that may still be in memory alone.
        self.keys.save_first_uses(self.store.as_ref()).await?;
        let issuer = KeyIssuer::default();
        let issue_key = |node: NodeId| issuer.issue(node);
        let at = self.clock.now();
        let registration = Registration {
            code: SecretHash::of(code),
            identity,
            at,
            issue_key: &issue_key,
        };
        let (node, key, died) = match self.store.register(registration).await? {
            RegisterOutcome::Registered { node, key, died } => (node, key, died),
            RegisterOutcome::BadCode => return Err(RegisterError::BadCode),
            RegisterOutcome::NameTaken => return Err(RegisterError::NameTaken),
        };
        let auth_key = issuer
            .into_secret()
            .ok_or_else(|| StoreError::Broken("it made no key".to_owned()))?;
        for hash in died {
            self.keys.remove(hash);
        }
        let id = node.id;
        tracing::info!(node = %id, name = node.name, ip = %node.ip, region = node.region, "a node registered");
        match self.catalog.send(Welcome(*node)).timeout(WELCOME_WAIT).await {
            Ok(welcomed) => welcomed?,
            Err(MailboxError::Timeout) => {
                return Err(StoreError::Away("the catalogue is still being loaded".to_owned()).into());
            }
            Err(MailboxError::Closed) => {
                return Err(StoreError::Broken("the catalogue's actor is gone".to_owned()).into());
            }
        }
        self.keys.insert(&key);
        Ok(Registered { auth_key, node: id })
    }
}
