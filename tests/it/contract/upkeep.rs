//! What is kept too long goes by itself.

use std::{sync::Arc, time::Duration};

use vpn_core::{
    app::Parts,
    clock::Clock,
    model::{
        JournalId, NodeId, Position, ProtocolId, Time, UserId,
        entry::{Entry, Identity, Payload, Report},
        usage::UsageRow,
    },
    store::{Batch, Store, sqlite::SqliteStore},
};

use crate::harness::{core::sample_dir, eventually, inside::Inside};

/// A journal's piece that ends with bytes of user 1 in this minute.
fn bytes_at(minute: Time) -> Batch {
    let row = UsageRow {
        user: UserId(1),
        subscription: None,
        protocol: ProtocolId(11),
        minute,
        bytes_up: 3,
        bytes_down: 4,
        suspect: None,
    };
    let report = Report {
        identity: Identity::of_key(&minute.to_string()),
        rows: vec![row],
        rejected: Vec::new(),
    };
    Batch {
        journal: JournalId::random(),
        instance: "before".to_owned(),
        after: Position::START,
        upto: Position(1),
        entries: vec![Entry {
            node: NodeId(1),
            received_at: minute,
            payload: Payload::Usage(report),
        }],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_minutes_go_and_their_hours_and_days_stay() {
    let dir = sample_dir();
    let store = Arc::new(SqliteStore::open(&dir.path().join("core.db")).expect("the import made it"));
    let days = |days: u64| Duration::from_hours(24 * days);
    let now = Clock::system().now();
    for minute in [now.minus(days(2)), now.minus(days(36)), now.minus(days(401))] {
        store.commit(bytes_at(minute.minute())).await.expect("it takes it");
    }
    let clock = Clock::manual(now);
    let parts = Parts {
        clock: clock.clone(),
        ..Parts::default()
    };
    let core = Inside::start(dir.path(), parts).await;
    eventually("what is older than the settings say is gone", || async {
        let totals = store.totals().await.expect("it answers");
        ((totals.usage_up, totals.hours_up, totals.days_up) == (3, 6, 9)).then_some(())
    })
    .await;
    core.stop().await;

    clock.advance(days(34));
    let parts = Parts {
        clock,
        ..Parts::default()
    };
    let core = Inside::start(dir.path(), parts).await;
    eventually("the last minute is gone, too", || async {
        let totals = store.totals().await.expect("it answers");
        ((totals.usage_down, totals.hours_down, totals.days_down) == (0, 8, 12)).then_some(())
    })
    .await;
    core.stop().await;
}
