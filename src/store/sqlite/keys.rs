//! The keys that nodes sign in with.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{admin::audit, asking::Questions, fault::Fault, nodes};
use crate::{
    model::{KeyId, NodeId, Time, node::NodeKey, secrets::SecretHash},
    store::Change,
};

fn key(row: &Row<'_>) -> rusqlite::Result<NodeKey> {
    Ok(NodeKey {
        id: row.get("id")?,
        node_id: row.get("node_id")?,
        hash: row.get("key_hash")?,
        created_at: row.get("created_at")?,
        first_used_at: row.get("first_used_at")?,
        revoked_at: row.get("revoked_at")?,
    })
}

/// All keys that live, by id.
pub(super) fn alive(connection: &Connection) -> Result<Vec<NodeKey>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM node_keys WHERE revoked_at IS NULL ORDER BY id")?;
    let rows = statement.query_map([], key)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The key with this hash, dead or alive.
pub(super) fn find(connection: &Connection, hash: SecretHash) -> Result<Option<NodeKey>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM node_keys WHERE key_hash = ?1")?;
    Ok(statement.query_row([hash], key).optional()?)
}

/// The key with this id, dead or alive.
pub(super) fn by_id(connection: &Connection, id: KeyId) -> Result<Option<NodeKey>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM node_keys WHERE id = ?1")?;
    Ok(statement.query_row([id], key).optional()?)
}

/// The keys of a node, newest first.
pub(super) fn of_node(connection: &Connection, node: NodeId) -> Result<Vec<NodeKey>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM node_keys WHERE node_id = ?1 ORDER BY id DESC")?;
    let rows = statement.query_map([node], key)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A new key for a node that is there.
pub(super) fn issue(transaction: &Connection, node: NodeId, at: Time, questions: &Questions) -> Result<NodeKey, Fault> {
    let hash = questions.key_for(node)?;
    transaction
        .prepare_cached("INSERT INTO node_keys (node_id, key_hash, created_at) VALUES (?1, ?2, ?3)")?
        .execute(params![node, hash, at])?;
    Ok(NodeKey {
        id: KeyId(transaction.last_insert_rowid()),
        node_id: node,
        hash,
        created_at: at,
        first_used_at: None,
        revoked_at: None,
    })
}

/// Kills a key.
pub(super) fn kill(transaction: &Connection, id: KeyId, at: Time) -> Result<(), Fault> {
    transaction
        .prepare_cached("UPDATE node_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute(params![id, at])?;
    Ok(())
}

/// Notes first uses; older keys of the same nodes die. A key that is dead by now was alive when it was used: it counts too.
pub(super) fn mark_used(transaction: &Connection, used: &[(SecretHash, Time)]) -> Result<(), Fault> {
    let mut note = transaction
        .prepare_cached("UPDATE node_keys SET first_used_at = ?2 WHERE key_hash = ?1 AND first_used_at IS NULL")?;
    let mut kill_older = transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/keys_kill_older.sql"))?;
    for (hash, at) in used {
        note.execute(params![hash, at])?;
        kill_older.execute(params![hash, at])?;
    }
    Ok(())
}

/// Adds a key; older ones die at its first use.
pub(super) fn add(
    transaction: &Connection,
    node: NodeId,
    questions: &Questions,
    by: &Change,
) -> Result<Option<NodeKey>, Fault> {
    if !nodes::is_there(transaction, node)? {
        return Ok(None);
    }
    let key = issue(transaction, node, by.at, questions)?;
    audit(
        transaction,
        by,
        "key.create",
        Some(key.id.0),
        &serde_json::json!({ "nodeId": node }),
    )?;
    Ok(Some(key))
}

/// Kills a key of this node; gives it if it was alive.
pub(super) fn revoke(transaction: &Connection, node: NodeId, id: KeyId, by: &Change) -> Result<Option<NodeKey>, Fault> {
    let alive = by_id(transaction, id)?.filter(|key| key.node_id == node && key.revoked_at.is_none());
    let Some(key) = alive else {
        return Ok(None);
    };
    kill(transaction, id, by.at)?;
    audit(
        transaction,
        by,
        "key.revoke",
        Some(id.0),
        &serde_json::json!({ "nodeId": node }),
    )?;
    Ok(Some(NodeKey {
        revoked_at: Some(by.at),
        ..key
    }))
}
