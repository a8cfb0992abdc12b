//! Subscriptions that begin or end by themselves, in the order of time.

use std::collections::{BTreeSet, HashMap};

use crate::model::{SubscriptionId, Time, catalog::Subscription};

/// See the module.
#[derive(Debug, Default)]
pub struct Due {
    at: BTreeSet<(Time, SubscriptionId)>,
    of: HashMap<SubscriptionId, [Option<Time>; 2]>,
}

impl Due {
    /// Notes when this subscription begins and ends; what it was noted for before is forgotten.
    pub fn note(&mut self, subscription: &Subscription) {
        self.forget(subscription.id);
        let times = [subscription.starts_at, subscription.expires_at];
        self.at
            .extend(times.into_iter().flatten().map(|at| (at, subscription.id)));
        if times.iter().any(Option::is_some) {
            self.of.insert(subscription.id, times);
        }
    }

    /// The subscription is gone.
    pub fn forget(&mut self, subscription: SubscriptionId) {
        for at in self.of.remove(&subscription).into_iter().flatten().flatten() {
            self.at.remove(&(at, subscription));
        }
    }

    /// Those whose time has come, once each.
    pub fn take(&mut self, now: Time) -> BTreeSet<SubscriptionId> {
        let later = self
            .at
            .split_off(&(now.plus(std::time::Duration::from_millis(1)), SubscriptionId(i64::MIN)));
        std::mem::replace(&mut self.at, later)
            .into_iter()
            .map(|(_, id)| id)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(id: i64, starts: Option<i64>, ends: Option<i64>) -> Subscription {
        let mut row: Subscription = serde_json::from_value(serde_json::json!({"id": id, "userId": 1})).unwrap();
        (row.starts_at, row.expires_at) = (starts.map(Time::from_millis), ends.map(Time::from_millis));
        row
    }

    #[test]
    fn a_time_comes_once_and_moves_with_its_row() {
        let mut due = Due::default();
        due.note(&subscription(1, Some(10), Some(20)));
        due.note(&subscription(2, None, Some(20)));
        due.note(&subscription(3, None, Some(20)));
        due.note(&subscription(3, None, Some(40)));
        let mut take = |now| {
            due.take(Time::from_millis(now))
                .into_iter()
                .map(|id| id.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(take(9), Vec::<i64>::new());
        assert_eq!(take(10), [1]);
        assert_eq!(take(39), [1, 2]);
        assert_eq!(take(40), [3]);
        assert_eq!(take(1000), Vec::<i64>::new());
    }
}
