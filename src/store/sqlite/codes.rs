//! Registration codes, and the one transaction that turns one into a node.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{admin::audit, asking::Questions, fault::Fault, keys, nodes, values::Text};
use crate::{
    model::{
        CodeId, KeyId, NodeId, Time,
        node::{NewCode, NodeIdentity, NodeKey, RegisterOutcome, RegistrationCode},
        secrets::SecretHash,
    },
    store::{Change, Page, StoreError, reserved::RESERVED_OUTBOUNDS},
};

/// For how long after its first use a code gives its node a fresh key, if the answer was lost.
const LOST_ANSWER_WINDOW: Duration = Duration::from_mins(10);

fn registration_code(row: &Row<'_>) -> rusqlite::Result<RegistrationCode> {
    Ok(RegistrationCode {
        id: row.get("id")?,
        name: row.get("name")?,
        node_id: row.get("node_id")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        uses_left: row.get("uses_left")?,
    })
}

/// Makes a code; none if it is for a node that is not there.
pub(super) fn create(transaction: &Connection, code: &NewCode, by: &Change) -> Result<Option<RegistrationCode>, Fault> {
    if code.uses < 1 {
        return Err(Fault::refused("uses", "must be at least 1"));
    }
    if let Some(node) = code.node_id
        && !nodes::is_there(transaction, node)?
    {
        return Ok(None);
    }
    transaction
        .prepare_cached(include_str!("../../../sql/queries/sqlite/code_insert.sql"))?
        .execute(params![
            code.hash,
            code.name,
            code.node_id,
            code.created_at,
            code.expires_at,
            code.uses
        ])?;
    let made = RegistrationCode {
        id: CodeId(transaction.last_insert_rowid()),
        name: code.name.clone(),
        node_id: code.node_id,
        created_at: code.created_at,
        expires_at: code.expires_at,
        uses_left: code.uses,
    };
    let details = serde_json::json!({
        "name": code.name,
        "nodeId": code.node_id,
        "expiresAt": code.expires_at,
        "uses": code.uses,
    });
    audit(transaction, by, "code.create", Some(made.id.0), &details)?;
    Ok(Some(made))
}

/// The codes, newest first.
pub(super) fn list(connection: &Connection, page: Page) -> Result<Vec<RegistrationCode>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM registration_codes WHERE id < ?1 ORDER BY id DESC LIMIT ?2")?;
    let rows = statement.query_map(params![page.before.unwrap_or(i64::MAX), page.limit], registration_code)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One code.
pub(super) fn find(connection: &Connection, id: CodeId) -> Result<Option<RegistrationCode>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM registration_codes WHERE id = ?1")?;
    Ok(statement.query_row([id], registration_code).optional()?)
}

/// Takes a code back.
pub(super) fn delete(transaction: &Connection, id: CodeId, by: &Change) -> Result<bool, Fault> {
    let Some(code) = find(transaction, id)? else {
        return Ok(false);
    };
    transaction
        .prepare_cached("DELETE FROM registration_codes WHERE id = ?1")?
        .execute([id])?;
    let details = serde_json::json!({ "name": code.name, "nodeId": code.node_id });
    audit(transaction, by, "code.delete", Some(id.0), &details)?;
    Ok(true)
}

/// A registration without its closure, which stays with the caller.
pub(super) struct Request {
    /// The hash of the code that was shown.
    pub(super) code: SecretHash,
    /// What the node says of itself.
    pub(super) identity: NodeIdentity,
    /// Now.
    pub(super) at: Time,
}

/// Consumes the code; see [`crate::store::Store::register`].
pub(super) fn register(
    transaction: &Connection,
    request: &Request,
    questions: &Questions,
) -> Result<RegisterOutcome, Fault> {
    let Some(code) = by_hash(transaction, request.code)? else {
        return Ok(RegisterOutcome::BadCode);
    };
    // Before the code itself is judged: it is used up by the very call whose answer was lost.
    if let Some(lost) = lost_answer(transaction, code.id, request)? {
        return answer_again(transaction, &lost, request, questions);
    }
    if code.expires_at <= request.at || code.uses_left < 1 {
        return Ok(RegisterOutcome::BadCode);
    }
    let node = match code.node_id {
        Some(node) if nodes::is_there(transaction, node)? => {
            update_identity(transaction, node, &request.identity)?;
            node
        }
        Some(_) => return Ok(RegisterOutcome::BadCode),
        None if nodes::named(transaction, &request.identity.name)?.is_some() => return Ok(RegisterOutcome::NameTaken),
        None => insert_node(transaction, request)?,
    };
    let key = keys::issue(transaction, node, request.at, questions)?;
    consume(transaction, code.id, key.id, node, request)?;
    registered(transaction, node, key, Vec::new())
}

fn by_hash(connection: &Connection, hash: SecretHash) -> Result<Option<RegistrationCode>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM registration_codes WHERE code_hash = ?1")?;
    Ok(statement.query_row([hash], registration_code).optional()?)
}

/// A use of a code whose answer may not have arrived.
struct LostAnswer {
    use_id: i64,
    node: NodeId,
    key: KeyId,
    hash: SecretHash,
}

/// The use of this code under this name whose key nobody ever showed.
fn lost_answer(connection: &Connection, code: CodeId, request: &Request) -> Result<Option<LostAnswer>, Fault> {
    let mut statement = connection.prepare_cached(include_str!("../../../sql/queries/sqlite/code_lost_answer.sql"))?;
    let since = request.at.minus(LOST_ANSWER_WINDOW);
    let found = statement.query_row(params![code, request.identity.name, since], |row| {
        Ok(LostAnswer {
            use_id: row.get("id")?,
            node: row.get("node_id")?,
            key: row.get("key_id")?,
            hash: row.get("key_hash")?,
        })
    });
    Ok(found.optional()?)
}

/// The same node with a fresh key. The time of the use stays, so that the window does not grow with every attempt.
fn answer_again(
    transaction: &Connection,
    lost: &LostAnswer,
    request: &Request,
    questions: &Questions,
) -> Result<RegisterOutcome, Fault> {
    update_identity(transaction, lost.node, &request.identity)?;
    keys::kill(transaction, lost.key, request.at)?;
    let key = keys::issue(transaction, lost.node, request.at, questions)?;
    transaction
        .prepare_cached("UPDATE registration_code_uses SET key_id = ?2 WHERE id = ?1")?
        .execute(params![lost.use_id, key.id])?;
    registered(transaction, lost.node, key, vec![lost.hash])
}

/// Takes over where the node says it is; its name is the admin's.
fn update_identity(transaction: &Connection, node: NodeId, identity: &NodeIdentity) -> Result<(), Fault> {
    transaction
        .prepare_cached(
            "UPDATE nodes SET ip = ?2, port = ?3, region = ?4, domain = coalesce(?5, domain) WHERE id = ?1",
        )?
        .execute(params![
            node,
            Text(identity.ip),
            identity.port,
            identity.region,
            identity.domain
        ])?;
    Ok(())
}

fn insert_node(transaction: &Connection, request: &Request) -> Result<NodeId, Fault> {
    let NodeIdentity {
        name,
        ip,
        port,
        region,
        domain,
    } = &request.identity;
    transaction
        .prepare_cached(
            "INSERT INTO nodes (name, ip, port, region, domain, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![name, Text(ip), port, region, domain, request.at])?;
    let node = NodeId(transaction.last_insert_rowid());
    insert_reserved_outbounds(transaction, node)?;
    Ok(node)
}

/// `direct` and `block`, where the node does not have them yet.
pub(super) fn insert_reserved_outbounds(transaction: &Connection, node: NodeId) -> Result<(), Fault> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO node_outbounds (node_id, tag, protocol, position) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (node_id, tag) DO NOTHING",
    )?;
    for outbound in RESERVED_OUTBOUNDS {
        statement.execute(params![node, outbound.tag, outbound.protocol, outbound.position])?;
    }
    Ok(())
}

fn consume(transaction: &Connection, code: CodeId, key: KeyId, node: NodeId, request: &Request) -> Result<(), Fault> {
    transaction
        .prepare_cached("UPDATE registration_codes SET uses_left = uses_left - 1 WHERE id = ?1")?
        .execute([code])?;
    transaction
        .prepare_cached(
            "INSERT INTO registration_code_uses (code_id, node_id, key_id, sent_name, used_at) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![code, node, key, request.identity.name, request.at])?;
    Ok(())
}

fn registered(
    connection: &Connection,
    node: NodeId,
    key: NodeKey,
    died: Vec<SecretHash>,
) -> Result<RegisterOutcome, Fault> {
    let node = nodes::find(connection, node)?
        .ok_or_else(|| StoreError::Contradiction(format!("node {node} vanished while it registered")))?;
    Ok(RegisterOutcome::Registered {
        node: Box::new(node),
        key,
        died,
    })
}
