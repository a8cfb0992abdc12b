//! Lets go of what is old, a slice at a time.

use rusqlite::{Connection, params};

use super::fault::Fault;
use crate::{
    model::Time,
    store::{Retention, Upkeep},
};

/// Rows that one call deletes of a table at most: the flush waits for it, and 5,000 take some 50 ms.
const SLICE: u32 = 5_000;

/// Deletes the oldest rows of what is kept too long; see [`crate::store::Store::maintain`].
pub(super) fn maintain(transaction: &Connection, now: Time, keep: Retention) -> Result<Upkeep, Fault> {
    let mut upkeep = Upkeep::default();
    for (table, column, keep) in [
        ("usage_minutes", "minute", keep.usage_minutes),
        ("usage_hours", "hour", keep.usage_hours),
        ("session_events", "occurred_at", keep.session_events),
        ("node_stats", "at", keep.node_stats),
    ] {
        let sql = format!(
            "DELETE FROM {table} WHERE rowid IN \
             (SELECT rowid FROM {table} WHERE {column} < ?1 ORDER BY {column} LIMIT ?2)"
        );
        let deleted = transaction
            .prepare_cached(&sql)?
            .execute(params![now.minus(keep), SLICE])?;
        upkeep.rows_deleted += deleted as u64;
        upkeep.more |= deleted >= SLICE as usize;
    }
    Ok(upkeep)
}
