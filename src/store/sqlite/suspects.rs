//! Bytes that count only if an admin says so.

use rusqlite::{Connection, params};

use super::{fault::Fault, values::Text};
use crate::model::{NodeId, Time, usage::UsageRow};

/// Keeps suspect rows, with when Core took them.
pub(super) fn write(transaction: &Connection, suspects: &[(NodeId, Time, UsageRow)]) -> Result<(), Fault> {
    let mut insert = transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/suspect_insert.sql"))?;
    for (node, received_at, row) in suspects {
        insert.execute(params![
            node,
            row.user,
            row.subscription,
            row.protocol,
            row.minute,
            row.bytes_up,
            row.bytes_down,
            row.suspect.map(Text),
            received_at
        ])?;
    }
    Ok(())
}
