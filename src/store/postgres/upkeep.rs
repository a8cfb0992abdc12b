//! Partitions of a day: made ahead of time, dropped when their time is over.

use std::time::Duration;

use tokio_postgres::Row;

use super::{door::Door, fault::Fault, line::Line, line::identifier};
use crate::{
    model::Time,
    store::{Retention, StoreError, Upkeep},
};

/// Days that have partitions: a report may be 35 days late, and its clock a little wrong.
const DAYS_BACK: i64 = 36;
const DAYS_AHEAD: i64 = 14;

/// Partitions that one call makes or drops at most: each needs a moment without a flush.
const PARTITIONS_A_CALL: usize = 24;

/// Rows that one call deletes at most from a table that is not cut into days.
const ROWS_A_CALL: i64 = 5_000;

const DAY: i64 = 86_400_000;

/// A table that is cut into days.
struct Cut {
    /// Its name; its partitions are called `<name>_<yyyymmdd>` and `<name>_default`.
    table: &'static str,
    /// The column that says the day.
    column: &'static str,
    /// How long its rows are kept.
    keep: fn(&Retention) -> Duration,
}

const CUTS: [Cut; 3] = [
    Cut {
        table: "usage_minutes",
        column: "minute",
        keep: |keep| keep.usage_minutes,
    },
    Cut {
        table: "session_events",
        column: "occurred_at",
        keep: |keep| keep.session_events,
    },
    Cut {
        table: "node_stats",
        column: "at",
        keep: |keep| keep.node_stats,
    },
];

/// One call's work; see [`crate::store::Store::maintain`]. Each partition has a transaction of its own, so that a flush waits for one at most.
pub(super) async fn maintain(door: &Door, now: Time, keep: Retention) -> Result<Upkeep, StoreError> {
    let mut done = Upkeep::default();
    let mut left = PARTITIONS_A_CALL;
    for cut in &CUTS {
        let days = door
            .read("partitions", |line| async move { days(&line, cut).await })
            .await?;
        let oldest = now.minus((cut.keep)(&keep)).millis() / DAY;
        let today = now.millis() / DAY;
        let missing = (today - DAYS_BACK.min(today - oldest)..=today + DAYS_AHEAD).filter(|day| !days.contains(day));
        let over = days.iter().copied().filter(|day| *day < oldest);
        for day in missing {
            if left == 0 {
                done.more = true;
                break;
            }
            left -= 1;
            done.rows_moved += door
                .write("partition_make", |line| async move { make(&line, cut, day).await })
                .await?;
            done.partitions_made += 1;
        }
        for day in over {
            if left == 0 {
                done.more = true;
                break;
            }
            left -= 1;
            if door
                .write("partition_drop", |line| async move { drop_day(&line, cut, day).await })
                .await?
            {
                done.partitions_dropped += 1;
            }
        }
        let strays = door
            .write("strays_delete", |line| async move {
                delete_strays(&line, cut, start(oldest)).await
            })
            .await?;
        note_deleted(&mut done, strays);
    }
    let hours = now.minus(keep.usage_hours);
    let deleted = door
        .write("hours_delete", |line| async move {
            let sql = include_str!("../../../sql/queries/postgres/usage_hours_delete.sql");
            line.execute(sql, &[&hours, &ROWS_A_CALL]).await
        })
        .await?;
    note_deleted(&mut done, deleted);
    Ok(done)
}

fn note_deleted(done: &mut Upkeep, rows: u64) {
    done.rows_deleted += rows;
    done.more |= i64::try_from(rows).is_ok_and(|rows| rows >= ROWS_A_CALL);
}

/// When a day begins.
fn start(day: i64) -> Time {
    Time::from_millis(day * DAY)
}

/// What the partition of a day is called.
fn name(cut: &Cut, day: i64) -> String {
    let date: String = start(day)
        .to_string()
        .chars()
        .take(10)
        .filter(|it| *it != '-')
        .collect();
    format!("{}_{date}", cut.table)
}

/// The days that have partitions, by their names.
async fn days(line: &Line, cut: &Cut) -> Result<Vec<i64>, Fault> {
    let sql = include_str!("../../../sql/queries/postgres/partitions.sql");
    let rows = line.query(sql, &[&cut.table]).await?;
    let day = |row: &Row| -> Result<Option<i64>, Fault> {
        let name: &str = row.try_get(0)?;
        Ok(day_of(name.strip_prefix(cut.table).unwrap_or_default()))
    };
    let days = rows.iter().map(day).collect::<Result<Vec<_>, _>>()?;
    Ok(days.into_iter().flatten().collect())
}

/// The day that `_20261124` stands for.
fn day_of(suffix: &str) -> Option<i64> {
    let digits = suffix.strip_prefix('_').filter(|it| it.len() == 8 && it.is_ascii())?;
    let (year, month, day) = (&digits[..4], &digits[4..6], &digits[6..]);
    let midnight = Time::parse_rfc3339(&format!("{year}-{month}-{day}T00:00:00Z"))?;
    Some(midnight.millis() / DAY)
}

/// Makes the partition of a day and moves there what stood in none; gives how many rows. Until the end of this transaction nobody reads or writes
/// the table: who had read its list of partitions before and found the default one locked would look for the rows where they no longer are.
async fn make(line: &Line, cut: &Cut, day: i64) -> Result<u64, Fault> {
    lock(line).await?;
    if days(line, cut).await?.contains(&day) {
        return Ok(0);
    }
    let Cut { table, column, .. } = cut;
    let partition = identifier(&name(cut, day));
    let (from, to) = (start(day), start(day + 1));
    line.batch(&format!(
        "LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE; \
             CREATE TABLE {partition} (LIKE {table} INCLUDING DEFAULTS)"
    ))
    .await?;
    let moved = line
        .client
        .execute(
            &format!(
                "WITH stray AS (DELETE FROM {table}_default WHERE {column} >= $1 AND {column} < $2 RETURNING *) \
                 INSERT INTO {partition} SELECT * FROM stray"
            ),
            &[&from, &to],
        )
        .await?;
    line.batch(&format!(
        "ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM ('{from}') TO ('{to}')"
    ))
    .await?;
    Ok(moved)
}

/// Drops the partition of a day; not while its minutes are missing in the hours and days.
async fn drop_day(line: &Line, cut: &Cut, day: i64) -> Result<bool, Fault> {
    lock(line).await?;
    if !days(line, cut).await?.contains(&day) || !is_rolled_up(line, start(day + 1)).await? {
        return Ok(false);
    }
    let partition = identifier(&name(cut, day));
    line.batch(&format!("DROP TABLE {partition}")).await?;
    Ok(true)
}

/// Deletes rows that are too old and stand in no partition.
async fn delete_strays(line: &Line, cut: &Cut, before: Time) -> Result<u64, Fault> {
    if !is_rolled_up(line, before).await? {
        return Ok(0);
    }
    let Cut { table, column, .. } = cut;
    let sql = format!(
        "DELETE FROM {table}_default \
         WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table}_default WHERE {column} < $1 LIMIT $2))"
    );
    line.execute(&sql, &[&before, &ROWS_A_CALL]).await
}

/// Whether all minutes before this moment are in the hours and days.
async fn is_rolled_up(line: &Line, before: Time) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM usage_unrolled WHERE from_minute < $1 LIMIT 1";
    Ok(line.query_opt(sql, &[&before]).await?.is_none())
}

/// One instance at a time, to the end of the transaction.
async fn lock(line: &Line) -> Result<(), Fault> {
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended('core_partitions ' || current_schema(), 0))";
    line.query_one(sql, &[]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_day() {
        let day = Time::parse_rfc3339("2026-11-24T13:00:00Z").unwrap().millis() / DAY;
        assert_eq!(name(&CUTS[0], day), "usage_minutes_20261124");
        assert_eq!(day_of("_20261124"), Some(day));
        for other in ["_default", "", "_2026112", "_20261324"] {
            assert_eq!(day_of(other), None, "{other}");
        }
    }
}
