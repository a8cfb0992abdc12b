//! What every subscription has used of its limit, in memory: what the store has counted, and what was acknowledged since. A subscription that
//! crosses its limit is called out once, at the report that crosses it; one that turns out not to have crossed it (a report was a repeat, a period
//! began) is called out again.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use foldhash::fast::RandomState;
use tokio::sync::mpsc;

use crate::model::{SubscriptionId, Time, quota::Quota};

/// Reports of many nodes count at the same time: each shard has its own lock, held for one addition.
const SHARDS: usize = 32;

/// Subscriptions that crossed their limits and wait to be cut off. One that does not fit is called out again by its next report.
pub const CROSSED_MAX: usize = 4_096;

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    shards: [Mutex<Accounts>; SHARDS],
    crossed: mpsc::Sender<SubscriptionId>,
    /// How often the store took something over.
    takings: AtomicU64,
}

/// A report asks for a hundred of them. Only the catalogue adds some, so nobody can choose ids that fall together.
type Accounts = HashMap<SubscriptionId, Account, RandomState>;

/// A moment: what the store took over since may be missing in what is read from it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    limit: Option<i64>,
    /// What the store has counted since the period began.
    counted: i64,
    /// When that period began.
    period: Option<Time>,
    /// The last taking-over that told what was counted.
    taken_at: u64,
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
                takings: AtomicU64::new(0),
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
    pub fn taken_over(&self, subscription: SubscriptionId, bytes: i64, counted: Option<Quota>) {
        let taken_at = self.takings.fetch_add(1, SeqCst) + 1;
        let take = |account: &mut Account| {
            // A multiplier may have changed meanwhile: the weight goes in proportion, and with the last byte it is gone.
            let left = account.waiting.saturating_sub(bytes).max(0);
            let share = i128::from(account.waiting_weighed) * i128::from(left) / i128::from(account.waiting.max(1));
            account.waiting_weighed = i64::try_from(share).unwrap_or(i64::MAX);
            account.waiting = left;
            // An answer that was on its way while a new period began says nothing of that one.
            if let Some(quota) = counted.filter(|quota| quota.period_started_at >= account.period) {
                (account.counted, account.period) = (quota.period_bytes, quota.period_started_at);
                account.taken_at = taken_at;
            }
        };
        match counted {
            // Only subscriptions that are there are counted.
            Some(_) => self.with(subscription, take),
            None => self.if_known(subscription, take),
        }
    }

    /// To be taken before the store is asked what it has counted.
    pub fn mark(&self) -> Mark {
        Mark(self.takings.load(SeqCst))
    }

    /// What the store has counted, as it was read after the mark. What it took over meanwhile may or may not be in it: the later of both counts.
    pub fn counted(&self, quota: Quota, mark: Mark) {
        self.with(quota.subscription, |account| {
            let told = (quota.period_started_at, quota.period_bytes);
            if account.taken_at <= mark.0 || told > (account.period, account.counted) {
                (account.period, account.counted) = told;
            }
        });
    }

    /// A new period began: it is counted from 0, unless that was known before.
    pub fn began(&self, subscription: SubscriptionId, at: Option<Time>) {
        self.if_known(subscription, |account| {
            if at.is_none() || account.period < at {
                account.counted = 0;
                account.period = at.or(account.period);
            }
        });
    }

    /// The limit of a subscription.
    pub fn set_limit(&self, subscription: SubscriptionId, limit: Option<i64>) {
        self.with(subscription, |account| account.limit = limit);
    }

    /// The subscription is gone.
    pub fn forget(&self, subscription: SubscriptionId) {
        self.shard(subscription).remove(&subscription);
    }

    /// Whether there is such a subscription. Before the catalogue was loaded there is none.
    pub fn knows(&self, subscription: SubscriptionId) -> bool {
        self.shard(subscription).contains_key(&subscription)
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
        let over = account.is_over();
        if over != account.called_out && self.crossed.try_send(subscription).is_ok() {
            account.called_out = over;
        }
    }

    fn shard(&self, SubscriptionId(id): SubscriptionId) -> MutexGuard<'_, Accounts> {
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
        ledger.taken_over(ID, 150, Some(quota(150)));
        assert!(calls.try_recv().is_err() && ledger.is_over(ID));
        ledger.counted(quota(0), ledger.mark());
        assert!(!ledger.is_over(ID));
        assert_eq!(calls.try_recv(), Ok(ID), "it may be used again");
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
        ledger.taken_over(ID, 100, Some(quota(90)));
        assert!(!ledger.is_over(ID));
    }

    #[test]
    fn a_limit_that_is_lowered_below_what_was_used_is_crossed() {
        let (ledger, mut calls) = Ledger::new();
        ledger.counted(quota(500), ledger.mark());
        ledger.set_limit(ID, None);
        assert!(calls.try_recv().is_err());
        ledger.set_limit(ID, Some(400));
        assert_eq!(calls.try_recv(), Ok(ID));
    }

    #[test]
    fn an_answer_from_before_a_reset_is_not_believed() {
        let (ledger, _calls) = Ledger::new();
        ledger.set_limit(ID, Some(100));
        let at = |seconds: i64| Some(Time::from_millis(seconds * 1000));
        let told = |period_bytes, period_started_at| Quota {
            period_started_at,
            ..quota(period_bytes)
        };
        ledger.count(ID, 100, 1.0);
        ledger.began(ID, at(5));
        ledger.taken_over(ID, 100, Some(told(100, at(1))));
        assert!(!ledger.is_over(ID));
        ledger.count(ID, 100, 1.0);
        ledger.taken_over(ID, 100, Some(told(100, at(9))));
        ledger.began(ID, at(9));
        assert!(ledger.is_over(ID), "that period was known");
    }

    #[test]
    fn what_was_taken_over_while_the_store_was_read_is_not_forgotten() {
        let (ledger, _calls) = Ledger::new();
        ledger.set_limit(ID, Some(100));
        ledger.count(ID, 100, 1.0);
        let mark = ledger.mark();
        ledger.taken_over(ID, 100, Some(quota(100)));
        ledger.counted(quota(0), mark);
        assert!(ledger.is_over(ID));
        ledger.counted(quota(0), ledger.mark());
        assert!(!ledger.is_over(ID));
    }
}
