//! The way from the journal to the store: one batch at a time, pulled when it is time, repeated until the store has it.

pub mod actor;
mod rolling;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    clock::Clock,
    journal::{Generation, Journal, JournalError, ReadLimit},
    model::{
        JournalId, Position, SubscriptionId,
        entry::{Entry, Payload},
        quota::Quota,
    },
    store::{Batch, CommitOutcome, Store, StoreError},
};

/// The most report rows of one transaction: 20,000 to 50,000 measured best on both stores, and a failed batch repeats no more.
const BATCH_ROWS_MAX: usize = 30_000;

/// The most bytes of journal that one batch is read from: with 30,000 rows of about 20 bytes a batch is 600 KB; error texts and rejected items
/// may be larger.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// Hears what the store took over: the ledger of quotas. The composition root gives the one that leads there.
pub trait TakeOver: Send + Sync + 'static {
    /// These bytes are in the store now, and this is what it has counted.
    fn taken_over(&self, bytes: &BTreeMap<SubscriptionId, i64>, counted: &[Quota]);
}

/// Moves entries from the journal to the store.
pub struct Flush {
    journal: Journal,
    store: Arc<dyn Store>,
    take_over: Arc<dyn TakeOver>,
    instance: String,
    clock: Clock,
    /// How far the store had each journal when it last said so.
    watermarks: HashMap<JournalId, Position>,
    /// The journals that it need not be asked about again. It may be set back to a backup, and then all it says is another: after an error, and
    /// from time to time, it is asked about each.
    asked: HashSet<JournalId>,
    /// Batches whose outcome is not known: where they end, and what they count for quotas.
    in_doubt: HashMap<JournalId, (Position, BTreeMap<SubscriptionId, i64>)>,
    /// Something was taken over since it was last asked.
    committed: bool,
    tally: Tally,
}

/// What a flush came to since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Records that the store took over, repeats included.
    pub records: u64,
    /// Those of them that were repeats of others.
    pub repeats: u64,
    /// Rows that the store would not take, put aside one by one.
    pub refused: u64,
    /// Sums that did not fit their columns.
    pub saturated: u64,
    /// Records that were passed over: damaged, or no longer kept.
    pub lost: u64,
}

/// Why a flush stopped before the end.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Flush {
    /// A flush that knows no watermark yet.
    pub fn new(
        journal: Journal,
        store: Arc<dyn Store>,
        take_over: Arc<dyn TakeOver>,
        (instance, clock): (String, Clock),
    ) -> Self {
        Self {
            journal,
            store,
            take_over,
            instance,
            clock,
            watermarks: HashMap::new(),
            asked: HashSet::new(),
            in_doubt: HashMap::new(),
            committed: false,
            tally: Tally::default(),
        }
    }

    /// Moves everything that is durable now, oldest first. A generation that can't be read holds up no other.
    pub async fn drain(&mut self) -> Result<(), FlushError> {
        let mut outcome = Ok(());
        for generation in self.journal.generations() {
            match self.drain_one(&generation).await {
                Err(error @ FlushError::Journal(_)) => outcome = outcome.and(Err(error)),
                drained => drained?,
            }
        }
        outcome
    }

    async fn drain_one(&mut self, generation: &Generation) -> Result<(), FlushError> {
        while self.step(generation).await? {}
        Ok(())
    }

    /// Lets the journal delete what the store has for long.
    pub fn trim(&mut self) {
        let there: HashSet<_> = self.journal.generations().iter().map(|it| it.id).collect();
        self.watermarks.retain(|journal, _| there.contains(journal));
        for (journal, flushed) in &self.watermarks {
            if let Err(error) = self.journal.trim(*journal, *flushed, self.clock.now()) {
                tracing::warn!(journal = %journal, %error, "flushed segments can't be deleted");
            }
        }
        self.asked.clear();
    }

    /// Whether the store took something over since this was last asked.
    pub fn take_committed(&mut self) -> bool {
        std::mem::take(&mut self.committed)
    }

    /// What it came to since it was made. A batch whose outcome was not known is not in it.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// The store that it moves entries to.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// How many records the store does not have yet.
    pub fn backlog(&self) -> u64 {
        let end = |generation: &Generation| generation.end.0;
        self.journal
            .generations()
            .iter()
            .map(|it| end(it).saturating_sub(self.known(it.id).0))
            .sum()
    }

    /// Moves one batch of a generation. False when the store has all of it.
    async fn step(&mut self, generation: &Generation) -> Result<bool, FlushError> {
        let after = self.watermark(generation).await?;
        if after >= generation.end {
            return Ok(false);
        }
        let from = after.max(Position(generation.first.0.saturating_sub(1)));
        if from > after {
            Self::mourn(generation, after, from);
        }
        let gone = from.0 - after.0;
        let limit = ReadLimit {
            rows: BATCH_ROWS_MAX,
            bytes: BATCH_BYTES_MAX,
        };
        let journal = self.journal.clone();
        let id = generation.id;
        let piece = journal.read_after(id, from, limit)?;
        if piece.upto <= after {
            return Ok(false);
        }
        let entries = piece.entries.into_iter().map(|(_, entry)| entry).collect();
        let batch = Batch {
            journal: id,
            instance: self.instance.clone(),
            after,
            upto: piece.upto,
            entries,
        };
        let lost = gone + piece.lost;
        self.commit(batch, lost).await?;
        Ok(true)
    }

    async fn commit(&mut self, batch: Batch, lost: u64) -> Result<(), FlushError> {
        let (journal, after, upto) = (batch.journal, batch.after, batch.upto);
        let records = batch.entries.len() as u64;
        // Whatever becomes of this call, what is known of the watermarks is old now.
        let asked = std::mem::take(&mut self.asked);
        self.in_doubt
            .insert(journal, (upto, usage_by_subscription(&batch.entries)));
        let outcome = self.store.commit(batch).await?;
        self.asked = asked;
        match outcome {
            CommitOutcome::Committed {
                repeats,
                saturated,
                refused,
                quotas,
            } => {
                self.committed = true;
                self.tally.records += records;
                self.tally.repeats += repeats;
                self.tally.refused += refused;
                self.tally.saturated += saturated;
                self.tally.lost += lost;
                metrics::counter!("core_flush_entries_total").increment(records);
                metrics::counter!("core_flush_repeats_total").increment(repeats);
                metrics::counter!("core_flush_refused_total").increment(refused);
                if saturated > 0 {
                    metrics::counter!("core_flush_saturated_total").increment(saturated);
                    tracing::error!(saturated, "sums did not fit their columns and were held at 2^63-1");
                }
                self.note_watermark(journal, upto, &quotas);
            }
            CommitOutcome::Elsewhere { watermark } => {
                tracing::warn!(journal = %journal, %watermark, "the store's watermark is not where it was: going on from there");
                if watermark < after {
                    // It was set back, and with it what it had of the other generations.
                    self.asked.clear();
                }
                self.note_watermark(journal, watermark, &[]);
            }
        }
        Ok(())
    }

    /// The store has a journal up to here. A batch whose outcome was not known is in it, or was never taken.
    fn note_watermark(&mut self, journal: JournalId, watermark: Position, counted: &[Quota]) {
        self.watermarks.insert(journal, watermark);
        self.asked.insert(journal);
        if let Some((upto, bytes)) = self.in_doubt.remove(&journal)
            && upto <= watermark
        {
            self.take_over.taken_over(&bytes, counted);
        }
    }

    async fn watermark(&mut self, generation: &Generation) -> Result<Position, StoreError> {
        if self.asked.contains(&generation.id) {
            return Ok(self.known(generation.id));
        }
        let stored = self.store.watermark(generation.id).await?.unwrap_or(Position::START);
        if stored > generation.end {
            // Harmless for a closed generation (a copy of this folder flushed more of it); a live one has a random name that nobody else writes.
            if generation.open {
                return Err(StoreError::Contradiction(format!(
                    "journal {} ends at {}, but the store has it up to {stored}",
                    generation.id, generation.end
                )));
            }
            tracing::warn!(journal = %generation.id, end = %generation.end, %stored, "the store has more of an old journal than is here");
        }
        self.note_watermark(generation.id, stored, &[]);
        Ok(stored)
    }

    fn known(&self, journal: JournalId) -> Position {
        self.watermarks.get(&journal).copied().unwrap_or(Position::START)
    }

    /// The store was set back to before what is kept of the journal.
    fn mourn(generation: &Generation, watermark: Position, from: Position) {
        let lost = from.0 - watermark.0;
        metrics::counter!("core_flush_lost_records_total").increment(lost);
        tracing::error!(
            journal = %generation.id, %watermark, first = %generation.first, lost,
            "the store lacks records that the journal no longer keeps: going on from the first that it has"
        );
    }
}

/// What these entries count for each subscription, as it was sent, repeats included.
fn usage_by_subscription(entries: &[Entry]) -> BTreeMap<SubscriptionId, i64> {
    let mut sums = BTreeMap::new();
    for entry in entries {
        let Payload::Usage(report) = &entry.payload else {
            continue;
        };
        for row in report.counted() {
            if let Some(subscription) = row.subscription {
                let sum: &mut i64 = sums.entry(subscription).or_default();
                *sum = sum.saturating_add(row.bytes());
            }
        }
    }
    sums
}
