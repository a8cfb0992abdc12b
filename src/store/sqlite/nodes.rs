//! The rows of `nodes`: reading, changing, deleting, and what follows the live node.

use std::net::Ipv4Addr;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params};

use super::{
    admin::audit,
    fault::Fault,
    values::{Json, Text},
};
use crate::{
    model::{
        NodeId, Time,
        node::{NodeErrorRow, NodePatch, NodeRecord, StoredState},
        node_config::ConfigHash,
    },
    store::{Change, Page, PatchOutcome, Wanted},
};

/// A row of `nodes`. An address that somebody spoiled by hand must not cost the node: it is one that nothing is ever sent to.
fn record(row: &Row<'_>) -> rusqlite::Result<NodeRecord> {
    let ip = row.get::<_, String>("ip")?.parse();
    Ok(NodeRecord {
        id: row.get("id")?,
        name: row.get("name")?,
        ip: ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
        port: row.get("port")?,
        region: row.get("region")?,
        domain: row.get("domain")?,
        enabled: row.get("enabled")?,
        traffic_multiplier: row.get("traffic_multiplier")?,
        revision: row.get("revision")?,
        config_hash: row.get("config_hash")?,
        state: StoredState {
            status: row.get::<_, Text<_>>("status")?.0,
            sync_status: row.get::<_, Text<_>>("sync_status")?.0,
            applied_revision: row.get("applied_revision")?,
            last_seen_at: row.get("last_seen_at")?,
        },
        created_at: row.get("created_at")?,
        version: row.get("version")?,
    })
}

/// All nodes, by id.
pub(super) fn all(connection: &Connection) -> Result<Vec<NodeRecord>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM nodes ORDER BY id")?;
    let rows = statement.query_map([], record)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One node.
pub(super) fn find(connection: &Connection, id: NodeId) -> Result<Option<NodeRecord>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM nodes WHERE id = ?1")?;
    Ok(statement.query_row([id], record).optional()?)
}

/// The node that has this name, to the letter.
pub(super) fn named(connection: &Connection, name: &str) -> Result<Option<NodeId>, Fault> {
    let mut statement = connection.prepare_cached("SELECT id FROM nodes WHERE name = ?1")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

/// Whether the node is there.
pub(super) fn is_there(connection: &Connection, id: NodeId) -> Result<bool, Fault> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM nodes WHERE id = ?1")?
        .exists([id])?)
}

/// Changes a node; see [`crate::store::Store::patch_node`].
pub(super) fn patch(
    transaction: &Connection,
    id: NodeId,
    patch: &NodePatch,
    if_version: Option<i64>,
    by: &Change,
) -> Result<PatchOutcome, Fault> {
    let Some(before) = find(transaction, id)? else {
        return Ok(PatchOutcome::Missing);
    };
    if if_version.is_some_and(|version| version != before.version) {
        return Ok(PatchOutcome::Stale);
    }
    if let Some(name) = &patch.name
        && named(transaction, name)?.is_some_and(|other| other != id)
    {
        return Ok(PatchOutcome::NameTaken);
    }
    let after = NodeRecord {
        name: patch.name.clone().unwrap_or(before.name),
        ip: patch.ip.unwrap_or(before.ip),
        port: patch.port.unwrap_or(before.port),
        region: patch.region.clone().unwrap_or(before.region),
        domain: patch.domain.clone().unwrap_or(before.domain),
        enabled: patch.enabled.unwrap_or(before.enabled),
        traffic_multiplier: patch.traffic_multiplier.unwrap_or(before.traffic_multiplier),
        version: before.version.saturating_add(1),
        ..before
    };
    check_multiplier(after.traffic_multiplier)?;
    transaction
        .prepare_cached(include_str!("../../../sql/queries/sqlite/node_patch.sql"))?
        .execute(params![
            after.id,
            after.name,
            Text(after.ip),
            after.port,
            after.region,
            after.domain,
            after.enabled,
            after.traffic_multiplier,
            after.version,
        ])
        .map_err(|error| Fault::from(error).blame(""))?;
    let details = serde_json::to_value(patch).unwrap_or_default();
    audit(transaction, by, "node.patch", Some(id.0), &details)?;
    Ok(PatchOutcome::Done(Box::new(after)))
}

/// A multiplier weighs bytes: without a value of its own, or below zero, the sums would be none.
fn check_multiplier(multiplier: f64) -> Result<(), Fault> {
    if multiplier.is_finite() && multiplier >= 0.0 {
        Ok(())
    } else {
        Err(Fault::refused("trafficMultiplier", "must be 0 or more"))
    }
}

/// Everything that goes with a node, in the order in which nothing refers to what is gone.
const DELETES: [&str; 7] = [
    "DELETE FROM node_routing_rules \
     WHERE node_id = ?1 OR outbound_id IN (SELECT id FROM node_outbounds WHERE node_id = ?1)",
    "DELETE FROM node_balancers WHERE node_id = ?1",
    "DELETE FROM node_protocol_links WHERE proto_id IN (SELECT id FROM node_protocols WHERE node_id = ?1)",
    "DELETE FROM node_protocols WHERE node_id = ?1",
    "DELETE FROM node_outbounds WHERE node_id = ?1",
    "DELETE FROM node_keys WHERE node_id = ?1",
    "DELETE FROM nodes WHERE id = ?1",
];

/// Deletes a node with its keys and its part of the catalogue; usage, events, errors and rejected items stay.
pub(super) fn delete(transaction: &Connection, id: NodeId, by: &Change) -> Result<bool, Fault> {
    let Some(node) = find(transaction, id)? else {
        return Ok(false);
    };
    for sql in DELETES {
        transaction.prepare_cached(sql)?.execute([id])?;
    }
    let details = serde_json::json!({ "name": node.name });
    audit(transaction, by, "node.delete", Some(id.0), &details)?;
    Ok(true)
}

/// The errors of a node, newest first.
pub(super) fn errors(connection: &Connection, node: NodeId, page: Page) -> Result<Vec<NodeErrorRow>, Fault> {
    let mut statement = connection
        .prepare_cached("SELECT * FROM node_errors WHERE node_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3")?;
    let rows = statement.query_map(params![node, page.before.unwrap_or(i64::MAX), page.limit], |row| {
        Ok(NodeErrorRow {
            id: row.get("id")?,
            node_id: row.get("node_id")?,
            revision: row.get("revision")?,
            message: row.get("message")?,
            code: row.get("code")?,
            details: row.get::<_, Option<Json>>("details")?.map(|it| it.0),
            at: row.get("at")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes states where they are not older than what is there.
pub(super) fn save_states(transaction: &Connection, at: Time, states: &[(NodeId, StoredState)]) -> Result<(), Fault> {
    let mut statement: CachedStatement<'_> =
        transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/node_state.sql"))?;
    for (node, state) in states {
        statement.execute(params![
            node,
            at,
            Text(state.status),
            Text(state.sync_status),
            state.applied_revision,
            state.last_seen_at,
        ])?;
    }
    Ok(())
}

/// The revisions for the contents of some nodes, in order.
pub(super) fn settle_revisions(transaction: &Connection, wanted: &[Wanted]) -> Result<Vec<Option<i64>>, Fault> {
    wanted
        .iter()
        .map(|wanted| settle_revision(transaction, wanted))
        .collect()
}

/// The revision for a content:
///
/// - the hash that is there, or the first hash of the node: the revision stays, unless it must move past `above`;
/// - another hash: one more than the larger of the revision and `above`.
///
/// So with `above` = 0 the hash alone decides, and with more the answer is always greater than `above`.
fn settle_revision(transaction: &Connection, wanted: &Wanted) -> Result<Option<i64>, Fault> {
    let Wanted { node, hash, above } = *wanted;
    let Some((revision, stored)) = revision(transaction, node)? else {
        return Ok(None);
    };
    let is_new_content = stored.is_some_and(|stored| stored != hash);
    let settled = if is_new_content || revision <= above {
        revision.max(above).saturating_add(1)
    } else {
        revision
    };
    if settled != revision || stored != Some(hash) {
        transaction
            .prepare_cached("UPDATE nodes SET revision = ?2, config_hash = ?3 WHERE id = ?1")?
            .execute(params![node, settled, hash])?;
    }
    Ok(Some(settled))
}

/// Lifts the revision to one more than `reported` if it is below that; callers hold `reported` within reason.
pub(super) fn raise_revision(transaction: &Connection, node: NodeId, reported: i64) -> Result<Option<i64>, Fault> {
    let Some((revision, _)) = revision(transaction, node)? else {
        return Ok(None);
    };
    if revision >= reported {
        return Ok(Some(revision));
    }
    let raised = reported.saturating_add(1);
    transaction
        .prepare_cached("UPDATE nodes SET revision = ?2 WHERE id = ?1")?
        .execute(params![node, raised])?;
    Ok(Some(raised))
}

fn revision(connection: &Connection, node: NodeId) -> Result<Option<(i64, Option<ConfigHash>)>, Fault> {
    let mut statement = connection.prepare_cached("SELECT revision, config_hash FROM nodes WHERE id = ?1")?;
    Ok(statement
        .query_row([node], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}
