//! What is kept too long goes; what is not, stays.

use std::time::Duration;

use vpn_core::{
    model::{
        UserId,
        entry::{Entry, Payload},
        session::SessionRow,
        usage::UsageRow,
    },
    store::{Retention, Store, Upkeep, UsageSpan, UsageStep},
};

use super::world::{Journal, entry, on_each, report, roll_up, second, usage_row};

const DAY: i64 = 86_400;

const KEEP: Retention = Retention {
    usage_minutes: Duration::from_hours(35 * 24),
    usage_hours: Duration::from_hours(400 * 24),
    session_events: Duration::from_hours(90 * 24),
    node_stats: Duration::from_hours(30 * 24),
};

/// Bytes of user 1, and an event of his, so many days ago.
fn days_ago(days: i64) -> Vec<Entry> {
    let row = UsageRow {
        minute: second(-days * DAY).minute(),
        ..usage_row(1, 2)
    };
    let event = SessionRow {
        user: UserId(1),
        protocol: "vless".to_owned(),
        event_type: "online".to_owned(),
        occurred_at: second(-days * DAY),
        ip: None,
    };
    let (bytes, events) = (format!("bytes {days}"), format!("events {days}"));
    vec![
        entry(1, second(-days * DAY), Payload::Usage(report(&bytes, vec![row]))),
        entry(
            1,
            second(-days * DAY),
            Payload::SessionEvents(report(&events, vec![event])),
        ),
    ]
}

/// Keeps house until there is nothing more to do.
async fn keep_house(store: &dyn Store, seconds: i64) -> Upkeep {
    for _ in 0..1_000 {
        let done = store.maintain(second(seconds), KEEP).await.unwrap();
        if !done.more {
            return done;
        }
    }
    panic!("there is always more to do");
}

async fn steps(store: &dyn Store, step: UsageStep) -> usize {
    let span = UsageSpan {
        from: second(-1_000 * DAY),
        to: second(DAY),
        step,
    };
    store.usage(UserId(1), span).await.unwrap().len()
}

#[tokio::test]
async fn each_kind_is_kept_for_its_time() {
    on_each(|store| async move {
        keep_house(&*store, -500 * DAY).await;
        let mut journal = Journal::new();
        for days in [500, 380, 100, 80, 40, 30, 0] {
            keep_house(&*store, -days * DAY).await;
            journal.flush(&*store, days_ago(days)).await;
            roll_up(&*store).await;
        }
        keep_house(&*store, 0).await;
        assert_eq!(steps(&*store, UsageStep::Minute).await, 2);
        assert_eq!(steps(&*store, UsageStep::Hour).await, 6);
        assert_eq!(steps(&*store, UsageStep::Day).await, 7);
        assert_eq!(store.totals().await.unwrap().session_events, 4);
        // And what was let go does not come back.
        roll_up(&*store).await;
        assert_eq!(steps(&*store, UsageStep::Hour).await, 6);
    })
    .await;
}

#[tokio::test]
async fn many_old_rows_go_piece_by_piece() {
    on_each(|store| async move {
        let rows = (0..12_000)
            .map(|user| UsageRow {
                user: UserId(user),
                minute: second(-60 * DAY).minute(),
                ..usage_row(1, 2)
            })
            .collect();
        let mut journal = Journal::new();
        journal
            .flush(
                &*store,
                vec![entry(1, second(-60 * DAY), Payload::Usage(report("old", rows)))],
            )
            .await;
        journal.flush(&*store, days_ago(1)).await;
        roll_up(&*store).await;
        keep_house(&*store, 0).await;
        let totals = store.totals().await.unwrap();
        assert_eq!((totals.usage_up, totals.usage_down), (1, 2));
        assert_eq!((totals.hours_up, totals.days_down), (12_001, 24_002));
    })
    .await;
}
