//! Bytes that count only if an admin says so.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    admin::audit,
    counting,
    fault::Fault,
    line::Line,
    values::{Text, storable},
};
use crate::{
    model::{
        NodeId, ProtocolId, SubscriptionId, Time, UserId,
        fold::Fold,
        suspect::{Decision, SuspectRow, Suspicion},
        usage::UsageRow,
    },
    store::{Change, Judged, Page, StoreError, Suspects, suspects::audited},
};

#[async_trait]
impl Suspects for PostgresStore {
    async fn suspects(&self, decided: Option<bool>, page: Page) -> Result<Vec<SuspectRow>, StoreError> {
        self.door
            .glance("suspects", |line| async move {
                let sql = "SELECT * FROM usage_suspect \
                           WHERE id < $1 AND ($2::boolean IS NULL OR (decided_at IS NOT NULL) = $2) \
                           ORDER BY id DESC LIMIT $3";
                let before = page.before.unwrap_or(i64::MAX);
                let rows = line.query(sql, &[&before, &decided, &i64::from(page.limit)]).await?;
                rows.iter().map(read).collect()
            })
            .await
    }

    async fn judge_suspect(&self, id: i64, decision: Decision, by: &Change) -> Result<Judged, StoreError> {
        self.door
            .write("judge_suspect", |line| {
                Box::pin(async move { judge(&line, id, decision, by).await })
            })
            .await
    }
}

/// Two who decide at once take turns at the row: the second finds it decided.
async fn judge(line: &Line, id: i64, decision: Decision, by: &Change) -> Result<Judged, Fault> {
    let sql = "UPDATE usage_suspect SET decided_at = $2, decision = $3, decided_by = $4 \
               WHERE id = $1 AND decided_at IS NULL RETURNING *";
    let actor = storable(&by.actor);
    let judged = line.query_opt(sql, &[&id, &by.at, &decision.as_str(), &actor]).await?;
    let Some(row) = judged.as_ref().map(read).transpose()? else {
        let there = line
            .query_opt("SELECT * FROM usage_suspect WHERE id = $1", &[&id])
            .await?;
        return Ok(match there.as_ref().map(read).transpose()? {
            None => Judged::Missing,
            Some(row) if row.decision == Some(decision) => Judged::Done(row, Vec::new()),
            Some(_) => Judged::Otherwise,
        });
    };
    let quotas = match decision {
        Decision::Accepted => counting::write(line, &Fold::of_accepted(&row)).await?.1,
        Decision::Voided => Vec::new(),
    };
    let (action, details) = audited(&row, decision);
    audit(line, by, action, Some(id), &details).await?;
    Ok(Judged::Done(row, quotas))
}

fn read(row: &Row) -> Result<SuspectRow, Fault> {
    Ok(SuspectRow {
        id: row.try_get("id")?,
        node_id: row.try_get("node_id")?,
        user_id: row.try_get("user_id")?,
        subscription_id: row.try_get("subscription_id")?,
        node_protocol_id: row.try_get("node_protocol_id")?,
        minute: row.try_get("minute")?,
        bytes_up: row.try_get("bytes_up")?,
        bytes_down: row.try_get("bytes_down")?,
        reason: row.try_get::<_, Text<_>>("reason")?.0,
        received_at: row.try_get("received_at")?,
        decided_at: row.try_get("decided_at")?,
        decision: row.try_get::<_, Option<Text<_>>>("decision")?.map(|it| it.0),
        decided_by: row.try_get("decided_by")?,
    })
}

/// Keeps suspect rows, with when Core took them.
pub(super) async fn write(line: &Line, suspects: &[(NodeId, Time, UsageRow)]) -> Result<(), Fault> {
    if suspects.is_empty() {
        return Ok(());
    }
    let rows = || suspects.iter().map(|(.., row)| row);
    let nodes: Vec<NodeId> = suspects.iter().map(|(node, ..)| *node).collect();
    let users: Vec<UserId> = rows().map(|row| row.user).collect();
    let subscriptions: Vec<Option<SubscriptionId>> = rows().map(|row| row.subscription).collect();
    let protocols: Vec<ProtocolId> = rows().map(|row| row.protocol).collect();
    let minutes: Vec<Time> = rows().map(|row| row.minute).collect();
    let up: Vec<i64> = rows().map(|row| row.bytes_up).collect();
    let down: Vec<i64> = rows().map(|row| row.bytes_down).collect();
    let reasons: Vec<Option<&str>> = rows().map(|row| row.suspect.map(Suspicion::as_str)).collect();
    let times: Vec<Time> = suspects.iter().map(|(_, at, _)| *at).collect();
    line.execute(
        include_str!("../../../sql/queries/postgres/suspects_insert.sql"),
        &[
            &nodes,
            &users,
            &subscriptions,
            &protocols,
            &minutes,
            &up,
            &down,
            &reasons,
            &times,
        ],
    )
    .await?;
    Ok(())
}
