//! Registration codes, and the one transaction that turns one into a node.

use std::time::Duration;

use tokio_postgres::Row;

use super::{
    admin::audit,
    fault::Fault,
    keys::{self, Issue},
    line::Line,
    nodes,
    values::{Text, storable},
};
use crate::{
    model::{
        CodeId, KeyId, NodeId, Time,
        node::{NewCode, NodeIdentity, NodeKey, RegisterOutcome, RegistrationCode},
        secrets::SecretHash,
    },
    store::{
        Change, Page, StoreError,
        reserved::{RESERVED_OUTBOUNDS, ReservedOutbound},
    },
};

/// For how long after its first use a code gives its node a fresh key, if the answer was lost.
const LOST_ANSWER_WINDOW: Duration = Duration::from_mins(10);

fn registration_code(row: &Row) -> Result<RegistrationCode, Fault> {
    Ok(RegistrationCode {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        node_id: row.try_get("node_id")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        uses_left: row.try_get("uses_left")?,
    })
}

/// Makes a code; none if it is for a node that is not there.
pub(super) async fn create(line: &Line, code: &NewCode, by: &Change) -> Result<Option<RegistrationCode>, Fault> {
    if code.uses < 1 {
        return Err(Fault::refused("uses", "must be at least 1"));
    }
    if let Some(node) = code.node_id
        && !nodes::is_there(line, node).await?
    {
        return Ok(None);
    }
    let name = code.name.as_deref().map(storable);
    let row = line
        .query_one(
            "INSERT INTO registration_codes (code_hash, name, node_id, created_at, expires_at, uses_left) \
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING *",
            &[
                &code.hash,
                &name,
                &code.node_id,
                &code.created_at,
                &code.expires_at,
                &code.uses,
            ],
        )
        .await?;
    let made = registration_code(&row)?;
    let details = serde_json::json!({
        "name": code.name,
        "nodeId": code.node_id,
        "expiresAt": code.expires_at,
        "uses": code.uses,
    });
    audit(line, by, "code.create", Some(made.id.0), &details).await?;
    Ok(Some(made))
}

/// The codes, newest first.
pub(super) async fn list(line: &Line, page: Page) -> Result<Vec<RegistrationCode>, Fault> {
    let sql = "SELECT * FROM registration_codes WHERE id < $1 ORDER BY id DESC LIMIT $2";
    let before = page.before.unwrap_or(i64::MAX);
    let rows = line.query(sql, &[&before, &i64::from(page.limit)]).await?;
    rows.iter().map(registration_code).collect()
}

/// One code.
pub(super) async fn find(line: &Line, id: CodeId) -> Result<Option<RegistrationCode>, Fault> {
    let sql = "SELECT * FROM registration_codes WHERE id = $1";
    line.query_opt(sql, &[&id])
        .await?
        .as_ref()
        .map(registration_code)
        .transpose()
}

/// Takes a code back.
pub(super) async fn delete(line: &Line, id: CodeId, by: &Change) -> Result<bool, Fault> {
    let sql = "DELETE FROM registration_codes WHERE id = $1 RETURNING *";
    let Some(row) = line.query_opt(sql, &[&id]).await? else {
        return Ok(false);
    };
    let code = registration_code(&row)?;
    let details = serde_json::json!({ "name": code.name, "nodeId": code.node_id });
    audit(line, by, "code.delete", Some(id.0), &details).await?;
    Ok(true)
}

/// A registration, in the transaction.
pub(super) struct Request<'a> {
    /// The hash of the code that was shown.
    pub(super) code: SecretHash,
    /// What the node says of itself.
    pub(super) identity: &'a NodeIdentity,
    /// Now.
    pub(super) at: Time,
    /// Makes the key.
    pub(super) issue: Issue<'a>,
}

/// Consumes the code; see [`crate::store::Store::register`]. Of many who show one code, one after the other has its turn.
pub(super) async fn register(line: &Line, request: &Request<'_>) -> Result<RegisterOutcome, Fault> {
    let sql = "SELECT * FROM registration_codes WHERE code_hash = $1 FOR UPDATE";
    let Some(row) = line.query_opt(sql, &[&request.code]).await? else {
        return Ok(RegisterOutcome::BadCode);
    };
    let code = registration_code(&row)?;
    // Before the code itself is judged: it is used up by the very call whose answer was lost.
    if let Some(lost) = lost_answer(line, code.id, request).await? {
        return answer_again(line, &lost, request).await;
    }
    if code.expires_at <= request.at || code.uses_left < 1 {
        return Ok(RegisterOutcome::BadCode);
    }
    let node = match code.node_id {
        Some(node) if nodes::is_there(line, node).await? => {
            update_identity(line, node, request.identity).await?;
            node
        }
        Some(_) => return Ok(RegisterOutcome::BadCode),
        None if nodes::named(line, &storable(&request.identity.name)).await?.is_some() => {
            return Ok(RegisterOutcome::NameTaken);
        }
        None => insert_node(line, request).await?,
    };
    let key = keys::issue(line, node, request.at, request.issue).await?;
    consume(line, code.id, key.id, node, request).await?;
    registered(line, node, key, Vec::new()).await
}

/// A use of a code whose answer may not have arrived.
struct LostAnswer {
    use_id: i64,
    node: NodeId,
    key: KeyId,
    hash: SecretHash,
}

/// The use of this code under this name whose key nobody ever showed. The key is held: its first use may be noted at this moment.
async fn lost_answer(line: &Line, code: CodeId, request: &Request<'_>) -> Result<Option<LostAnswer>, Fault> {
    let since = request.at.minus(LOST_ANSWER_WINDOW);
    let name = storable(&request.identity.name);
    let row = line
        .query_opt(
            include_str!("../../../sql/queries/postgres/code_lost_answer.sql"),
            &[&code, &name, &since],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(LostAnswer {
        use_id: row.try_get("id")?,
        node: row.try_get("node_id")?,
        key: row.try_get("key_id")?,
        hash: row.try_get("key_hash")?,
    }))
}

/// The same node with a fresh key. The time of the use stays, so that the window does not grow with every attempt.
async fn answer_again(line: &Line, lost: &LostAnswer, request: &Request<'_>) -> Result<RegisterOutcome, Fault> {
    update_identity(line, lost.node, request.identity).await?;
    keys::kill(line, lost.key, request.at).await?;
    let key = keys::issue(line, lost.node, request.at, request.issue).await?;
    let sql = "UPDATE registration_code_uses SET key_id = $2 WHERE id = $1";
    line.execute(sql, &[&lost.use_id, &key.id]).await?;
    registered(line, lost.node, key, vec![lost.hash]).await
}

/// Takes over where the node says it is; its name is the admin's.
async fn update_identity(line: &Line, node: NodeId, identity: &NodeIdentity) -> Result<(), Fault> {
    let (region, domain) = (storable(&identity.region), identity.domain.as_deref().map(storable));
    line.execute(
        "UPDATE nodes SET ip = $2, port = $3, region = $4, domain = coalesce($5, domain) WHERE id = $1",
        &[&node, &Text(identity.ip), &i32::from(identity.port), &region, &domain],
    )
    .await?;
    Ok(())
}

async fn insert_node(line: &Line, request: &Request<'_>) -> Result<NodeId, Fault> {
    let NodeIdentity {
        name,
        ip,
        port,
        region,
        domain,
    } = request.identity;
    let (name, region, domain) = (storable(name), storable(region), domain.as_deref().map(storable));
    let row = line
        .query_one(
            "INSERT INTO nodes (name, ip, port, region, domain, created_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
            &[&name, &Text(ip), &i32::from(*port), &region, &domain, &request.at],
        )
        .await?;
    let node = row.try_get(0)?;
    insert_reserved_outbounds(line, node).await?;
    Ok(node)
}

/// `direct` and `block`, where the node does not have them yet.
pub(super) async fn insert_reserved_outbounds(line: &Line, node: NodeId) -> Result<(), Fault> {
    let sql = "INSERT INTO node_outbounds (node_id, tag, protocol, position) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (node_id, tag) DO NOTHING";
    for ReservedOutbound {
        tag,
        protocol,
        position,
    } in RESERVED_OUTBOUNDS
    {
        line.execute(sql, &[&node, &tag, &protocol, &position]).await?;
    }
    Ok(())
}

async fn consume(line: &Line, code: CodeId, key: KeyId, node: NodeId, request: &Request<'_>) -> Result<(), Fault> {
    let sql = "UPDATE registration_codes SET uses_left = uses_left - 1 WHERE id = $1";
    line.execute(sql, &[&code]).await?;
    let name = storable(&request.identity.name);
    line.execute(
        "INSERT INTO registration_code_uses (code_id, node_id, key_id, sent_name, used_at) VALUES ($1, $2, $3, $4, $5)",
        &[&code, &node, &key, &name, &request.at],
    )
    .await?;
    Ok(())
}

async fn registered(line: &Line, node: NodeId, key: NodeKey, died: Vec<SecretHash>) -> Result<RegisterOutcome, Fault> {
    let node = nodes::hold(line, node)
        .await?
        .ok_or_else(|| StoreError::Contradiction(format!("node {node} vanished while it registered")))?;
    Ok(RegisterOutcome::Registered {
        node: Box::new(node),
        key,
        died,
    })
}
