//! Admin tokens, the audit log, and the items that were put aside.

use serde_json::Value;
use tokio_postgres::Row;

use super::{
    door::Door,
    fault::Fault,
    line::Line,
    values::{Text, storable, storable_json},
};
use crate::{
    model::{
        Time, TokenId,
        secrets::{AdminToken, NewToken, SecretHash},
    },
    store::{AuditRow, Change, Page, RejectedRow, RejectedTable, StoreError},
};

fn token(row: &Row) -> Result<AdminToken, Fault> {
    Ok(AdminToken {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        role: row.try_get::<_, Text<_>>("role")?.0,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        last_used_at: row.try_get("last_used_at")?,
    })
}

/// Makes a token.
pub(super) async fn create_token(line: &Line, new: &NewToken, by: &Change) -> Result<AdminToken, Fault> {
    let sql = "INSERT INTO admin_tokens (token_hash, name, role, created_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5) RETURNING *";
    let name = storable(&new.name);
    let row = line
        .query_one(
            sql,
            &[&new.hash, &name, &Text(new.role), &new.created_at, &new.expires_at],
        )
        .await?;
    let made = token(&row)?;
    let details = serde_json::json!({ "name": made.name, "role": made.role, "expiresAt": made.expires_at });
    audit(line, by, "token.create", Some(made.id.0), &details).await?;
    Ok(made)
}

/// The tokens, newest first.
pub(super) async fn tokens(line: &Line, page: Page) -> Result<Vec<AdminToken>, Fault> {
    let sql = "SELECT * FROM admin_tokens WHERE id < $1 ORDER BY id DESC LIMIT $2";
    let rows = line
        .query(sql, &[&page.before.unwrap_or(i64::MAX), &i64::from(page.limit)])
        .await?;
    rows.iter().map(token).collect()
}

/// The token with this hash, if it has not ended by `at`.
async fn find_token(line: &Line, hash: SecretHash, at: Time) -> Result<Option<AdminToken>, Fault> {
    let sql = "SELECT * FROM admin_tokens WHERE token_hash = $1 AND (expires_at IS NULL OR expires_at > $2)";
    line.query_opt(sql, &[&hash, &at])
        .await?
        .as_ref()
        .map(token)
        .transpose()
}

/// Notes a use.
async fn note_token_use(line: &Line, id: TokenId, minute: Time) -> Result<(), Fault> {
    let sql = "UPDATE admin_tokens SET last_used_at = greatest(last_used_at, $2) WHERE id = $1";
    line.execute(sql, &[&id, &minute]).await?;
    Ok(())
}

/// The token with this hash, if it has not ended by `at`; its use is noted to the minute.
pub(super) async fn use_token(door: &Door, hash: SecretHash, at: Time) -> Result<Option<AdminToken>, StoreError> {
    let found = door
        .glance("find_token", |line| async move { find_token(&line, hash, at).await })
        .await?;
    let Some(mut token) = found else {
        return Ok(None);
    };
    let (minute, id) = (at.minute(), token.id);
    if token.last_used_at.is_none_or(|noted| noted < minute) {
        // A full disk must not lock the admins out: the note is a courtesy, and the next call tries again.
        let note = door.write("note_token_use", |line| async move {
            note_token_use(&line, id, minute).await
        });
        match note.await {
            Ok(()) => token.last_used_at = Some(minute),
            Err(error) => tracing::warn!(token = %token.id, %error, "the use of an admin token is not noted"),
        }
    }
    Ok(Some(token))
}

/// Deletes a token.
pub(super) async fn delete_token(line: &Line, id: TokenId, by: &Change) -> Result<bool, Fault> {
    let sql = "DELETE FROM admin_tokens WHERE id = $1 RETURNING name";
    let Some(row) = line.query_opt(sql, &[&id]).await? else {
        return Ok(false);
    };
    let details = serde_json::json!({ "name": row.try_get::<_, String>(0)? });
    audit(line, by, "token.delete", Some(id.0), &details).await?;
    Ok(true)
}

/// Adds a line to the audit log, in the transaction of what it tells. `details` must not hold a secret.
pub(super) async fn audit(
    line: &Line,
    by: &Change,
    action: &str,
    subject: Option<i64>,
    details: &Value,
) -> Result<(), Fault> {
    audit_all(line, by, &[(action.to_owned(), subject, details.clone())]).await
}

/// Adds lines to the audit log, in order, in one statement.
pub(super) async fn audit_all(line: &Line, by: &Change, lines: &[(String, Option<i64>, Value)]) -> Result<(), Fault> {
    let actions: Vec<&str> = lines.iter().map(|(action, ..)| action.as_str()).collect();
    let subjects: Vec<Option<i64>> = lines.iter().map(|(_, subject, _)| *subject).collect();
    let details: Vec<Value> = lines
        .iter()
        .map(|(.., details)| storable_json(details.clone()))
        .collect();
    let actor = storable(&by.actor);
    let request_id = by.request_id.as_deref().map(storable);
    line.execute(
        include_str!("../../../sql/queries/postgres/audit_insert.sql"),
        &[&by.at, &actor, &by.address, &request_id, &actions, &subjects, &details],
    )
    .await?;
    Ok(())
}

/// The audit log, newest first.
pub(super) async fn audit_rows(line: &Line, page: Page) -> Result<Vec<AuditRow>, Fault> {
    let sql = "SELECT * FROM audit_log WHERE id < $1 ORDER BY id DESC LIMIT $2";
    let rows = line
        .query(sql, &[&page.before.unwrap_or(i64::MAX), &i64::from(page.limit)])
        .await?;
    let read = |row: &Row| {
        Ok(AuditRow {
            id: row.try_get("id")?,
            at: row.try_get("at")?,
            actor: row.try_get("actor")?,
            action: row.try_get("action")?,
            subject_id: row.try_get("subject_id")?,
            details: row.try_get("details")?,
            address: row.try_get("address")?,
            request_id: row.try_get("request_id")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Items that were put aside, newest first.
pub(super) async fn rejected(line: &Line, what: RejectedTable, page: Page) -> Result<Vec<RejectedRow>, Fault> {
    let sql = match what {
        RejectedTable::Usage => "SELECT * FROM usage_rejected WHERE id < $1 ORDER BY id DESC LIMIT $2",
        RejectedTable::Events => "SELECT * FROM events_rejected WHERE id < $1 ORDER BY id DESC LIMIT $2",
    };
    let rows = line
        .query(sql, &[&page.before.unwrap_or(i64::MAX), &i64::from(page.limit)])
        .await?;
    let read = |row: &Row| {
        Ok(RejectedRow {
            id: row.try_get("id")?,
            node_id: row.try_get("node_id")?,
            kind: row.try_get("kind")?,
            reason: row.try_get("reason")?,
            item: row.try_get("item")?,
            received_at: row.try_get("received_at")?,
        })
    };
    rows.iter().map(read).collect()
}
