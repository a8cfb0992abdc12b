//! Takes over a piece of a journal, exactly once: watermark, repeats, pieces, rows, watermark, all in one transaction.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{fault::Fault, sifting::Taken, values::Text};
use crate::{
    model::{
        JournalId, Position, Time,
        entry::{Entry, REPEAT_WINDOW},
        piece::pieces,
    },
    store::{Batch, CommitOutcome, StoreError, refusals::Refusals},
};

/// Changes that are kept, 3 MB: a reader who is further behind loads everything. 5,000 credentials that join an inbound are 5,000 of them.
const CHANGES_KEPT: i64 = 100_000;

/// Old rows that a commit clears away besides as many as it brought: so they never pile up, and no commit is long for them.
const PRUNED_PER_COMMIT: i64 = 1_000;

/// How far this journal has been taken over.
pub(super) fn watermark(connection: &Connection, journal: JournalId) -> Result<Option<Position>, Fault> {
    let mut statement = connection.prepare_cached("SELECT position FROM flush_watermarks WHERE journal_id = ?1")?;
    Ok(statement.query_row([journal], |row| row.get(0)).optional()?)
}

/// Takes over the batch, or says where the watermark is instead; and what was refused.
pub(super) fn commit(transaction: &Connection, batch: Batch) -> Result<(CommitOutcome, Refusals), Fault> {
    let there = watermark(transaction, batch.journal)?.unwrap_or(Position::START);
    if there != batch.after {
        return Ok((CommitOutcome::Elsewhere { watermark: there }, Refusals::default()));
    }
    if batch.upto < batch.after {
        let (after, upto) = (batch.after, batch.upto);
        return Err(StoreError::Contradiction(format!("a batch from {after} on can't end at {upto}")).into());
    }
    let brought = i64::try_from(batch.entries.len()).unwrap_or(i64::MAX);
    let latest = batch.entries.iter().map(|entry| entry.received_at).max();
    let (new, repeats) = without_repeats(transaction, batch.entries)?;
    let mut taken = Taken::default();
    taken.take(transaction, &pieces(new))?;
    if let Some(latest) = latest {
        prune(transaction, latest, brought.saturating_add(PRUNED_PER_COMMIT))?;
    }
    transaction
        .prepare_cached(include_str!("../../../sql/queries/sqlite/watermark_set.sql"))?
        .execute(params![batch.journal, batch.instance, batch.upto, latest])?;
    let Taken {
        saturated,
        refusals,
        quotas,
    } = taken;
    let outcome = CommitOutcome::Committed {
        repeats,
        saturated,
        refused: refusals.count(),
        quotas: quotas.into_values().collect(),
    };
    Ok((outcome, refusals))
}

/// The entries that were not seen before, and how many were.
fn without_repeats(transaction: &Connection, entries: Vec<Entry>) -> Result<(Vec<Entry>, u64), Fault> {
    let mut new = Vec::with_capacity(entries.len());
    let mut repeats = 0;
    for entry in entries {
        if is_new(transaction, &entry)? {
            new.push(entry);
        } else {
            repeats += 1;
        }
    }
    Ok((new, repeats))
}

/// Notes the entry's identity. A repeat inside the window changes nothing, so that a window does not grow by repeats.
fn is_new(transaction: &Connection, entry: &Entry) -> Result<bool, Fault> {
    let Some((kind, identity)) = entry.payload.identity() else {
        return Ok(true);
    };
    let window = i64::try_from(identity.window.as_millis()).unwrap_or(i64::MAX);
    let noted = transaction
        .prepare_cached(include_str!("../../../sql/queries/sqlite/report_id_note.sql"))?
        .execute(params![
            entry.node,
            Text(kind),
            identity.hash,
            entry.received_at,
            window
        ])?;
    Ok(noted == 1)
}

/// Clears away what no decision needs any more, at most so many rows of each kind.
fn prune(transaction: &Connection, now: Time, at_most: i64) -> Result<(), Fault> {
    transaction
        .prepare_cached(include_str!("../../../sql/queries/sqlite/report_ids_prune.sql"))?
        .execute(params![now.minus(REPEAT_WINDOW), at_most])?;
    transaction
        .prepare_cached(include_str!("../../../sql/queries/sqlite/catalog_changes_prune.sql"))?
        .execute(params![CHANGES_KEPT, at_most])?;
    Ok(())
}
