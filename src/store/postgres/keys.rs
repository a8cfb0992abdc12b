//! The keys that nodes sign in with.

use tokio_postgres::Row;

use super::{admin::audit, fault::Fault, line::Line, nodes};
use crate::{
    model::{KeyId, NodeId, Time, node::NodeKey, secrets::SecretHash},
    store::Change,
};

/// Makes the key for a node's id and gives its hash.
pub(super) type Issue<'a> = &'a (dyn Fn(NodeId) -> SecretHash + Send + Sync);

fn key(row: &Row) -> Result<NodeKey, Fault> {
    Ok(NodeKey {
        id: row.try_get("id")?,
        node_id: row.try_get("node_id")?,
        hash: row.try_get("key_hash")?,
        created_at: row.try_get("created_at")?,
        first_used_at: row.try_get("first_used_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}

/// All keys that live, by id.
pub(super) async fn alive(line: &Line) -> Result<Vec<NodeKey>, Fault> {
    let sql = "SELECT * FROM node_keys WHERE revoked_at IS NULL ORDER BY id";
    line.query(sql, &[]).await?.iter().map(key).collect()
}

/// The key with this hash, dead or alive.
pub(super) async fn find(line: &Line, hash: SecretHash) -> Result<Option<NodeKey>, Fault> {
    let sql = "SELECT * FROM node_keys WHERE key_hash = $1";
    line.query_opt(sql, &[&hash]).await?.as_ref().map(key).transpose()
}

/// The keys of a node, newest first.
pub(super) async fn of_node(line: &Line, node: NodeId) -> Result<Vec<NodeKey>, Fault> {
    let sql = "SELECT * FROM node_keys WHERE node_id = $1 ORDER BY id DESC";
    line.query(sql, &[&node]).await?.iter().map(key).collect()
}

/// A new key for a node that is there.
pub(super) async fn issue(line: &Line, node: NodeId, at: Time, issue: Issue<'_>) -> Result<NodeKey, Fault> {
    let hash = issue(node);
    let sql = "INSERT INTO node_keys (node_id, key_hash, created_at) VALUES ($1, $2, $3) RETURNING *";
    key(&line.query_one(sql, &[&node, &hash, &at]).await?)
}

/// Kills a key.
pub(super) async fn kill(line: &Line, id: KeyId, at: Time) -> Result<(), Fault> {
    let sql = "UPDATE node_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    line.execute(sql, &[&id, &at]).await?;
    Ok(())
}

/// Notes first uses; older keys of the same nodes die. A key that is dead by now was alive when it was used: it counts too.
pub(super) async fn mark_used(line: &Line, used: &[(SecretHash, Time)]) -> Result<(), Fault> {
    // In one order, whoever writes: two instances hear of the same keys.
    let mut used = used.to_vec();
    used.sort_unstable();
    let hashes: Vec<SecretHash> = used.iter().map(|(hash, _)| *hash).collect();
    let times: Vec<Time> = used.iter().map(|(_, at)| *at).collect();
    for sql in [
        include_str!("../../../sql/queries/postgres/keys_note_use.sql"),
        include_str!("../../../sql/queries/postgres/keys_kill_older.sql"),
    ] {
        line.execute(sql, &[&hashes, &times]).await?;
    }
    Ok(())
}

/// Adds a key; older ones die at its first use.
pub(super) async fn add(line: &Line, node: NodeId, issuer: Issue<'_>, by: &Change) -> Result<Option<NodeKey>, Fault> {
    if !nodes::is_there(line, node).await? {
        return Ok(None);
    }
    let key = issue(line, node, by.at, issuer).await?;
    let details = serde_json::json!({ "nodeId": node });
    audit(line, by, "key.create", Some(key.id.0), &details).await?;
    Ok(Some(key))
}

/// Kills a key of this node; gives it if it was alive.
pub(super) async fn revoke(line: &Line, node: NodeId, id: KeyId, by: &Change) -> Result<Option<NodeKey>, Fault> {
    let sql = "UPDATE node_keys SET revoked_at = $3 WHERE id = $2 AND node_id = $1 AND revoked_at IS NULL RETURNING *";
    let Some(row) = line.query_opt(sql, &[&node, &id, &by.at]).await? else {
        return Ok(None);
    };
    let details = serde_json::json!({ "nodeId": node });
    audit(line, by, "key.revoke", Some(id.0), &details).await?;
    key(&row).map(Some)
}
