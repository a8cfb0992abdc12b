//! Keeps the store's house: what is older than the settings say goes, room for the days to come is made.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    clock::Clock,
    store::{Retention, Store, StoreError, Upkeep},
};

/// How often it looks.
const EVERY: Duration = Duration::from_mins(10);

/// So long the store is left alone between two pieces of work: the flush comes every second, and has its turn.
const PAUSE: Duration = Duration::from_millis(200);

/// See the module.
pub struct Housekeeper {
    store: Arc<dyn Store>,
    clock: Clock,
    keep: Retention,
}

impl Housekeeper {
    /// One that has done nothing yet.
    pub fn new(store: Arc<dyn Store>, clock: Clock, keep: Retention) -> Self {
        Self { store, clock, keep }
    }

    /// Works at once and then every so often, until it is told to stop; what is left then is done after the next start.
    pub async fn run(self, mut stopped: watch::Receiver<bool>) {
        tokio::select! {
            () = self.work() => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn work(&self) {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            let mut done = Upkeep::default();
            if let Err(error) = self.round(&mut done).await {
                tracing::warn!(%error, "the store's house can't be kept now: it is tried again later");
            }
            if done != Upkeep::default() {
                let Upkeep {
                    partitions_made,
                    partitions_dropped,
                    rows_moved,
                    rows_deleted,
                    more: _,
                } = done;
                tracing::info!(
                    partitions_made,
                    partitions_dropped,
                    rows_moved,
                    rows_deleted,
                    "the store's house was kept"
                );
            }
        }
    }

    /// Piece by piece until there is nothing more to do; what was done is in `done`, also after an error.
    async fn round(&self, done: &mut Upkeep) -> Result<(), StoreError> {
        loop {
            let piece = self.store.maintain(self.clock.now(), self.keep).await?;
            done.partitions_made += piece.partitions_made;
            done.partitions_dropped += piece.partitions_dropped;
            done.rows_moved += piece.rows_moved;
            done.rows_deleted += piece.rows_deleted;
            if !piece.more {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
