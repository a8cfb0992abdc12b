//! Days are partitions: made ahead, filled with what was there before, and dropped.

use std::{sync::Arc, time::Duration};

use vpn_core::store::{Retention, Store, Upkeep};

use super::store_in;
use crate::{
    harness::{
        eventually,
        postgres::{Database, connect},
    },
    store::world::{Journal, roll_up, second, usage},
};

const DAY: Duration = Duration::from_hours(24);

const KEEP: Retention = Retention {
    usage_minutes: DAY.saturating_mul(35),
    usage_hours: DAY.saturating_mul(400),
    session_events: DAY.saturating_mul(90),
    node_stats: DAY.saturating_mul(30),
};

/// Keeps house until there is nothing more to do; gives the sums.
async fn keep_house(store: &dyn Store, at: i64) -> Upkeep {
    let mut sum = Upkeep::default();
    for _ in 0..100 {
        let done = store.maintain(second(at), KEEP).await.unwrap();
        sum.partitions_made += done.partitions_made;
        sum.partitions_dropped += done.partitions_dropped;
        sum.rows_moved += done.rows_moved;
        if !done.more {
            return sum;
        }
    }
    panic!("there is always more to do");
}

#[tokio::test]
async fn rows_of_a_day_without_a_partition_move_there_and_go_with_it() {
    let database = Database::fresh().await;
    let store = store_in(&database).await;
    let db = connect(&database.url()).await;
    let mut journal = Journal::new();
    journal.flush(&*store, vec![usage("a", second(0), 5, 10)]).await;
    let done = keep_house(&*store, 0).await;
    // From 36, 36 and 30 days back to 14 ahead, but nothing that is over already.
    assert_eq!((done.partitions_made, done.rows_moved), (50 + 51 + 45, 1));
    let place = async || {
        let sql = "SELECT DISTINCT tableoid::regclass::text FROM core.usage_minutes";
        let rows = db.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>()
    };
    assert_eq!(place().await, ["usage_minutes_20261124"]);
    assert_eq!(keep_house(&*store, 60).await, Upkeep::default());

    // A day is not dropped before its minutes are in the hours.
    let later = 40 * 86_400;
    keep_house(&*store, later).await;
    assert_eq!(place().await, ["usage_minutes_20261124"]);
    roll_up(&*store).await;
    assert!(keep_house(&*store, later).await.partitions_dropped > 0);
    assert_eq!(place().await, [""; 0]);
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.usage_up, totals.hours_up, totals.days_down), (0, 5, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_up_that_waits_for_a_new_partition_finds_the_rows_that_moved_there() {
    let database = Database::fresh().await;
    let store = store_in(&database).await;
    let (panel, db) = (connect(&database.url()).await, connect(&database.url()).await);
    let mut journal = Journal::new();
    journal.flush(&*store, vec![usage("a", second(0), 5, 10)]).await;
    panel
        .batch_execute("BEGIN; LOCK TABLE core.usage_minutes_default IN ACCESS SHARE MODE")
        .await
        .unwrap();
    let waiting = async |count: i64| {
        eventually("somebody who waits for a lock", || async {
            let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = \
                       (SELECT oid FROM pg_database WHERE datname = current_database())";
            let waiting: i64 = db.query_one(sql, &[]).await.unwrap().get(0);
            (waiting >= count).then_some(())
        })
        .await;
    };
    // 35 days later the day of these bytes is the first that gets a partition.
    let later = second(35 * 86_400);
    let keeping = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.maintain(later, KEEP).await }
    });
    waiting(1).await;
    let rolling = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.roll_up().await }
    });
    waiting(2).await;
    panel.batch_execute("COMMIT").await.unwrap();
    // Either may have waited too long on a slow machine: then it is as if it had not begun.
    let (kept, rolled) = (keeping.await.unwrap(), rolling.await.unwrap());
    eprintln!("kept: {kept:?}, rolled up: {rolled:?}");
    roll_up(&*store).await;
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.usage_up, totals.hours_up, totals.days_down), (5, 5, 10));
}
