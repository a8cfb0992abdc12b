//! Whose bytes a node may report: the subscriptions that are clients of its inbounds, or lately were.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{SubscriptionId, Time, UserId, suspect::Suspicion, usage::OLDEST};

/// See the module. Sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Clients {
    /// Whether they may connect at this moment or not.
    present: Box<[(SubscriptionId, UserId)]>,
    /// Who left, and when: as long as a report may be late, his bytes may come.
    past: Box<[(SubscriptionId, UserId, Time)]>,
}

impl Clients {
    /// Who is there at `now`, when before there were these: who is missing left now.
    pub fn follow(&self, present: impl IntoIterator<Item = (SubscriptionId, UserId)>, now: Time) -> Self {
        let present: BTreeSet<_> = present.into_iter().collect();
        let mut past: BTreeMap<_, Time> = self.past.iter().map(|(id, user, at)| ((*id, *user), *at)).collect();
        let left = self.present.iter().filter(|pair| !present.contains(*pair));
        past.extend(left.map(|pair| (*pair, now)));
        past.retain(|pair, left_at| is_remembered(*left_at, now) && !present.contains(pair));
        Self {
            present: present.into_iter().collect(),
            past: past.into_iter().map(|((id, user), at)| (id, user, at)).collect(),
        }
    }

    /// What is wrong with bytes of this user on this subscription. A subscription that does not exist is nobody's: its bytes are kept as they are.
    pub fn suspicion(
        &self,
        (subscription, user): (SubscriptionId, UserId),
        now: Time,
        exists: impl FnOnce() -> bool,
    ) -> Option<Suspicion> {
        if self.present.binary_search(&(subscription, user)).is_ok() {
            return None;
        }
        let mut is_client = !of(&self.present, subscription, |pair| pair.0).is_empty();
        let past = of(&self.past, subscription, |client| client.0);
        for (_, owner, _) in past.iter().filter(|client| is_remembered(client.2, now)) {
            if *owner == user {
                return None;
            }
            is_client = true;
        }
        if is_client {
            Some(Suspicion::NotTheUsers)
        } else {
            exists().then_some(Suspicion::NoClient)
        }
    }
}

fn is_remembered(left_at: Time, now: Time) -> bool {
    left_at >= now.minus(OLDEST)
}

/// The rows of one subscription.
fn of<Row>(rows: &[Row], subscription: SubscriptionId, id: impl Fn(&Row) -> SubscriptionId) -> &[Row] {
    let from = rows.partition_point(|row| id(row) < subscription);
    let rows = &rows[from..];
    &rows[..rows.partition_point(|row| id(row) == subscription)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn pair(subscription: i64, user: i64) -> (SubscriptionId, UserId) {
        (SubscriptionId(subscription), UserId(user))
    }

    fn day(day: i64) -> Time {
        Time::from_millis((1_000 + day) * DAY)
    }

    /// Of subscriptions, all below 100 exist.
    fn judged(clients: &Clients, subscription: i64, user: i64, on: i64) -> Option<Suspicion> {
        clients.suspicion(pair(subscription, user), day(on), || subscription < 100)
    }

    #[test]
    fn only_a_client_with_its_user_is_above_suspicion() {
        let clients = Clients::default().follow([pair(7, 1), pair(3, 2), pair(3, 4)], day(0));
        assert_eq!(judged(&clients, 7, 1, 0), None);
        assert_eq!(judged(&clients, 3, 2, 0), None);
        assert_eq!(judged(&clients, 3, 4, 0), None, "two users may share one");
        assert_eq!(judged(&clients, 7, 2, 0), Some(Suspicion::NotTheUsers));
        assert_eq!(judged(&clients, 5, 1, 0), Some(Suspicion::NoClient));
        assert_eq!(judged(&clients, 100, 1, 0), None, "nobody has it");
    }

    #[test]
    fn who_left_is_remembered_for_35_days() {
        let before = Clients::default().follow([pair(7, 1), pair(8, 2)], day(0));
        let after = before.follow([pair(8, 2)], day(1));
        assert_eq!(judged(&after, 7, 1, 36), None);
        assert_eq!(judged(&after, 7, 9, 36), Some(Suspicion::NotTheUsers));
        assert_eq!(judged(&after, 7, 1, 37), Some(Suspicion::NoClient));
        let later = after.follow([pair(8, 2)], day(30));
        assert_eq!(later.past, after.past, "he left once");
        assert!(later.follow([pair(8, 2)], day(37)).past.is_empty());
        let back = after.follow([pair(7, 1), pair(8, 2)], day(2));
        assert!(back.past.is_empty());
    }
}
