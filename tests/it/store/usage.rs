//! The bytes of a user over time.

use vpn_core::{
    model::{
        NodeId, ProtocolId, SubscriptionId, Time, UserId,
        entry::{Entry, Payload},
        usage::UsageRow,
    },
    store::{UsagePoint, UsageSpan, UsageStep},
};

use super::world::{Journal, entry, on_each, refused, report, roll_up, second, usage_row};

fn at(text: &str) -> Time {
    Time::parse_rfc3339(text).unwrap()
}

fn used(node: i64, key: &str, row: UsageRow) -> Entry {
    entry(node, second(0), Payload::Usage(report(key, vec![row])))
}

/// Bytes of user 1 in this minute.
fn minute(text: &str, bytes_up: i64, bytes_down: i64) -> UsageRow {
    UsageRow {
        minute: at(text),
        ..usage_row(bytes_up, bytes_down)
    }
}

fn point(text: &str, bytes_up: i64, bytes_down: i64) -> UsagePoint {
    UsagePoint {
        at: at(text),
        node_id: NodeId(1),
        subscription_id: Some(SubscriptionId(5)),
        node_protocol_id: ProtocolId(11),
        bytes_up,
        bytes_down,
    }
}

fn span(from: &str, to: &str, step: UsageStep) -> UsageSpan {
    UsageSpan {
        from: at(from),
        to: at(to),
        step,
    }
}

#[tokio::test]
async fn usage_is_summed_by_minute_hour_and_day() {
    on_each(|store| async move {
        let entries = vec![
            used(1, "a", minute("2026-11-23T23:59:00Z", 1, 2)),
            used(1, "b", minute("2026-11-24T00:00:00Z", 10, 20)),
            used(1, "c", minute("2026-11-24T00:59:00Z", 100, 200)),
            used(1, "d", minute("2026-11-24T01:00:00Z", 1_000, 2_000)),
        ];
        let mut journal = Journal::new();
        journal.flush(&*store, entries).await;
        // A later report for a minute that is there already.
        journal
            .flush(&*store, vec![used(1, "e", minute("2026-11-24T00:00:00Z", 5, 5))])
            .await;
        roll_up(&*store).await;
        let ask = async |span| store.usage(UserId(1), span).await.unwrap();
        let (from, to) = ("2026-11-23T00:00:00Z", "2026-11-25T00:00:00Z");
        assert_eq!(
            ask(span(from, to, UsageStep::Minute)).await,
            [
                point("2026-11-23T23:59:00Z", 1, 2),
                point("2026-11-24T00:00:00Z", 15, 25),
                point("2026-11-24T00:59:00Z", 100, 200),
                point("2026-11-24T01:00:00Z", 1_000, 2_000),
            ]
        );
        assert_eq!(
            ask(span(from, to, UsageStep::Hour)).await,
            [
                point("2026-11-23T23:00:00Z", 1, 2),
                point("2026-11-24T00:00:00Z", 115, 225),
                point("2026-11-24T01:00:00Z", 1_000, 2_000),
            ]
        );
        assert_eq!(
            ask(span(from, to, UsageStep::Day)).await,
            [
                point("2026-11-23T00:00:00Z", 1, 2),
                point("2026-11-24T00:00:00Z", 1_115, 2_225),
            ]
        );
        // The step of the beginning is in, whole; the end is not.
        let narrow = |step| span("2026-11-24T00:59:30Z", "2026-11-24T01:00:00Z", step);
        assert_eq!(
            ask(narrow(UsageStep::Minute)).await,
            [point("2026-11-24T00:59:00Z", 100, 200)]
        );
        assert_eq!(
            ask(narrow(UsageStep::Hour)).await,
            [point("2026-11-24T00:00:00Z", 115, 225)]
        );
        let narrow = narrow(UsageStep::Day);
        assert_eq!(ask(narrow).await, [point("2026-11-24T00:00:00Z", 1_115, 2_225)]);
        assert_eq!(store.usage(UserId(2), narrow).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn usage_is_kept_apart_by_node_subscription_and_inbound() {
    on_each(|store| async move {
        let noon = "2026-11-24T12:00:00Z";
        let unpaid = UsageRow {
            subscription: None,
            ..minute(noon, 1, 1)
        };
        let elsewhere = UsageRow {
            protocol: ProtocolId(12),
            ..minute(noon, 2, 2)
        };
        let entries = vec![
            used(1, "a", minute(noon, 3, 3)),
            used(1, "b", unpaid),
            used(1, "c", elsewhere),
            used(2, "d", minute(noon, 4, 4)),
        ];
        Journal::new().flush(&*store, entries).await;
        roll_up(&*store).await;
        let points = store
            .usage(UserId(1), span(noon, "2026-11-24T13:00:00Z", UsageStep::Day))
            .await
            .unwrap();
        let said: Vec<_> = points
            .iter()
            .map(|it| {
                let subscription = it.subscription_id.map(|id| id.0);
                (it.node_id.0, subscription, it.node_protocol_id.0, it.bytes_up)
            })
            .collect();
        assert_eq!(
            said,
            [
                (1, None, 11, 1),
                (1, Some(5), 11, 3),
                (1, Some(5), 12, 2),
                (2, Some(5), 11, 4),
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn sums_are_held_and_answers_are_bounded() {
    on_each(|store| async move {
        let noon = "2026-11-24T12:00:00Z";
        let mut journal = Journal::new();
        for key in ["a", "b"] {
            journal
                .flush(&*store, vec![used(1, key, minute(noon, i64::MAX, i64::MAX))])
                .await;
        }
        roll_up(&*store).await;
        let day = span(noon, "2026-11-24T13:00:00Z", UsageStep::Day);
        let held = store.usage(UserId(1), day).await.unwrap();
        assert_eq!(held, [point("2026-11-24T00:00:00Z", i64::MAX, i64::MAX)]);

        let rows = (0..100_000)
            .map(|index| UsageRow {
                minute: Time::from_millis(index * 60_000),
                ..usage_row(1, 1)
            })
            .collect();
        let many = entry(1, second(0), Payload::Usage(report("many", rows)));
        journal.flush(&*store, vec![many]).await;
        roll_up(&*store).await;
        let minutes = span("1970-01-01T00:00:00Z", "2027-01-01T00:00:00Z", UsageStep::Minute);
        let (field, message) = refused(store.usage(UserId(1), minutes).await);
        assert_eq!(field, "from", "{message}");
        let days = UsageSpan {
            step: UsageStep::Day,
            ..minutes
        };
        assert_eq!(store.usage(UserId(1), days).await.unwrap().len(), 71);
    })
    .await;
}
