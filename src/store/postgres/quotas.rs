//! What subscriptions have used of their limits, their states, and their periods.

use serde_json::json;
use tokio_postgres::Row;

use super::{admin::audit_all, door::Door, fault::Fault, line::Line, values::Text};
use crate::{
    model::{
        SubscriptionId, Time,
        catalog::{ResetStrategy, SubscriptionStatus},
        quota::{Quota, StatusChange, period_start},
    },
    store::{Change, StoreError},
};

/// Subscriptions that one transaction resets: so that no flush waits long on the 1st.
const RESETS_MAX: u32 = 5_000;

/// The strategies by which a period ends by itself.
const STRATEGIES: [ResetStrategy; 3] = [ResetStrategy::Daily, ResetStrategy::Weekly, ResetStrategy::Monthly];

/// A quota from its three columns.
pub(super) fn quota(row: &Row) -> Result<Quota, Fault> {
    Ok(Quota {
        subscription: row.try_get("id")?,
        period_bytes: row.try_get("period_bytes")?,
        period_started_at: row.try_get("period_started_at")?,
    })
}

/// The quotas of all subscriptions with a limit, by id.
pub(super) async fn limited(line: &Line) -> Result<Vec<Quota>, Fault> {
    let sql = "SELECT id, period_bytes, period_started_at FROM subscriptions \
               WHERE traffic_limit_bytes IS NOT NULL ORDER BY id";
    line.query(sql, &[]).await?.iter().map(quota).collect()
}

/// The quotas of these subscriptions, as far as they are there.
pub(super) async fn of(line: &Line, ids: &[SubscriptionId]) -> Result<Vec<Quota>, Fault> {
    let sql = "SELECT id, period_bytes, period_started_at FROM subscriptions WHERE id = ANY($1) ORDER BY id";
    line.query(sql, &[&ids]).await?.iter().map(quota).collect()
}

/// Changes states where they still are what they were; gives those that were changed, in the order of the changes.
pub(super) async fn change_statuses(
    line: &Line,
    changes: &[StatusChange],
    by: &Change,
) -> Result<Vec<SubscriptionId>, Fault> {
    let ids: Vec<SubscriptionId> = changes.iter().map(|it| it.subscription).collect();
    let from: Vec<&str> = changes.iter().map(|it| it.from.as_str()).collect();
    let to: Vec<&str> = changes.iter().map(|it| it.to.as_str()).collect();
    let rows = line
        .query(
            include_str!("../../../sql/queries/postgres/statuses_change.sql"),
            &[&ids, &from, &to],
        )
        .await?;
    let mut places = rows
        .iter()
        .map(|row| Ok(usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX)))
        .collect::<Result<Vec<_>, Fault>>()?;
    places.sort_unstable();
    let changed: Vec<&StatusChange> = places.into_iter().filter_map(|place| changes.get(place)).collect();
    let lines: Vec<_> = changed
        .iter()
        .map(|StatusChange { subscription, from, to }| {
            let details = json!({ "before": { "status": from }, "after": { "status": to } });
            ("subscription.update".to_owned(), Some(subscription.0), details)
        })
        .collect();
    audit_all(line, by, &lines).await?;
    Ok(changed.into_iter().map(|it| it.subscription).collect())
}

/// Begins a new period at `at`; gives those that are there.
pub(super) async fn reset(
    line: &Line,
    ids: &[SubscriptionId],
    at: Time,
    by: &Change,
) -> Result<Vec<SubscriptionId>, Fault> {
    let sql = "SELECT id, status, period_bytes FROM subscriptions WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    let ended = line.query(sql, &[&ids]).await?;
    let ended = ended.iter().map(Ended::read).collect::<Result<Vec<_>, _>>()?;
    begin(
        line,
        &ended,
        Period {
            start: at,
            begun_at: at,
        },
        by,
    )
    .await?;
    let mut done: Vec<SubscriptionId> = ids.to_vec();
    done.retain(|id| ended.iter().any(|it| it.id == *id));
    Ok(done)
}

/// Begins all periods that are due, some at a time.
pub(super) async fn reset_all_due(door: &Door, now: Time) -> Result<Vec<SubscriptionId>, StoreError> {
    let mut done = Vec::new();
    loop {
        let resetting = door.write("reset_due", |line| async move { reset_due(&line, now).await });
        match resetting.await {
            Ok(reset) => {
                let is_last = reset.len() < RESETS_MAX as usize;
                done.extend(reset);
                if is_last {
                    return Ok(done);
                }
            }
            // What was reset must be told; the rest is due at the next call.
            Err(error) if !done.is_empty() => {
                tracing::warn!(%error, done = done.len(), "not all periods that are due could begin");
                return Ok(done);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Begins the periods that are due, at most [`RESETS_MAX`] at a time. However many were missed, the one that now is begins.
async fn reset_due(line: &Line, now: Time) -> Result<Vec<SubscriptionId>, Fault> {
    let by = Change {
        actor: "core".to_owned(),
        address: None,
        request_id: None,
        at: now,
    };
    let mut done = Vec::new();
    for (strategy, start) in periods(now) {
        let left = i64::from(RESETS_MAX) - i64::try_from(done.len()).unwrap_or(i64::MAX);
        let sql = include_str!("../../../sql/queries/postgres/subscriptions_due.sql");
        let found = line.query(sql, &[&Text(strategy), &start, &left]).await?;
        let ended = found.iter().map(Ended::read).collect::<Result<Vec<_>, _>>()?;
        begin(line, &ended, Period { start, begun_at: now }, &by).await?;
        done.extend(ended.iter().map(|it| it.id));
    }
    Ok(done)
}

fn periods(now: Time) -> impl Iterator<Item = (ResetStrategy, Time)> + Send {
    STRATEGIES
        .into_iter()
        .filter_map(move |strategy| period_start(strategy, now).map(|start| (strategy, start)))
}

/// A period that begins.
#[derive(Clone, Copy)]
struct Period {
    /// From when on bytes belong to it.
    start: Time,
    /// When it is made so.
    begun_at: Time,
}

/// A subscription whose period ends.
struct Ended {
    id: SubscriptionId,
    status: SubscriptionStatus,
    period_bytes: i64,
}

impl Ended {
    fn read(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            id: row.try_get("id")?,
            status: row.try_get::<_, Text<_>>("status")?.0,
            period_bytes: row.try_get("period_bytes")?,
        })
    }

    fn details(&self) -> serde_json::Value {
        let mut details = json!({ "before": { "periodBytes": self.period_bytes }, "after": { "periodBytes": 0 } });
        if self.status == SubscriptionStatus::Limited {
            details["before"]["status"] = json!(self.status);
            details["after"]["status"] = json!(SubscriptionStatus::Active);
        }
        details
    }
}

/// Begins a new period. The status is a statement of its own, because it tells every reader of the catalogue.
async fn begin(line: &Line, ended: &[Ended], new: Period, by: &Change) -> Result<(), Fault> {
    if ended.is_empty() {
        return Ok(());
    }
    let ids: Vec<SubscriptionId> = ended.iter().map(|it| it.id).collect();
    let sql =
        "UPDATE subscriptions SET period_bytes = 0, period_started_at = $2, last_reset_at = $3 WHERE id = ANY($1)";
    line.execute(sql, &[&ids, &new.start, &new.begun_at]).await?;
    let sql = "UPDATE subscriptions SET status = 'active' WHERE id = ANY($1) AND status = 'limited'";
    line.execute(sql, &[&ids]).await?;
    let lines: Vec<_> = ended
        .iter()
        .map(|it| ("subscription.reset".to_owned(), Some(it.id.0), it.details()))
        .collect();
    audit_all(line, by, &lines).await
}
