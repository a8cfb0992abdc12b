//! What a batch came to, written down: rows of their own by COPY, growth of counters by one statement a table.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    copy::Rows,
    fault::Fault,
    line::Line,
    quotas::quota,
    suspects,
    values::{json_of, storable},
};
use crate::{
    model::{
        NodeId, ProtocolId, SubscriptionId, Time,
        entry::ReportKind,
        fold::{Aside, Bytes, Fold, SyncReport},
        quota::Quota,
    },
    store::weighing::weighed,
};

/// Errors that are kept of each node.
const ERRORS_KEPT: i64 = 100;

/// Writes everything; gives how many sums did not fit a column, and the quotas that grew. What is copied goes first and alone: a COPY that meets
/// a transaction which has failed leaves its connection out of step. Everything else is asked at once: a batch is a few round trips long, however
/// much is in it.
pub(super) async fn write(line: &Line, fold: &Fold) -> Result<(u64, Vec<Quota>), Fault> {
    let held = write_usage(line, fold).await?;
    write_sessions(line, fold).await?;
    let (subscriptions, protocols, outbounds, suspects, rejected, errors, sync) = tokio::join!(
        grow_subscriptions(line, fold),
        grow_protocols(line, &fold.protocols),
        grow_outbounds(line, &fold.outbounds),
        suspects::write(line, &fold.suspect),
        write_rejected(line, &fold.rejected),
        write_errors(line, fold),
        write_sync(line, &fold.sync),
    );
    let mut cause = Cause::default();
    let held = held + cause.of(protocols) + cause.of(outbounds);
    let (of_subscriptions, quotas) = cause.of(subscriptions);
    for done in [suspects, rejected, errors, sync] {
        cause.of(done);
    }
    match cause.0 {
        None => Ok((held + of_subscriptions, quotas)),
        Some(fault) => Err(fault),
    }
}

/// Why a transaction failed. After the first statement that fails, PostgreSQL refuses all others with words of its own.
#[derive(Default)]
struct Cause(Option<Fault>);

impl Cause {
    fn of<T: Default>(&mut self, outcome: Result<T, Fault>) -> T {
        let fault = match outcome {
            Ok(done) => return done,
            Err(fault) => fault,
        };
        if self.0.as_ref().is_none_or(Fault::is_echo) {
            self.0 = Some(fault);
        }
        T::default()
    }
}

/// The minutes, and the mark by which the roll-up finds them.
async fn write_usage(line: &Line, fold: &Fold) -> Result<u64, Fault> {
    let minutes = || fold.usage.keys().map(|key| key.minute);
    let (Some(first), Some(last)) = (minutes().min(), minutes().max()) else {
        return Ok(0);
    };
    let sql = "INSERT INTO usage_unrolled (from_minute, to_minute) VALUES ($1, $2) RETURNING batch";
    let batch: i64 = line.query_one(sql, &[&first, &last]).await?.try_get(0)?;
    let mut held = 0;
    let mut rows = Rows::new(8, fold.usage.len());
    for (key, bytes) in &fold.usage {
        let (up, down) = bytes.saturated();
        held += u64::from(i128::from(up) != bytes.up) + u64::from(i128::from(down) != bytes.down);
        rows.row()
            .int(key.node.0)
            .int(key.user.0)
            .maybe_int(key.subscription.map(|id| id.0))
            .int(key.protocol.0)
            .time(key.minute)
            .int(up)
            .int(down)
            .int(batch);
    }
    rows.send(
        line,
        "COPY usage_minutes (node_id, user_id, subscription_id, node_protocol_id, minute, bytes_up, bytes_down, batch) \
         FROM STDIN (FORMAT binary)",
    )
    .await?;
    Ok(held)
}

/// Gives how many sums are held at 2^63-1, and the quotas as they now are: a panel may have begun a new period meanwhile.
async fn grow_subscriptions(line: &Line, fold: &Fold) -> Result<(u64, Vec<Quota>), Fault> {
    if fold.subscriptions.is_empty() {
        return Ok((0, Vec::new()));
    }
    let weighed = weighed(&fold.usage, &multipliers(line, fold).await?);
    let ids: Vec<SubscriptionId> = fold.subscriptions.keys().copied().collect();
    let (up, down) = columns(fold.subscriptions.values());
    let period: Vec<i64> = ids.iter().map(|id| weighed.get(id).copied().unwrap_or(0)).collect();
    let grown = line
        .query(
            include_str!("../../../sql/queries/postgres/subscriptions_grow.sql"),
            &[&ids, &up, &down, &period],
        )
        .await?;
    let (mut held, mut quotas) = (0, Vec::with_capacity(grown.len()));
    for row in &grown {
        held += count(row.try_get("held")?);
        quotas.push(quota(row)?);
    }
    Ok((held, quotas))
}

/// What a byte counts on the nodes of this batch.
async fn multipliers(line: &Line, fold: &Fold) -> Result<BTreeMap<NodeId, f64>, Fault> {
    let nodes: BTreeSet<NodeId> = fold.usage.keys().map(|key| key.node).collect();
    let nodes: Vec<NodeId> = nodes.into_iter().collect();
    let sql = "SELECT id, traffic_multiplier FROM nodes WHERE id = ANY($1)";
    let rows = line.query(sql, &[&nodes]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn grow_protocols(line: &Line, protocols: &BTreeMap<ProtocolId, Bytes>) -> Result<u64, Fault> {
    if protocols.is_empty() {
        return Ok(0);
    }
    let ids: Vec<ProtocolId> = protocols.keys().copied().collect();
    let (up, down) = columns(protocols.values());
    let sql = include_str!("../../../sql/queries/postgres/protocols_grow.sql");
    Ok(count(line.query_one(sql, &[&ids, &up, &down]).await?.try_get(0)?))
}

async fn grow_outbounds(line: &Line, outbounds: &BTreeMap<(NodeId, String), Bytes>) -> Result<u64, Fault> {
    if outbounds.is_empty() {
        return Ok(0);
    }
    let nodes: Vec<NodeId> = outbounds.keys().map(|(node, _)| *node).collect();
    // A tag with a NUL is no outbound's.
    let tags: Vec<_> = outbounds.keys().map(|(_, tag)| storable(tag)).collect();
    let (up, down) = columns(outbounds.values());
    let sql = include_str!("../../../sql/queries/postgres/outbounds_grow.sql");
    Ok(count(
        line.query_one(sql, &[&nodes, &tags, &up, &down]).await?.try_get(0)?,
    ))
}

fn columns<'a>(bytes: impl Iterator<Item = &'a Bytes>) -> (Vec<i64>, Vec<i64>) {
    bytes.map(|bytes| bytes.saturated()).unzip()
}

fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

async fn write_sessions(line: &Line, fold: &Fold) -> Result<(), Fault> {
    let mut rows = Rows::new(6, fold.sessions.len());
    for (node, row) in &fold.sessions {
        rows.row()
            .int(node.0)
            .int(row.user.0)
            .text(&row.protocol)
            .text(&row.event_type)
            .time(row.occurred_at);
        match row.ip {
            Some(ip) => rows.text(&ip.to_string()),
            None => rows.null(),
        };
    }
    rows.send(
        line,
        "COPY session_events (node_id, user_id, protocol, event_type, occurred_at, ip_address) FROM STDIN (FORMAT binary)",
    )
    .await
}

async fn write_rejected(line: &Line, rejected: &[Aside]) -> Result<(), Fault> {
    let is_usage = |kind: &ReportKind| matches!(kind, ReportKind::Usage | ReportKind::OutboundUsage);
    let usage = rejected.iter().filter(|(_, kind, ..)| is_usage(kind));
    let events = rejected.iter().filter(|(_, kind, ..)| !is_usage(kind));
    insert_rejected(line, "usage_rejected", usage).await?;
    insert_rejected(line, "events_rejected", events).await
}

async fn insert_rejected(line: &Line, table: &str, items: impl Iterator<Item = &Aside> + Send) -> Result<(), Fault> {
    let items: Vec<&Aside> = items.collect();
    if items.is_empty() {
        return Ok(());
    }
    let nodes: Vec<NodeId> = items.iter().map(|(node, ..)| *node).collect();
    let kinds: Vec<&str> = items.iter().map(|(_, kind, ..)| kind.as_str()).collect();
    let times: Vec<Time> = items.iter().map(|(_, _, at, _)| *at).collect();
    let reasons: Vec<_> = items.iter().map(|(.., item)| storable(&item.reason)).collect();
    let rows: Vec<Value> = items.iter().map(|(.., item)| json_of(&item.item_json)).collect();
    let sql = format!(
        "INSERT INTO {table} (node_id, kind, reason, item, received_at) \
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::jsonb[], $5::timestamptz[])"
    );
    line.execute(&sql, &[&nodes, &kinds, &reasons, &rows, &times]).await?;
    Ok(())
}

async fn write_errors(line: &Line, fold: &Fold) -> Result<(), Fault> {
    if fold.errors.is_empty() {
        return Ok(());
    }
    let nodes: Vec<NodeId> = fold.errors.iter().map(|(node, ..)| *node).collect();
    let times: Vec<Time> = fold.errors.iter().map(|(_, at, _)| *at).collect();
    let failures = || fold.errors.iter().map(|(.., failure)| failure);
    let revisions: Vec<i64> = failures().map(|it| it.revision).collect();
    let messages: Vec<_> = failures().map(|it| storable(&it.message)).collect();
    let codes: Vec<_> = failures().map(|it| it.code.as_deref().map(storable)).collect();
    let details: Vec<_> = failures().map(|it| it.details_json.as_deref().map(json_of)).collect();
    line.execute(
        include_str!("../../../sql/queries/postgres/node_errors_insert.sql"),
        &[&nodes, &revisions, &messages, &codes, &details, &times],
    )
    .await?;
    Ok(())
}

/// Lets go of errors of these nodes that later ones pushed out.
pub(super) async fn trim_errors(line: &Line, nodes: &BTreeSet<NodeId>) -> Result<(), Fault> {
    if nodes.is_empty() {
        return Ok(());
    }
    let nodes: Vec<NodeId> = nodes.iter().copied().collect();
    line.execute(
        include_str!("../../../sql/queries/postgres/node_errors_trim.sql"),
        &[&nodes, &ERRORS_KEPT],
    )
    .await?;
    Ok(())
}

async fn write_sync(line: &Line, sync: &BTreeMap<NodeId, (Time, SyncReport)>) -> Result<(), Fault> {
    if sync.is_empty() {
        return Ok(());
    }
    let nodes: Vec<NodeId> = sync.keys().copied().collect();
    let times: Vec<Time> = sync.values().map(|(at, _)| *at).collect();
    let applied: Vec<Option<i64>> = sync
        .values()
        .map(|(_, report)| match report {
            SyncReport::Applied(revision) => Some(*revision),
            SyncReport::Failed => None,
        })
        .collect();
    line.execute(
        include_str!("../../../sql/queries/postgres/nodes_sync.sql"),
        &[&nodes, &times, &applied],
    )
    .await?;
    Ok(())
}
