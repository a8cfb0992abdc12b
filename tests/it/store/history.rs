//! Hours and days are the sums of the minutes, to the byte, whatever came and in which order.

use std::collections::BTreeMap;

use vpn_core::{
    model::{
        ProtocolId, SubscriptionId, Time, UserId,
        entry::{Entry, Payload},
        usage::UsageRow,
    },
    store::{Store, UsagePoint, UsageSpan, UsageStep},
};

use super::world::{Journal, entry, in_each_place, on_each, report, roll_up, second, usage_row};

const USERS: i64 = 4;

/// Numbers that look like chance, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: i64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % sides
    }

    /// A row of a few users, subscriptions and inbounds within three days; one in 20 carries more than two columns can hold together.
    fn row(&mut self) -> UsageRow {
        let bytes = if self.below(20) == 0 {
            i64::MAX / 2
        } else {
            self.below(1 << 40)
        };
        UsageRow {
            user: UserId(1 + self.below(USERS)),
            subscription: [None, Some(SubscriptionId(5)), Some(SubscriptionId(6))]
                [usize::try_from(self.below(3)).unwrap()],
            protocol: ProtocolId(11 + self.below(2)),
            minute: second(-60 * self.below(3 * 24 * 60)).minute(),
            bytes_up: bytes,
            bytes_down: self.below(1 << 20),
            suspect: None,
        }
    }

    fn report(&mut self, node: i64, key: &str) -> Entry {
        let rows = (0..=self.below(30)).map(|_| self.row()).collect();
        entry(node, second(0), Payload::Usage(report(key, rows)))
    }
}

async fn points(store: &dyn Store, user: i64, step: UsageStep) -> Vec<UsagePoint> {
    let span = UsageSpan {
        from: Time::default(),
        to: second(86_400),
        step,
    };
    store.usage(UserId(user), span).await.unwrap()
}

/// The sums of these minutes by a longer step, in the order of an answer.
fn summed(minutes: &[UsagePoint], step: fn(Time) -> Time) -> Vec<UsagePoint> {
    let mut sums: BTreeMap<_, UsagePoint> = BTreeMap::new();
    for minute in minutes {
        let at = step(minute.at);
        let key = (at, minute.node_id, minute.subscription_id, minute.node_protocol_id);
        let sum = sums.entry(key).or_insert(UsagePoint {
            at,
            bytes_up: 0,
            bytes_down: 0,
            ..*minute
        });
        sum.bytes_up = sum.bytes_up.saturating_add(minute.bytes_up);
        sum.bytes_down = sum.bytes_down.saturating_add(minute.bytes_down);
    }
    sums.into_values().collect()
}

async fn assert_sums(store: &dyn Store) {
    roll_up(store).await;
    for user in 1..=USERS {
        let minutes = points(store, user, UsageStep::Minute).await;
        assert_eq!(points(store, user, UsageStep::Hour).await, summed(&minutes, Time::hour));
        assert_eq!(points(store, user, UsageStep::Day).await, summed(&minutes, Time::day));
    }
    let totals = store.totals().await.unwrap();
    assert_eq!(
        (totals.hours_up, totals.hours_down),
        (totals.usage_up, totals.usage_down)
    );
    assert_eq!((totals.days_up, totals.days_down), (totals.usage_up, totals.usage_down));
}

#[tokio::test]
async fn hours_and_days_are_what_the_minutes_are() {
    on_each(|store| async move {
        let mut dice = Dice(20_261_124);
        let mut journal = Journal::new();
        let mut sent: Vec<Entry> = Vec::new();
        for batch in 0..25 {
            let mut entries: Vec<_> = (0..dice.below(6))
                .map(|index| dice.report(1 + index % 2, &format!("{batch}-{index}")))
                .collect();
            // Old reports come again, in other company.
            if let Some(old) = sent.get(usize::try_from(dice.below(40)).unwrap()) {
                entries.push(old.clone());
            }
            sent.extend(entries.iter().cloned());
            journal.flush(&*store, entries).await;
            if batch % 8 == 0 {
                assert_sums(&*store).await;
            }
        }
        assert_sums(&*store).await;
        let held = points(&*store, 1, UsageStep::Day).await;
        assert!(
            held.iter().any(|point| point.bytes_up == i64::MAX),
            "no sum was held at 2^63-1"
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_put_aside_is_in_no_sum() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        place.trap("INSERT", "usage_minutes", "new.user_id = 3").await;
        let mut dice = Dice(7);
        let entries = (0..4).map(|index| dice.report(1, &format!("report {index}"))).collect();
        let mut journal = Journal::new();
        journal.flush(&*store, entries).await;
        assert_sums(&*store).await;
        assert_eq!(points(&*store, 3, UsageStep::Hour).await, []);
        let row = UsageRow {
            user: UserId(2),
            ..usage_row(1, 1)
        };
        journal
            .flush(
                &*store,
                vec![entry(1, second(0), Payload::Usage(report("more", vec![row])))],
            )
            .await;
        assert_sums(&*store).await;
    })
    .await;
}
