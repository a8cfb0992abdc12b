//! Takes over a piece of a journal, exactly once: watermark, repeats, pieces, rows, all in one transaction.

use super::{counting, door::Door, fault::Fault, line::Line, repeats, sifting::Taken};
use crate::{
    model::{JournalId, Position, Time},
    store::{Batch, CommitOutcome, StoreError, refusals::Refusals},
};

/// Changes that are kept, 3 MB: a reader who is further behind loads everything.
const CHANGES_KEPT: i64 = 100_000;

/// Old rows that a commit clears away besides as many as it brought: so they never pile up, and no commit is long for them.
const PRUNED_PER_COMMIT: i64 = 1_000;

/// How far this journal has been taken over.
pub(super) async fn watermark(line: &Line, journal: JournalId) -> Result<Option<Position>, Fault> {
    let sql = "SELECT position FROM flush_watermarks WHERE journal_id = $1";
    let row = line.query_opt(sql, &[&journal]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Takes over the batch in a transaction of its own; see [`crate::store::Batch`].
pub(super) async fn take_over(door: &Door, batch: Batch) -> Result<CommitOutcome, StoreError> {
    let batch = &batch;
    // The future is large: it holds every statement of a flush.
    let committing = door.write("commit", |line| {
        Box::pin(async move { commit(&line, batch.clone()).await })
    });
    let (outcome, refusals) = committing.await?;
    refusals.tell();
    Ok(outcome)
}

/// Takes over the batch, or says where the watermark is instead; and what was refused.
async fn commit(line: &Line, batch: Batch) -> Result<(CommitOutcome, Refusals), Fault> {
    if batch.upto < batch.after {
        let (after, upto) = (batch.after, batch.upto);
        return Err(StoreError::Contradiction(format!("a batch from {after} on can't end at {upto}")).into());
    }
    let latest = batch.entries.iter().map(|entry| entry.received_at).max();
    if !move_watermark(line, &batch, latest).await? {
        let watermark = watermark(line, batch.journal).await?.unwrap_or(Position::START);
        return Ok((CommitOutcome::Elsewhere { watermark }, Refusals::default()));
    }
    let brought = i64::try_from(batch.entries.len()).unwrap_or(i64::MAX);
    let (new, repeats) = repeats::without_repeats(line, batch.entries).await?;
    let taken = Taken::of(line, new).await?;
    if let Some(latest) = latest {
        let at_most = brought.saturating_add(PRUNED_PER_COMMIT);
        tokio::try_join!(
            repeats::prune(line, latest, at_most),
            prune_changes(line, at_most),
            counting::trim_errors(line, &taken.failing)
        )?;
    }
    let outcome = CommitOutcome::Committed {
        repeats,
        saturated: taken.saturated,
        refused: taken.refusals.count(),
        quotas: taken.quotas.into_values().collect(),
    };
    Ok((outcome, taken.refusals))
}

/// Moves the watermark from where the batch expects it; false if it is elsewhere. Whoever comes second waits here for the first, and is told
/// that it is elsewhere.
async fn move_watermark(line: &Line, batch: &Batch, latest: Option<Time>) -> Result<bool, Fault> {
    let moved = line
        .execute(
            include_str!("../../../sql/queries/postgres/watermark_move.sql"),
            &[&batch.journal, &batch.instance, &batch.after, &batch.upto, &latest],
        )
        .await?;
    if moved == 1 || batch.after != Position::START {
        return Ok(moved == 1);
    }
    let made = line
        .execute(
            include_str!("../../../sql/queries/postgres/watermark_make.sql"),
            &[&batch.journal, &batch.instance, &batch.upto, &latest],
        )
        .await?;
    Ok(made == 1)
}

async fn prune_changes(line: &Line, at_most: i64) -> Result<(), Fault> {
    line.execute(
        include_str!("../../../sql/queries/postgres/catalog_changes_prune.sql"),
        &[&CHANGES_KEPT, &at_most],
    )
    .await?;
    Ok(())
}
