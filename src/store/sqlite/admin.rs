//! Admin tokens, the audit log, and the items that were put aside.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;

use super::{
    fault::Fault,
    values::{Json, Text},
};
use crate::{
    model::{
        Time, TokenId,
        secrets::{AdminToken, NewToken, SecretHash},
    },
    store::{AuditRow, Change, Page, RejectedRow, RejectedTable},
};

fn token(row: &Row<'_>) -> rusqlite::Result<AdminToken> {
    Ok(AdminToken {
        id: row.get("id")?,
        name: row.get("name")?,
        role: row.get::<_, Text<_>>("role")?.0,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        last_used_at: row.get("last_used_at")?,
    })
}

/// Makes a token.
pub(super) fn create_token(transaction: &Connection, new: &NewToken, by: &Change) -> Result<AdminToken, Fault> {
    transaction
        .prepare_cached(
            "INSERT INTO admin_tokens (token_hash, name, role, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            new.hash,
            new.name,
            Text(new.role),
            new.created_at,
            new.expires_at
        ])?;
    let made = AdminToken {
        id: TokenId(transaction.last_insert_rowid()),
        name: new.name.clone(),
        role: new.role,
        created_at: new.created_at,
        expires_at: new.expires_at,
        last_used_at: None,
    };
    let details = serde_json::json!({ "name": made.name, "role": made.role, "expiresAt": made.expires_at });
    audit(transaction, by, "token.create", Some(made.id.0), &details)?;
    Ok(made)
}

/// The tokens, newest first.
pub(super) fn tokens(connection: &Connection, page: Page) -> Result<Vec<AdminToken>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM admin_tokens WHERE id < ?1 ORDER BY id DESC LIMIT ?2")?;
    let rows = statement.query_map(params![page.before.unwrap_or(i64::MAX), page.limit], token)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The token with this hash, if it has not ended by `at`.
pub(super) fn find_token(connection: &Connection, hash: SecretHash, at: Time) -> Result<Option<AdminToken>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM admin_tokens WHERE token_hash = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
    )?;
    Ok(statement.query_row(params![hash, at], token).optional()?)
}

/// Notes a use.
pub(super) fn note_token_use(transaction: &Connection, id: TokenId, minute: Time) -> Result<(), Fault> {
    transaction
        .prepare_cached("UPDATE admin_tokens SET last_used_at = max(coalesce(last_used_at, 0), ?2) WHERE id = ?1")?
        .execute(params![id, minute])?;
    Ok(())
}

/// Deletes a token.
pub(super) fn delete_token(transaction: &Connection, id: TokenId, by: &Change) -> Result<bool, Fault> {
    let deleted = transaction
        .prepare_cached("DELETE FROM admin_tokens WHERE id = ?1 RETURNING name")?
        .query_row([id], |row| row.get::<_, String>(0))
        .optional()?;
    let Some(name) = deleted else {
        return Ok(false);
    };
    audit(
        transaction,
        by,
        "token.delete",
        Some(id.0),
        &serde_json::json!({ "name": name }),
    )?;
    Ok(true)
}

/// Adds a line to the audit log, in the transaction of what it tells. `details` must not hold a secret.
pub(super) fn audit(
    transaction: &Connection,
    by: &Change,
    action: &str,
    subject: Option<i64>,
    details: &Value,
) -> Result<(), Fault> {
    transaction
        .prepare_cached(include_str!("../../../sql/queries/sqlite/audit_insert.sql"))?
        .execute(params![
            by.at,
            by.actor,
            action,
            subject,
            Text(details),
            by.address,
            by.request_id
        ])?;
    Ok(())
}

/// The audit log, newest first.
pub(super) fn audit_rows(connection: &Connection, page: Page) -> Result<Vec<AuditRow>, Fault> {
    let mut statement = connection.prepare_cached("SELECT * FROM audit_log WHERE id < ?1 ORDER BY id DESC LIMIT ?2")?;
    let rows = statement.query_map(params![page.before.unwrap_or(i64::MAX), page.limit], |row| {
        Ok(AuditRow {
            id: row.get("id")?,
            at: row.get("at")?,
            actor: row.get("actor")?,
            action: row.get("action")?,
            subject_id: row.get("subject_id")?,
            details: row.get::<_, Json>("details")?.0,
            address: row.get("address")?,
            request_id: row.get("request_id")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Items that were put aside, newest first.
pub(super) fn rejected(connection: &Connection, what: RejectedTable, page: Page) -> Result<Vec<RejectedRow>, Fault> {
    let mut statement = connection.prepare_cached(match what {
        RejectedTable::Usage => "SELECT * FROM usage_rejected WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
        RejectedTable::Events => "SELECT * FROM events_rejected WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
    })?;
    let rows = statement.query_map(params![page.before.unwrap_or(i64::MAX), page.limit], |row| {
        Ok(RejectedRow {
            id: row.get("id")?,
            node_id: row.get("node_id")?,
            kind: row.get("kind")?,
            reason: row.get("reason")?,
            item: row.get::<_, Json>("item")?.0,
            received_at: row.get("received_at")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
