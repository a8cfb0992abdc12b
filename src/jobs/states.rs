//! Writes what is known of live nodes to the store: status, last call, applied revision, at most 10 s behind.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use crate::{
    clock::Clock,
    model::{NodeId, node::StoredState},
    node::registry::Nodes,
    store::{Store, StoreError},
};

/// How often it writes.
pub const EVERY: Duration = Duration::from_secs(5);

/// The time over which it spreads what it writes, so that the store has no peak of it.
const SPREAD: Duration = Duration::from_millis(2_500);

/// The most nodes of one transaction: their rows are locked until its end.
const BATCH: usize = 1_000;

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

    /// Writes what changed since the last time, in batches; without pauses once it is told to stop. What can't be written is written later, as it
    /// then is.
    pub async fn save(&mut self, stopped: watch::Receiver<bool>) {
        match self.save_changed(stopped).await {
            Ok(()) => self.failing = false,
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                tracing::warn!(%error, "the nodes' states can't be written: they are kept in memory");
            }
            Err(_) => {}
        }
    }

    async fn save_changed(&mut self, mut stopped: watch::Receiver<bool>) -> Result<(), StoreError> {
        let at = self.clock.now();
        let states = self.nodes.states();
        let changed = states.iter().filter(|(id, state)| self.saved.get(id) != Some(state));
        let changed: Vec<_> = changed.copied().collect();
        if self.saved.len() > states.len() {
            let there: HashSet<_> = states.iter().map(|(id, _)| id).collect();
            self.saved.retain(|id, _| there.contains(id));
        }
        let mut batches = changed.chunks(BATCH);
        let pause = SPREAD / u32::try_from(batches.len()).unwrap_or(u32::MAX).max(1);
        while let Some(batch) = batches.next() {
            self.store.save_states(at, batch).await?;
            self.saved.extend(batch.iter().copied());
            if batches.len() > 0 {
                // Until then, or until the stop.
                timeout(pause, stopped.wait_for(|stopped| *stopped)).await.ok();
            }
        }
        Ok(())
    }
}
