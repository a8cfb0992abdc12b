//! The bytes of a user, over time; and the roll-up of minutes to hours and days.

use tokio_postgres::Row;

use super::{fault::Fault, line::Line};
use crate::{
    model::{Time, UserId},
    store::{Totals, UsagePoint, UsageSpan, UsageStep},
};

/// Points that one answer holds: two months of minutes on one node and inbound, 10 MB of JSON.
const POINTS_MAX: i64 = 100_000;

/// Flushes that one roll-up takes: 240,000 rows at most, so that it is done in seconds even on a slow disk.
const BATCHES: i64 = 8;

/// The sums; see [`crate::store::Store::usage`]. Steps begin at full hours and days, UTC.
pub(super) async fn sums(line: &Line, user: UserId, span: UsageSpan) -> Result<Vec<UsagePoint>, Fault> {
    let sql = match span.step {
        UsageStep::Minute => include_str!("../../../sql/queries/postgres/usage_minutes.sql"),
        UsageStep::Hour => include_str!("../../../sql/queries/postgres/usage_hours.sql"),
        UsageStep::Day => include_str!("../../../sql/queries/postgres/usage_days.sql"),
    };
    let from = match span.step {
        UsageStep::Minute => span.from.minute(),
        UsageStep::Hour => span.from.hour(),
        UsageStep::Day => span.from.day(),
    };
    let rows = line.query(sql, &[&user, &from, &span.to, &(POINTS_MAX + 1)]).await?;
    let points = rows.iter().map(point).collect::<Result<Vec<_>, Fault>>()?;
    if points.len() as u64 > POINTS_MAX.unsigned_abs() {
        let message = format!("is so early that there are more than {POINTS_MAX} points: ask for a longer step");
        return Err(Fault::refused("from", message));
    }
    Ok(points)
}

fn point(row: &Row) -> Result<UsagePoint, Fault> {
    Ok(UsagePoint {
        at: row.try_get(0)?,
        node_id: row.try_get(1)?,
        subscription_id: row.try_get(2)?,
        node_protocol_id: row.try_get(3)?,
        bytes_up: row.try_get(4)?,
        bytes_down: row.try_get(5)?,
    })
}

/// Adds the minutes of some flushes up into the hours and days, oldest first; gives whether there are more. A line of `usage_unrolled` goes
/// in the transaction that adds its rows, so each is added once, whoever does it and however often it is cut short.
pub(super) async fn roll_up(line: &Line) -> Result<bool, Fault> {
    let taken = line
        .query(
            include_str!("../../../sql/queries/postgres/usage_unrolled_take.sql"),
            &[&BATCHES],
        )
        .await?;
    if taken.is_empty() {
        return Ok(false);
    }
    let batches: Vec<i64> = taken.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let starts: Vec<Time> = taken.iter().map(|row| row.try_get(1)).collect::<Result<_, _>>()?;
    let ends: Vec<Time> = taken.iter().map(|row| row.try_get(2)).collect::<Result<_, _>>()?;
    // What a batch holds lies within these, so that other days are not looked at.
    let (first, last) = (starts.iter().min(), ends.iter().max());
    for sql in [
        include_str!("../../../sql/queries/postgres/usage_hours_add.sql"),
        include_str!("../../../sql/queries/postgres/usage_days_add.sql"),
    ] {
        line.execute(sql, &[&batches, &first, &last]).await?;
    }
    Ok(i64::try_from(batches.len()).is_ok_and(|count| count == BATCHES))
}

/// The bytes that are counted.
pub(super) async fn totals(line: &Line) -> Result<Totals, Fault> {
    let row = line
        .query_one(include_str!("../../../sql/queries/postgres/totals.sql"), &[])
        .await?;
    Ok(Totals {
        usage_up: row.try_get("usage_up")?,
        usage_down: row.try_get("usage_down")?,
        hours_up: row.try_get("hours_up")?,
        hours_down: row.try_get("hours_down")?,
        days_up: row.try_get("days_up")?,
        days_down: row.try_get("days_down")?,
        subscriptions_up: row.try_get("subscriptions_up")?,
        subscriptions_down: row.try_get("subscriptions_down")?,
        outbounds_up: row.try_get("outbounds_up")?,
        outbounds_down: row.try_get("outbounds_down")?,
        session_events: row.try_get("session_events")?,
    })
}
