//! Days are partitions: made ahead, filled with what was there before, and dropped.

use std::time::Duration;

use vpn_core::store::{Retention, Store, Upkeep};

use super::store_in;
use crate::{
    harness::postgres::{Database, connect},
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
