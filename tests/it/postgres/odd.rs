//! What is odd goes its own way and holds up nobody: a row that the store refuses, a clock that is wrong, a day without a partition.

use std::time::Duration;

use vpn_core::{
    clock::{Clock, Stopwatch},
    proto::nodeservice::ReportUsageRequest,
};

use super::{
    figures::{is_long, judge},
    scene::{Scene, line},
};
use crate::{
    faults::{
        crowd::Ledger,
        fleet::protocol,
        ledger::{Line, Report, What},
    },
    harness::{core::Core, eventually, rpc::entry},
};

/// What the others have until they are stored.
const STORED_WITHIN: Duration = Duration::from_secs(2);

const DAY_SECONDS: u64 = 24 * 3_600;

/// Sends an entry of its own, recorded so many days from now.
async fn send_recorded(line: &Line, user: i64, bytes: i64, days: i64) -> String {
    let now = Clock::system().now();
    let span = Duration::from_secs(DAY_SECONDS * days.unsigned_abs());
    let at = if days < 0 { now.minus(span) } else { now.plus(span) };
    let mut odd = entry(user, protocol(1), bytes, 0);
    odd.recorded_at = at.to_string().into();
    let request = ReportUsageRequest {
        entries: vec![odd],
        ..ReportUsageRequest::default()
    };
    let sent = line.rpc.client.clone().report_usage(line.rpc.request(request)).await;
    assert!(sent.unwrap().into_inner().ok);
    at.to_string()
}

/// The good reports: all of them arrive, in time.
async fn others_arrive(scene: &Scene, core: Core, line: &Line, fault: &str, first: Report) {
    let mut reports: Vec<_> = (1..30).map(|number| Report::new(1, number)).collect();
    line.send_all(&reports).await;
    reports.push(first);
    let watch = Stopwatch::start();
    let difference = scene.settle(&reports).await;
    let taken = watch.elapsed();
    core.stop().await;
    let ledger = Ledger {
        reports,
        failed: 0,
        strangers: 0,
    };
    judge(
        fault,
        1,
        &ledger,
        &difference,
        &format!("stored after {} ms", taken.as_millis()),
    );
    assert!(!is_long() || taken <= STORED_WITHIN, "{taken:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_row() {
    let scene = Scene::shared().await;
    let core = scene.start().await;
    let line = line(&core).await;
    let first = Report::new(1, 0);
    assert_eq!(line.send(&first).await, Ok(()));
    let db = scene.db().await;
    let trap = "CREATE OR REPLACE FUNCTION core.trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the panel says no'; END $$; \
                CREATE TRIGGER trap BEFORE INSERT ON core.usage_minutes FOR EACH ROW WHEN (new.user_id = 666) EXECUTE FUNCTION core.trap()";
    // It may meet Core, which makes partitions after its start.
    eventually("a trap", || async { db.batch_execute(trap).await.ok() }).await;
    send_recorded(&line, 666, 5, 0).await;
    let admin = core.admin();
    eventually("the row that was put aside", || async {
        let aside = admin.get("/admin/rejected?kind=usage").await;
        (aside["items"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    others_arrive(&scene, core, &line, "a poison row", first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_two_days_wrong() {
    let scene = Scene::shared().await;
    let core = scene.start().await;
    let line = line(&core).await;
    // Two days late is believed; two days ahead counts when it is heard.
    let late = send_recorded(&line, 1, 1_000, -2).await;
    send_recorded(&line, 777, 7, 2).await;
    let mut past = entry(1, protocol(1), 1_000, 0);
    past.recorded_at = late.into();
    let db = scene.db().await;
    eventually("the bytes from the future", || async {
        let sql = "SELECT count(*) FROM core.usage_minutes WHERE user_id = 777 AND minute BETWEEN now() - interval '1 hour' AND now()";
        (db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    assert_eq!(core.admin().get("/admin/nodes/1").await["clockSkew"], true);
    forget(&db, 777).await;
    let past = Report {
        node: 1,
        name: "late".to_owned(),
        what: What::Usage(vec![past]),
    };
    others_arrive(&scene, core, &line, "a clock 2 days wrong", past).await;
}

/// Takes a user out of all sums of usage, once he is in all of them: the minutes last, which the others are made of.
async fn forget(db: &tokio_postgres::Client, user: i64) {
    for table in ["usage_hours", "usage_days", "usage_minutes"] {
        let sql = format!("DELETE FROM core.{table} WHERE user_id = $1");
        eventually("a user's sum", || async {
            (db.execute(&sql, &[&user]).await.unwrap() > 0).then_some(())
        })
        .await;
    }
    let counters = "UPDATE core.node_protocols SET traffic_bytes_up = traffic_bytes_up - 7 WHERE id = $1";
    db.execute(counters, &[&protocol(1)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_without_a_partition() {
    let scene = Scene::shared().await;
    let core = scene.start().await;
    let line = line(&core).await;
    let db = scene.db().await;
    let sql = "SELECT format('DROP TABLE %s', inhrelid::regclass) FROM pg_inherits \
               WHERE inhparent IN ('core.usage_minutes'::regclass, 'core.session_events'::regclass) AND inhrelid::regclass::text NOT LIKE '%default'";
    let drops = eventually("the partitions of the days around now", || async {
        let rows = db.query(sql, &[]).await.unwrap();
        (!rows.is_empty()).then(|| rows.iter().map(|row| row.get(0)).collect::<Vec<String>>())
    })
    .await;
    for drop in drops {
        db.batch_execute(&drop).await.unwrap();
    }
    let first = Report::new(1, 0);
    assert_eq!(line.send(&first).await, Ok(()));
    others_arrive(&scene, core, &line, "a day without a partition", first).await;
}
