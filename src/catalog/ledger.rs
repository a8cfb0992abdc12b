//! What every subscription has used of its limit, in memory: what the store has counted, and what was acknowledged since. A subscription that
//! crosses its limit is called out once, at the report that crosses it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::mpsc;

use crate::model::{SubscriptionId, quota::Quota};

/// Reports of many nodes count at the same time: each shard has its own lock, held for one addition.
const SHARDS: usize = 32;

/// Subscriptions that crossed their limits and wait to be cut off. One that does not fit is called out again by its next report.
pub const CROSSED_MAX: usize = 4_096;

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    shards: [Mutex<HashMap<SubscriptionId, Account>>; SHARDS],
    crossed: mpsc::Sender<SubscriptionId>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    limit: Option<i64>,
    /// What the store has counted since the period began.
    counted: i64,
    /// What was acknowledged and is not in the store yet: as it was sent, and weighed by the nodes' multipliers.
    waiting: i64,
    waiting_weighed: i64,
    called_out: bool,
}

impl Ledger {
    /// An empty ledger, and where it calls out who crossed a limit.
    pub fn new() -> (Self, mpsc::Receiver<SubscriptionId>) {
        let (crossed, calls) = mpsc::channel(CROSSED_MAX);
        (
            Self {
                shards: std::array::from_fn(|_| Mutex::default()),
                crossed,
            },
            calls,
        )
    }

    /// Counts bytes that were acknowledged; `multiplier` is the node's.
    pub fn count(&self, subscription: SubscriptionId, bytes: i64, multiplier: f64) {
        self.if_known(subscription, |account| {
            account.waiting = account.waiting.saturating_add(bytes);
            account.waiting_weighed = account.waiting_weighed.saturating_add(weigh(bytes, multiplier));
        });
    }

    /// The store has taken over so many bytes that were counted here, and has now counted so much in the period, where that is known. In one step: else
    /// bytes would count twice, or not at all, for a moment.
    pub fn taken_over(&self, subscription: SubscriptionId, bytes: i64, counted: Option<i64>) {
        self.if_known(subscription, |account| {
            // A multiplier may have changed meanwhile: the weight goes in proportion, and with the last byte it is gone.
            let left = account.waiting.saturating_sub(bytes).max(0);
            let share = i128::from(account.waiting_weighed) * i128::from(left) / i128::from(account.waiting.max(1));
            account.waiting_weighed = i64::try_from(share).unwrap_or(i64::MAX);
            account.waiting = left;
            account.counted = counted.unwrap_or(account.counted);
        });
    }

    /// What the store has counted.
    pub fn counted(&self, quota: Quota) {
        self.with(quota.subscription, |account| account.counted = quota.period_bytes);
    }

    /// The limit of a subscription.
    pub fn set_limit(&self, subscription: SubscriptionId, limit: Option<i64>) {
        self.with(subscription, |account| account.limit = limit);
    }

    /// The subscription is gone.
    pub fn forget(&self, subscription: SubscriptionId) {
        self.shard(subscription).remove(&subscription);
    }

    /// Whether the limit is reached.
    pub fn is_over(&self, subscription: SubscriptionId) -> bool {
        self.shard(subscription)
            .get(&subscription)
            .is_some_and(Account::is_over)
    }

    fn with(&self, subscription: SubscriptionId, change: impl FnOnce(&mut Account)) {
        let mut shard = self.shard(subscription);
        self.judge(subscription, shard.entry(subscription).or_default(), change);
    }

    /// Only the catalogue opens accounts: a node may name subscriptions that are none.
    fn if_known(&self, subscription: SubscriptionId, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.shard(subscription).get_mut(&subscription) {
            self.judge(subscription, account, change);
        }
    }

    fn judge(&self, subscription: SubscriptionId, account: &mut Account, change: impl FnOnce(&mut Account)) {
        change(account);
        if !account.is_over() {
            account.called_out = false;
        } else if !account.called_out {
            account.called_out = self.crossed.try_send(subscription).is_ok();
        }
    }

    fn shard(&self, SubscriptionId(id): SubscriptionId) -> MutexGuard<'_, HashMap<SubscriptionId, Account>> {
        let shard = usize::try_from(id.unsigned_abs() % SHARDS as u64).unwrap_or(0);
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn is_over(&self) -> bool {
        self.limit
            .is_some_and(|limit| self.counted.saturating_add(self.waiting_weighed) >= limit)
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a weight need not be exact above 2^53, and the cast back saturates"
)]
fn weigh(bytes: i64, multiplier: f64) -> i64 {
    if multiplier.to_bits() == 1.0_f64.to_bits() {
        bytes
    } else {
        (bytes as f64 * multiplier).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SubscriptionId = SubscriptionId(7);

    fn quota(period_bytes: i64) -> Quota {
        Quota {
            subscription: ID,
            period_bytes,
            period_started_at: None,
        }
    }

    #[test]
    fn the_crossing_report_is_called_out_once() {
        let (ledger, mut calls) = Ledger::new();
        ledger.set_limit(ID, Some(100));
        ledger.count(ID, 99, 1.0);
        assert!(calls.try_recv().is_err());
        ledger.count(ID, 1, 1.0);
        ledger.count(ID, 50, 1.0);
        assert_eq!(calls.try_recv(), Ok(ID));
        assert!(calls.try_recv().is_err() && ledger.is_over(ID));
        ledger.taken_over(ID, 150, Some(150));
        assert!(calls.try_recv().is_err() && ledger.is_over(ID));
        ledger.counted(quota(0));
        assert!(!ledger.is_over(ID));
        ledger.count(ID, 100, 1.0);
        assert_eq!(calls.try_recv(), Ok(ID));
    }

    #[test]
    fn bytes_weigh_what_their_node_says() {
        let (ledger, mut calls) = Ledger::new();
        ledger.set_limit(ID, Some(100));
        ledger.count(ID, 60, 0.5);
        assert!(!ledger.is_over(ID));
        ledger.count(ID, 40, 2.0);
        assert_eq!(calls.try_recv(), Ok(ID));
        ledger.taken_over(ID, 100, Some(90));
        assert!(!ledger.is_over(ID));
    }

    #[test]
    fn a_limit_that_is_lowered_below_what_was_used_is_crossed() {
        let (ledger, mut calls) = Ledger::new();
        ledger.counted(quota(500));
        ledger.set_limit(ID, None);
        assert!(calls.try_recv().is_err());
        ledger.set_limit(ID, Some(400));
        assert_eq!(calls.try_recv(), Ok(ID));
    }
}
