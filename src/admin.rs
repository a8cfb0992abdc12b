//! What admins do, whatever door they came through.

pub mod addresses;
pub mod codes;
pub mod history;
pub mod live;
pub mod nodes;
pub mod records;
pub mod rows;
pub mod suspects;
pub mod tokens;

use std::{sync::Arc, time::Duration};

use actix::Addr;

use crate::{
    catalog::actor::{CatalogActor, Reload},
    clock::Clock,
    node::{NodeError, keys::Keys, registry::Nodes},
    presence::actor::PresenceActor,
    store::{Store, StoreError},
};

/// How long an answer waits until everybody sees the change.
const VISIBLE_WAIT: Duration = Duration::from_secs(8);

/// What admins work with.
#[derive(Clone)]
pub struct Desk {
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// What lives.
    pub nodes: Nodes,
    /// The keys that nodes call with.
    pub keys: Arc<Keys>,
    /// What configs are made of.
    pub catalog: Addr<CatalogActor>,
    /// Who is online.
    pub presence: Addr<PresenceActor>,
    /// Looks at nodes that are under way.
    pub looks: Arc<live::Looks>,
    /// What is known of nodes beside memory.
    pub last_stats: Option<Arc<dyn live::LastStats>>,
    /// Now.
    pub clock: Clock,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no such thing.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// A value can't be used; the text names its field.
    #[error("{0}")]
    Invalid(String),
    /// One of several changes can't be made; the text names its field.
    #[error("changes[{at}].{message}")]
    InBatch {
        /// Which.
        at: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Somebody else changed it meanwhile.
    #[error("it was changed meanwhile: read it again")]
    Stale,
    /// The opposite was decided before.
    #[error("it was decided otherwise before")]
    Decided,
    /// The name is another's.
    #[error("the name is taken by another node")]
    NameTaken,
    /// There is too much to do; the same call may work in a moment.
    #[error("{0}: try again soon")]
    Busy(&'static str),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node did not do it.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl Desk {
    /// Makes a change in the store visible before the answer. If that fails the change holds, and becomes visible by itself.
    async fn make_visible(&self) {
        match self.catalog.send(Reload { serving: true }).timeout(VISIBLE_WAIT).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a change is in the store, but not visible yet"),
            Err(error) => {
                tracing::error!(%error, "a change is in the store, but the catalogue did not say that it is visible");
            }
        }
    }
}

/// Checks a text that people read: trimmed, of 1 to `max` characters, nothing invisible.
fn readable(field: &str, text: &str, max: usize) -> Result<String, AdminError> {
    let text = text.trim();
    if (1..=max).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(AdminError::Invalid(format!("{field} must have 1 to {max} characters")))
}
