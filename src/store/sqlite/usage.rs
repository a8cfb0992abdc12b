//! The bytes of a user, over time.

use rusqlite::{Connection, Row, params};

use super::{counting::whole, fault::Fault};
use crate::{
    model::UserId,
    store::{UsagePoint, UsageSpan, UsageStep},
};

/// Points that one answer holds: two months of minutes on one node and inbound, 10 MB of JSON.
const POINTS_MAX: u32 = 100_000;

const MINUTE: i64 = 60_000;

/// The sums; see [`crate::store::Store::usage`]. Steps begin at full hours and days, UTC.
pub(super) fn sums(connection: &Connection, user: UserId, span: UsageSpan) -> Result<Vec<UsagePoint>, Fault> {
    let step = match span.step {
        UsageStep::Minute => MINUTE,
        UsageStep::Hour => 60 * MINUTE,
        UsageStep::Day => 24 * 60 * MINUTE,
    };
    let mut statement = connection.prepare_cached(include_str!("../../../sql/queries/sqlite/usage_sums.sql"))?;
    let rows = statement.query_map(params![user, span.from, span.to, step, POINTS_MAX + 1], point)?;
    let points: Vec<UsagePoint> = rows.collect::<Result<_, _>>()?;
    if points.len() > POINTS_MAX as usize {
        let message = format!("is so early that there are more than {POINTS_MAX} points: ask for a longer step");
        return Err(Fault::refused("from", message));
    }
    Ok(points)
}

fn point(row: &Row<'_>) -> rusqlite::Result<UsagePoint> {
    Ok(UsagePoint {
        at: row.get(0)?,
        node_id: row.get(1)?,
        subscription_id: row.get(2)?,
        node_protocol_id: row.get(3)?,
        bytes_up: whole(row.get(4)?, row.get(5)?),
        bytes_down: whole(row.get(6)?, row.get(7)?),
    })
}
