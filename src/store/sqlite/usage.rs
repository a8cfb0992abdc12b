//! The bytes of a user, over time.

use rusqlite::{Connection, Row, params};

use super::{counting::whole, fault::Fault};
use crate::{
    model::{Time, UserId},
    store::{UsagePoint, UsageSpan, UsageStep},
};

/// Points that one answer holds: two months of minutes on one node and inbound, 10 MB of JSON.
const POINTS_MAX: u32 = 100_000;

/// The sums; see [`crate::store::Store::usage`].
pub(super) fn sums(connection: &Connection, user: UserId, span: UsageSpan) -> Result<Vec<UsagePoint>, Fault> {
    let from: fn(Time) -> Time = match span.step {
        UsageStep::Minute => Time::minute,
        UsageStep::Hour => Time::hour,
        UsageStep::Day => Time::day,
    };
    let (sql, point): (_, fn(&Row<'_>) -> rusqlite::Result<UsagePoint>) = match span.step {
        UsageStep::Minute => (
            include_str!("../../../sql/queries/sqlite/usage_minutes.sql"),
            point_of_halves,
        ),
        UsageStep::Hour => (include_str!("../../../sql/queries/sqlite/usage_hours.sql"), point),
        UsageStep::Day => (include_str!("../../../sql/queries/sqlite/usage_days.sql"), point),
    };
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![user, from(span.from), span.to, POINTS_MAX + 1], point)?;
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
        bytes_up: row.get(4)?,
        bytes_down: row.get(5)?,
    })
}

fn point_of_halves(row: &Row<'_>) -> rusqlite::Result<UsagePoint> {
    Ok(UsagePoint {
        at: row.get(0)?,
        node_id: row.get(1)?,
        subscription_id: row.get(2)?,
        node_protocol_id: row.get(3)?,
        bytes_up: whole(row.get(4)?, row.get(5)?),
        bytes_down: whole(row.get(6)?, row.get(7)?),
    })
}
