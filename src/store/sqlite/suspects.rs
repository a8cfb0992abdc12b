//! Bytes that count only if an admin says so.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{SqliteStore, admin::audit, counting, fault::Fault, values::Text};
use crate::{
    model::{
        NodeId, Time,
        fold::Fold,
        suspect::{Decision, SuspectRow},
        usage::UsageRow,
    },
    store::{Change, Judged, Page, StoreError, Suspects, suspects::audited},
};

#[async_trait]
impl Suspects for SqliteStore {
    async fn suspects(&self, decided: Option<bool>, page: Page) -> Result<Vec<SuspectRow>, StoreError> {
        self.read("suspects", move |tx| {
            let sql = "SELECT * FROM usage_suspect WHERE id < ?1 AND (?2 IS NULL OR (decided_at IS NOT NULL) = ?2) \
                       ORDER BY id DESC LIMIT ?3";
            let mut statement = tx.prepare_cached(sql)?;
            let rows = statement.query_map(params![page.before.unwrap_or(i64::MAX), decided, page.limit], read)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn judge_suspect(&self, id: i64, decision: Decision, by: &Change) -> Result<Judged, StoreError> {
        let by = by.clone();
        self.write("judge_suspect", move |tx| judge(tx, id, decision, &by))
            .await
    }
}

fn judge(transaction: &Connection, id: i64, decision: Decision, by: &Change) -> Result<Judged, Fault> {
    let sql = "UPDATE usage_suspect SET decided_at = ?2, decision = ?3, decided_by = ?4 \
               WHERE id = ?1 AND decided_at IS NULL RETURNING *";
    let judged = transaction
        .prepare_cached(sql)?
        .query_row(params![id, by.at, Text(decision), by.actor], read)
        .optional()?;
    let Some(row) = judged else {
        let there = transaction
            .prepare_cached("SELECT * FROM usage_suspect WHERE id = ?1")?
            .query_row([id], read)
            .optional()?;
        return Ok(match there {
            None => Judged::Missing,
            Some(row) if row.decision == Some(decision) => Judged::Done(row, Vec::new()),
            Some(_) => Judged::Otherwise,
        });
    };
    let quotas = match decision {
        Decision::Accepted => counting::write(transaction, &Fold::of_accepted(&row))?.1,
        Decision::Voided => Vec::new(),
    };
    let (action, details) = audited(&row, decision);
    audit(transaction, by, action, Some(id), &details)?;
    Ok(Judged::Done(row, quotas))
}

fn read(row: &Row<'_>) -> rusqlite::Result<SuspectRow> {
    Ok(SuspectRow {
        id: row.get("id")?,
        node_id: row.get("node_id")?,
        user_id: row.get("user_id")?,
        subscription_id: row.get("subscription_id")?,
        node_protocol_id: row.get("node_protocol_id")?,
        minute: row.get("minute")?,
        bytes_up: row.get("bytes_up")?,
        bytes_down: row.get("bytes_down")?,
        reason: row.get::<_, Text<_>>("reason")?.0,
        received_at: row.get("received_at")?,
        decided_at: row.get("decided_at")?,
        decision: row.get::<_, Option<Text<_>>>("decision")?.map(|it| it.0),
        decided_by: row.get("decided_by")?,
    })
}

/// Keeps suspect rows, with when Core took them.
pub(super) fn write(transaction: &Connection, suspects: &[(NodeId, Time, UsageRow)]) -> Result<(), Fault> {
    let mut insert = transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/suspect_insert.sql"))?;
    for (node, received_at, row) in suspects {
        insert.execute(params![
            node,
            row.user,
            row.subscription,
            row.protocol,
            row.minute,
            row.bytes_up,
            row.bytes_down,
            row.suspect.map(Text),
            received_at
        ])?;
    }
    Ok(())
}
