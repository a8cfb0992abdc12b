//! Writes what is known of live nodes to the store: status, last call, applied revision, at most 10 s behind.

use std::{collections::HashMap, sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    model::{NodeId, node::StoredState},
    node::registry::Nodes,
    store::Store,
};

/// How often it writes.
pub const EVERY: Duration = Duration::from_secs(5);

/// See the module.
pub struct StateSaver {
    nodes: Nodes,
    store: Arc<dyn Store>,
    clock: Clock,
    saved: HashMap<NodeId, StoredState>,
    failing: bool,
}

impl StateSaver {
    /// A saver that has written nothing yet.
    pub fn new(nodes: Nodes, store: Arc<dyn Store>, clock: Clock) -> Self {
        Self {
            nodes,
            store,
            clock,
            saved: HashMap::new(),
            failing: false,
        }
    }

    /// Writes what changed since the last time. What can't be written is written later, as it then is.
    pub async fn save(&mut self) {
        let at = self.clock.now();
        let states = self.nodes.states();
        let changed: Vec<_> = states
            .iter()
            .filter(|(id, state)| self.saved.get(id) != Some(state))
            .copied()
            .collect();
        if changed.is_empty() {
            return;
        }
        match self.store.save_states(at, &changed).await {
            Ok(()) => {
                self.failing = false;
                self.saved = states.into_iter().collect();
            }
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                tracing::warn!(%error, "the nodes' states can't be written: they are kept in memory");
            }
            Err(_) => {}
        }
    }
}
