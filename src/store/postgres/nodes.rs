//! The rows of `nodes`: reading, changing, deleting, and what follows the live node.

use std::net::Ipv4Addr;

use tokio_postgres::Row;

use super::{
    admin::audit,
    fault::Fault,
    line::Line,
    values::{Text, port, storable},
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
fn record(row: &Row) -> Result<NodeRecord, Fault> {
    let ip = row.try_get::<_, &str>("ip")?.parse();
    Ok(NodeRecord {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        ip: ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
        port: port(row, "port")?,
        region: row.try_get("region")?,
        domain: row.try_get("domain")?,
        enabled: row.try_get("enabled")?,
        traffic_multiplier: row.try_get("traffic_multiplier")?,
        revision: row.try_get("revision")?,
        config_hash: row.try_get("config_hash")?,
        state: StoredState {
            status: row.try_get::<_, Text<_>>("status")?.0,
            sync_status: row.try_get::<_, Text<_>>("sync_status")?.0,
            applied_revision: row.try_get("applied_revision")?,
            last_seen_at: row.try_get("last_seen_at")?,
        },
        created_at: row.try_get("created_at")?,
        version: row.try_get("version")?,
    })
}

/// All nodes, by id.
pub(super) async fn all(line: &Line) -> Result<Vec<NodeRecord>, Fault> {
    let rows = line.query("SELECT * FROM nodes ORDER BY id", &[]).await?;
    rows.iter().map(record).collect()
}

/// One node, held against others who would change it.
pub(super) async fn hold(line: &Line, id: NodeId) -> Result<Option<NodeRecord>, Fault> {
    let sql = "SELECT * FROM nodes WHERE id = $1 FOR UPDATE";
    line.query_opt(sql, &[&id]).await?.as_ref().map(record).transpose()
}

/// The node that has this name, to the letter.
pub(super) async fn named(line: &Line, name: &str) -> Result<Option<NodeId>, Fault> {
    let row = line.query_opt("SELECT id FROM nodes WHERE name = $1", &[&name]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Whether the node is there. It stays until the end of the transaction.
pub(super) async fn is_there(line: &Line, id: NodeId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM nodes WHERE id = $1 FOR KEY SHARE";
    Ok(line.query_opt(sql, &[&id]).await?.is_some())
}

/// Changes a node; see [`crate::store::Store::patch_node`].
pub(super) async fn patch(
    line: &Line,
    id: NodeId,
    patch: &NodePatch,
    if_version: Option<i64>,
    by: &Change,
) -> Result<PatchOutcome, Fault> {
    let Some(before) = hold(line, id).await? else {
        return Ok(PatchOutcome::Missing);
    };
    if if_version.is_some_and(|version| version != before.version) {
        return Ok(PatchOutcome::Stale);
    }
    if let Some(name) = &patch.name
        && named(line, &storable(name)).await?.is_some_and(|other| other != id)
    {
        return Ok(PatchOutcome::NameTaken);
    }
    let after = patched(before, patch)?;
    line.execute(
        include_str!("../../../sql/queries/postgres/node_patch.sql"),
        &[
            &after.id,
            &after.name,
            &Text(after.ip),
            &i32::from(after.port),
            &after.region,
            &after.domain,
            &after.enabled,
            &after.traffic_multiplier,
            &after.version,
        ],
    )
    .await?;
    let details = serde_json::to_value(patch).unwrap_or_default();
    audit(line, by, "node.patch", Some(id.0), &details).await?;
    Ok(PatchOutcome::Done(Box::new(after)))
}

fn patched(before: NodeRecord, patch: &NodePatch) -> Result<NodeRecord, Fault> {
    let text = |given: &Option<String>, before: String| given.as_deref().map_or(before, |it| storable(it).into_owned());
    let domain = patch.domain.clone().unwrap_or(before.domain);
    let after = NodeRecord {
        name: text(&patch.name, before.name),
        ip: patch.ip.unwrap_or(before.ip),
        port: patch.port.unwrap_or(before.port),
        region: text(&patch.region, before.region),
        domain: domain.map(|it| storable(&it).into_owned()),
        enabled: patch.enabled.unwrap_or(before.enabled),
        traffic_multiplier: patch.traffic_multiplier.unwrap_or(before.traffic_multiplier),
        version: before.version.saturating_add(1),
        ..before
    };
    // A multiplier weighs bytes: without a value of its own, or below zero, the sums would be none.
    if !after.traffic_multiplier.is_finite() || after.traffic_multiplier < 0.0 {
        return Err(Fault::refused("trafficMultiplier", "must be 0 or more"));
    }
    Ok(after)
}

/// Everything that goes with a node, in the order in which nothing refers to what is gone.
const DELETES: [&str; 7] = [
    "DELETE FROM node_routing_rules \
     WHERE node_id = $1 OR outbound_id IN (SELECT id FROM node_outbounds WHERE node_id = $1)",
    "DELETE FROM node_balancers WHERE node_id = $1",
    "DELETE FROM node_protocol_links WHERE proto_id IN (SELECT id FROM node_protocols WHERE node_id = $1)",
    "DELETE FROM node_protocols WHERE node_id = $1",
    "DELETE FROM node_outbounds WHERE node_id = $1",
    "DELETE FROM node_keys WHERE node_id = $1",
    "DELETE FROM nodes WHERE id = $1",
];

/// Deletes a node with its keys and its part of the catalogue; usage, events, errors and rejected items stay.
pub(super) async fn delete(line: &Line, id: NodeId, by: &Change) -> Result<bool, Fault> {
    let Some(node) = hold(line, id).await? else {
        return Ok(false);
    };
    for sql in DELETES {
        line.execute(sql, &[&id]).await?;
    }
    let details = serde_json::json!({ "name": node.name });
    audit(line, by, "node.delete", Some(id.0), &details).await?;
    Ok(true)
}

/// The errors of a node, newest first.
pub(super) async fn errors(line: &Line, node: NodeId, page: Page) -> Result<Vec<NodeErrorRow>, Fault> {
    let sql = "SELECT * FROM node_errors WHERE node_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
    let before = page.before.unwrap_or(i64::MAX);
    let rows = line.query(sql, &[&node, &before, &i64::from(page.limit)]).await?;
    let read = |row: &Row| {
        Ok(NodeErrorRow {
            id: row.try_get("id")?,
            node_id: row.try_get("node_id")?,
            revision: row.try_get("revision")?,
            message: row.try_get("message")?,
            code: row.try_get("code")?,
            details: row.try_get("details")?,
            at: row.try_get("at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Writes states where they are not older than what is there.
pub(super) async fn save_states(line: &Line, at: Time, states: &[(NodeId, StoredState)]) -> Result<(), Fault> {
    let mut states = states.to_vec();
    states.sort_unstable_by_key(|(node, _)| *node);
    let nodes: Vec<NodeId> = states.iter().map(|(node, _)| *node).collect();
    let statuses: Vec<&str> = states.iter().map(|(_, state)| state.status.as_str()).collect();
    let syncs: Vec<&str> = states.iter().map(|(_, state)| state.sync_status.as_str()).collect();
    let applied: Vec<i64> = states.iter().map(|(_, state)| state.applied_revision).collect();
    let seen: Vec<Option<Time>> = states.iter().map(|(_, state)| state.last_seen_at).collect();
    line.execute(
        include_str!("../../../sql/queries/postgres/node_states.sql"),
        &[&nodes, &at, &statuses, &syncs, &applied, &seen],
    )
    .await?;
    Ok(())
}

/// The revisions for the contents of some nodes, in order:
///
/// - the hash that is there, or the first hash of the node: the revision stays, unless it must move past `above`;
/// - another hash: one more than the larger of the revision and `above`.
///
/// So with `above` = 0 the hash alone decides, and with more the answer is always greater than `above`.
pub(super) async fn settle_revisions(line: &Line, wanted: &[Wanted]) -> Result<Vec<Option<i64>>, Fault> {
    let nodes: Vec<NodeId> = wanted.iter().map(|it| it.node).collect();
    let hashes: Vec<ConfigHash> = wanted.iter().map(|it| it.hash).collect();
    let above: Vec<i64> = wanted.iter().map(|it| it.above).collect();
    let rows = line
        .query(
            include_str!("../../../sql/queries/postgres/revisions_settle.sql"),
            &[&nodes, &hashes, &above],
        )
        .await?;
    let mut settled = vec![None; wanted.len()];
    for row in rows {
        let place = usize::try_from(row.try_get::<_, i64>("place")?).unwrap_or(0);
        if let Some(settled) = place.checked_sub(1).and_then(|place| settled.get_mut(place)) {
            *settled = Some(row.try_get("revision")?);
        }
    }
    Ok(settled)
}

/// Lifts the revision to one more than `reported` if it is below that; callers hold `reported` within reason.
pub(super) async fn raise_revision(line: &Line, node: NodeId, reported: i64) -> Result<Option<i64>, Fault> {
    let sql = "UPDATE nodes SET revision = CASE WHEN revision >= $2 THEN revision ELSE $3 END \
               WHERE id = $1 RETURNING revision";
    let row = line
        .query_opt(sql, &[&node, &reported, &reported.saturating_add(1)])
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}
