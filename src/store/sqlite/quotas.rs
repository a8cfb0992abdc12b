//! What subscriptions have used of their limits, their states, and their periods.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::json;

use super::{admin::audit, fault::Fault, values::Text};
use crate::{
    model::{
        SubscriptionId, Time,
        catalog::{ResetStrategy, SubscriptionStatus},
        quota::{Quota, StatusChange, period_start},
    },
    store::Change,
};

/// Subscriptions that one transaction resets: so that no flush waits long on the 1st (about 20 us each).
pub(super) const RESETS_MAX: u32 = 5_000;

/// The strategies by which a period ends by itself.
const STRATEGIES: [ResetStrategy; 3] = [ResetStrategy::Daily, ResetStrategy::Weekly, ResetStrategy::Monthly];

/// The quotas of all subscriptions with a limit, by id.
pub(super) fn limited(connection: &Connection) -> Result<Vec<Quota>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT id, period_bytes, period_started_at FROM subscriptions \
         WHERE traffic_limit_bytes IS NOT NULL ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Quota {
            subscription: row.get(0)?,
            period_bytes: row.get(1)?,
            period_started_at: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The quotas of these subscriptions, as far as they are there.
pub(super) fn of(connection: &Connection, ids: impl Iterator<Item = SubscriptionId>) -> Result<Vec<Quota>, Fault> {
    let mut statement =
        connection.prepare_cached("SELECT id, period_bytes, period_started_at FROM subscriptions WHERE id = ?1")?;
    let mut quotas = Vec::new();
    for id in ids {
        let quota = statement.query_row([id], |row| {
            Ok(Quota {
                subscription: row.get(0)?,
                period_bytes: row.get(1)?,
                period_started_at: row.get(2)?,
            })
        });
        quotas.extend(quota.optional()?);
    }
    Ok(quotas)
}

/// Changes states where they still are what they were; gives those that were changed.
pub(super) fn change_statuses(
    transaction: &Connection,
    changes: &[StatusChange],
    by: &Change,
) -> Result<Vec<SubscriptionId>, Fault> {
    let mut update =
        transaction.prepare_cached("UPDATE subscriptions SET status = ?3 WHERE id = ?1 AND status = ?2")?;
    let mut changed = Vec::new();
    for StatusChange { subscription, from, to } in changes {
        if update.execute(params![subscription, Text(from), Text(to)])? == 1 {
            let details = json!({ "before": { "status": from }, "after": { "status": to } });
            audit(transaction, by, "subscription.update", Some(subscription.0), &details)?;
            changed.push(*subscription);
        }
    }
    Ok(changed)
}

/// Begins a new period at `at`; gives those that are there.
pub(super) fn reset(
    transaction: &Connection,
    ids: &[SubscriptionId],
    at: Time,
    by: &Change,
) -> Result<Vec<SubscriptionId>, Fault> {
    let mut statement =
        transaction.prepare_cached("SELECT id, status, period_bytes FROM subscriptions WHERE id = ?1")?;
    let mut done = Vec::new();
    for id in ids {
        if let Some(ended) = statement.query_row([id], Ended::read).optional()? {
            ended.reset(
                transaction,
                Period {
                    start: at,
                    begun_at: at,
                },
                by,
            )?;
            done.push(*id);
        }
    }
    Ok(done)
}

/// Whether a period of any subscription is over.
pub(super) fn is_any_due(connection: &Connection, now: Time) -> Result<bool, Fault> {
    Ok(!due(connection, now, 1)?.is_empty())
}

/// Begins the periods that are due, at most [`RESETS_MAX`] at a time.
pub(super) fn reset_due(transaction: &Connection, now: Time) -> Result<Vec<SubscriptionId>, Fault> {
    let by = Change {
        actor: "core".to_owned(),
        address: None,
        request_id: None,
        at: now,
    };
    let mut done = Vec::new();
    for (ended, start) in due(transaction, now, RESETS_MAX)? {
        ended.reset(transaction, Period { start, begun_at: now }, &by)?;
        done.push(ended.id);
    }
    Ok(done)
}

/// Subscriptions whose period is over, each with the beginning of the period that now is. However many were missed, that one begins.
fn due(connection: &Connection, now: Time, at_most: u32) -> Result<Vec<(Ended, Time)>, Fault> {
    let mut statement = connection.prepare_cached(include_str!("../../../sql/queries/sqlite/subscriptions_due.sql"))?;
    let mut due = Vec::new();
    for strategy in STRATEGIES {
        if let Some(period) = period_start(strategy, now) {
            for ended in statement.query_map(params![Text(strategy), period, at_most], Ended::read)? {
                due.push((ended?, period));
            }
        }
    }
    due.truncate(at_most as usize);
    Ok(due)
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
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            status: row.get::<_, Text<_>>(1)?.0,
            period_bytes: row.get(2)?,
        })
    }

    /// Begins a new period. The status is a statement of its own, because it tells every reader of the catalogue.
    fn reset(&self, transaction: &Connection, new: Period, by: &Change) -> Result<(), Fault> {
        transaction
            .prepare_cached(
                "UPDATE subscriptions SET period_bytes = 0, period_started_at = ?2, last_reset_at = ?3 WHERE id = ?1",
            )?
            .execute(params![self.id, new.start, new.begun_at])?;
        let mut details = json!({ "before": { "periodBytes": self.period_bytes }, "after": { "periodBytes": 0 } });
        if self.status == SubscriptionStatus::Limited {
            transaction
                .prepare_cached("UPDATE subscriptions SET status = 'active' WHERE id = ?1")?
                .execute([self.id])?;
            details["before"]["status"] = json!(self.status);
            details["after"]["status"] = json!(SubscriptionStatus::Active);
        }
        audit(transaction, by, "subscription.reset", Some(self.id.0), &details)
    }
}
