//! What a batch came to, written down: rows of their own, and growth of counters.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::{fault::Fault, suspects, values::Text};
use crate::{
    model::{
        NodeId, Time,
        entry::{NodeFailure, ReportKind},
        fold::{Aside, Fold, SyncReport},
        quota::Quota,
        session::SessionRow,
    },
    store::{Totals, weighing::weighed},
};

/// Errors that are kept of each node.
const ERRORS_KEPT: i64 = 100;

/// Writes everything; gives how many sums did not fit a column, and the quotas that grew.
pub(super) fn write(transaction: &Connection, fold: &Fold) -> Result<(u64, Vec<Quota>), Fault> {
    let mut saturated = write_usage(transaction, fold)?;
    grow_hours_and_days(transaction, fold)?;
    let (held, quotas) = grow_subscriptions(transaction, fold)?;
    saturated += held;
    saturated += grow_protocols(transaction, fold)?;
    saturated += grow_outbounds(transaction, fold)?;
    write_sessions(transaction, &fold.sessions)?;
    suspects::write(transaction, &fold.suspect)?;
    write_rejected(transaction, &fold.rejected)?;
    write_errors(transaction, &fold.errors)?;
    write_sync(transaction, &fold.sync)?;
    Ok((saturated, quotas))
}

fn write_usage(transaction: &Connection, fold: &Fold) -> Result<u64, Fault> {
    let mut saturated = 0;
    let mut insert = transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/usage_insert.sql"))?;
    for (key, bytes) in &fold.usage {
        let (up, down) = bytes.saturated();
        saturated += u64::from(i128::from(up) != bytes.up) + u64::from(i128::from(down) != bytes.down);
        insert.execute(params![
            key.node,
            key.user,
            key.subscription,
            key.protocol,
            key.minute,
            up,
            down
        ])?;
    }
    Ok(saturated)
}

/// What is held at 2^63-1 here is not told: it is the same bytes again.
fn grow_hours_and_days(transaction: &Connection, fold: &Fold) -> Result<(), Fault> {
    for (sql, sums) in [
        (
            include_str!("../../../sql/queries/sqlite/usage_hour_grow.sql"),
            fold.per_hour(),
        ),
        (
            include_str!("../../../sql/queries/sqlite/usage_day_grow.sql"),
            fold.per_day(),
        ),
    ] {
        let mut grow = transaction.prepare_cached(sql)?;
        for (key, bytes) in sums {
            let (up, down) = bytes.saturated();
            grow.execute(params![
                key.node,
                key.user,
                key.subscription,
                key.protocol,
                key.minute,
                up,
                down
            ])?;
        }
    }
    Ok(())
}

/// Gives how many sums are held at 2^63-1, and the quotas as they now are: a panel may have begun a new period meanwhile.
fn grow_subscriptions(transaction: &Connection, fold: &Fold) -> Result<(u64, Vec<Quota>), Fault> {
    let weighed = weighed(&fold.usage, &multipliers(transaction, fold)?);
    let mut statement =
        transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/subscription_grow.sql"))?;
    let (mut saturated, mut quotas) = (0, Vec::with_capacity(fold.subscriptions.len()));
    for (id, bytes) in &fold.subscriptions {
        let (up, down) = bytes.saturated();
        let period = weighed.get(id).copied().unwrap_or(0);
        let grown = statement.query_row(params![id, up, down, period], |row| {
            let quota = Quota {
                subscription: *id,
                period_bytes: row.get(1)?,
                period_started_at: row.get(2)?,
            };
            Ok((row.get::<_, u32>(0)?, quota))
        });
        if let Some((held, quota)) = grown.optional()? {
            saturated += u64::from(held);
            quotas.push(quota);
        }
    }
    Ok((saturated, quotas))
}

fn grow_protocols(transaction: &Connection, fold: &Fold) -> Result<u64, Fault> {
    let sql = include_str!("../../../sql/queries/sqlite/protocol_grow.sql");
    fold.protocols.iter().try_fold(0, |saturated, (id, bytes)| {
        let (up, down) = bytes.saturated();
        Ok(saturated + grow(transaction, sql, params![id, up, down])?)
    })
}

fn grow_outbounds(transaction: &Connection, fold: &Fold) -> Result<u64, Fault> {
    let sql = include_str!("../../../sql/queries/sqlite/outbound_grow.sql");
    fold.outbounds.iter().try_fold(0, |saturated, ((node, tag), bytes)| {
        let (up, down) = bytes.saturated();
        Ok(saturated + grow(transaction, sql, params![node, tag, up, down])?)
    })
}

/// Runs a growth; gives how many of its two columns are now held at 2^63-1 although they should have grown past it. A
/// counter of something that is not there does not grow.
fn grow(transaction: &Connection, sql: &str, parameters: impl Params) -> Result<u64, Fault> {
    let held = transaction
        .prepare_cached(sql)?
        .query_row(parameters, |row| row.get::<_, u32>(0))
        .optional()?;
    Ok(u64::from(held.unwrap_or(0)))
}

/// What a byte counts on the nodes of this batch.
fn multipliers(connection: &Connection, fold: &Fold) -> Result<BTreeMap<NodeId, f64>, Fault> {
    let nodes: BTreeSet<NodeId> = fold.usage.keys().map(|key| key.node).collect();
    let mut statement = connection.prepare_cached("SELECT traffic_multiplier FROM nodes WHERE id = ?1")?;
    let mut multipliers = BTreeMap::new();
    for node in nodes {
        if let Some(multiplier) = statement.query_row([node], |row| row.get(0)).optional()? {
            multipliers.insert(node, multiplier);
        }
    }
    Ok(multipliers)
}

fn write_sessions(transaction: &Connection, sessions: &[(NodeId, SessionRow)]) -> Result<(), Fault> {
    let mut insert = transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/session_insert.sql"))?;
    for (node, row) in sessions {
        insert.execute(params![
            node,
            row.user,
            row.protocol,
            row.event_type,
            row.occurred_at,
            row.ip.map(Text)
        ])?;
    }
    Ok(())
}

fn write_rejected(transaction: &Connection, rejected: &[Aside]) -> Result<(), Fault> {
    let insert_into = |table: &str| {
        format!("INSERT INTO {table} (node_id, kind, reason, item, received_at) VALUES (?1, ?2, ?3, ?4, ?5)")
    };
    let mut usage = transaction.prepare_cached(&insert_into("usage_rejected"))?;
    let mut events = transaction.prepare_cached(&insert_into("events_rejected"))?;
    for (node, kind, at, item) in rejected {
        let insert = match kind {
            ReportKind::Usage | ReportKind::OutboundUsage => &mut usage,
            ReportKind::SessionEvents | ReportKind::ConfigApplied | ReportKind::NodeError => &mut events,
        };
        insert.execute(params![node, Text(kind), item.reason, item.item_json, at])?;
    }
    Ok(())
}

fn write_errors(transaction: &Connection, errors: &[(NodeId, Time, NodeFailure)]) -> Result<(), Fault> {
    let mut insert = transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/node_error_insert.sql"))?;
    let mut trim = transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/node_errors_trim.sql"))?;
    for (node, at, failure) in errors {
        insert.execute(params![
            node,
            failure.revision,
            failure.message,
            failure.code,
            failure.details_json,
            at
        ])?;
        trim.execute(params![node, ERRORS_KEPT])?;
    }
    Ok(())
}

fn write_sync(transaction: &Connection, sync: &BTreeMap<NodeId, (Time, SyncReport)>) -> Result<(), Fault> {
    let mut applied = transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/node_applied.sql"))?;
    let mut failed = transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/node_failed.sql"))?;
    for (node, (at, report)) in sync {
        match report {
            SyncReport::Applied(revision) => applied.execute(params![node, at, revision])?,
            SyncReport::Failed => failed.execute(params![node, at])?,
        };
    }
    Ok(())
}

/// The bytes that are counted. Summed in halves of 32 bits, since a sum of saturated columns leaves 64.
pub(super) fn totals(connection: &Connection) -> Result<Totals, Fault> {
    let both = |table: &str, columns: [&str; 2]| -> Result<(i64, i64), Fault> {
        Ok((sum(connection, table, columns[0])?, sum(connection, table, columns[1])?))
    };
    let counters = ["traffic_bytes_up", "traffic_bytes_down"];
    let (usage_up, usage_down) = both("usage_minutes", ["bytes_up", "bytes_down"])?;
    let (hours_up, hours_down) = both("usage_hours", ["bytes_up", "bytes_down"])?;
    let (days_up, days_down) = both("usage_days", ["bytes_up", "bytes_down"])?;
    let (subscriptions_up, subscriptions_down) = both("subscriptions", counters)?;
    let (outbounds_up, outbounds_down) = both("node_outbounds", counters)?;
    let session_events = connection.query_row("SELECT count(*) FROM session_events", [], |row| row.get(0))?;
    Ok(Totals {
        usage_up,
        usage_down,
        hours_up,
        hours_down,
        days_up,
        days_down,
        subscriptions_up,
        subscriptions_down,
        outbounds_up,
        outbounds_down,
        session_events,
    })
}

fn sum(connection: &Connection, table: &str, column: &str) -> Result<i64, Fault> {
    let sql = format!("SELECT coalesce(sum({column} >> 32), 0), coalesce(sum({column} & 4294967295), 0) FROM {table}");
    let (high, low): (i64, i64) = connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(whole(high, low))
}

/// A sum from the sums of its halves of 32 bits, held at 2^63-1.
pub(super) fn whole(high: i64, low: i64) -> i64 {
    let whole = (i128::from(high) << 32) + i128::from(low);
    i64::try_from(whole).unwrap_or(i64::MAX)
}
