//! A store as the flush uses it.

use std::{sync::Arc, time::Duration};

use vpn_core::{
    clock::Stopwatch,
    model::{JournalId, Position, entry::Entry},
    store::{Batch, CommitOutcome, Store},
};

/// A store, and how far it has taken a journal over.
pub struct Taker {
    pub store: Arc<dyn Store>,
    journal: JournalId,
    position: Position,
}

impl Taker {
    /// It has nothing yet.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            journal: JournalId::random(),
            position: Position::START,
        }
    }

    /// Has it take these batches over; gives how long it took.
    pub async fn commit(&mut self, batches: &[Vec<Entry>]) -> Duration {
        let mut took = Duration::ZERO;
        for entries in batches {
            let after = self.position;
            self.position = Position(after.0 + entries.len() as u64);
            let batch = Batch {
                journal: self.journal,
                instance: "bench".to_owned(),
                after,
                upto: self.position,
                entries: entries.clone(),
            };
            let watch = Stopwatch::start();
            let outcome = self.store.commit(batch).await;
            took += watch.elapsed();
            let all_new = matches!(
                outcome,
                Ok(CommitOutcome::Committed {
                    repeats: 0,
                    saturated: 0,
                    refused: 0,
                    ..
                })
            );
            assert!(all_new, "{outcome:?}");
        }
        took
    }

    /// Has it sum by hour and day what it took over; gives how long it took.
    pub async fn roll_up(&self) -> Duration {
        let watch = Stopwatch::start();
        while self.store.roll_up().await.expect("it can") {}
        watch.elapsed()
    }
}
