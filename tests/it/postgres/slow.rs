//! PostgreSQL that says nothing, and PostgreSQL that is slow.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use vpn_core::clock::Stopwatch;

use super::{
    figures::{figure, is_long, judge},
    scene::{NODES, Scene, line, ready, store_is},
};
use crate::{
    faults::{
        crowd::{Crowd, Ledger},
        fleet::Place,
        ledger::{Line, Report},
    },
    harness::{
        http::{Admin, node_post},
        proxy::Fault,
        within,
    },
};

/// What Core has to notice that its store is silent.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);

/// What the contract gives a call that needs the store.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

const PACE: Duration = Duration::from_millis(50);

/// How late each answer is.
const LATE: Duration = Duration::from_millis(500);

/// Flushes that failed until now.
async fn failures(admin: &Admin) -> f64 {
    let metrics = admin.request(reqwest::Method::GET, "/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("core_flush_failures_total "));
    line.map_or(0.0, |number| number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_silent() {
    let holes = figure("CORE_TEST_PG_BLACK_HOLES", 2, 20);
    let scene = Scene::shared().await;
    let core = scene.start().await;
    let place = Place::from(core.ports);
    let crowd = Crowd::new(place, NODES, PACE).await;
    let code = place.code(&json!({})).await;
    let body = json!({"code": code, "name": "new", "ip": "192.0.2.5", "port": 8000, "region": "de"});
    let (admin, mut slowest) = (core.admin(), Duration::ZERO);
    for _ in 0..holes {
        scene.flushed().await;
        let before = failures(&admin).await;
        scene.proxy.set(Fault::BlackHole).await;
        let hole = Stopwatch::start();
        let register = node_post(place.http, "/node/register", None, &body);
        let answer = tokio::time::timeout(ANSWER_WITHIN, register).await;
        let answer = answer.expect("register waits for the store");
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
        within(
            NOTICED_WITHIN,
            "a flush that gives up, and a store that is away",
            || async {
                let noticed = failures(&admin).await > before && ready(&core).await.body["store"] == "away";
                noticed.then_some(())
            },
        )
        .await;
        slowest = slowest.max(hole.elapsed());
        scene.proxy.set(Fault::Pass).await;
        store_is(&core, "ok").await;
    }
    let ledger = crowd.finish().await;
    let difference = scene.settle(&ledger.reports).await;
    core.stop().await;
    let note = format!(
        "noticed after {} ms at most; {} calls failed",
        slowest.as_millis(),
        ledger.failed
    );
    judge("black hole", holes.into(), &ledger, &difference, &note);
    assert_eq!(ledger.failed, 0, "a node noticed it");
}

/// Sends so many reports, one after the other; gives them and how long the slowest of a hundred took.
async fn report(line: &Line, numbers: std::ops::Range<i64>) -> (Vec<Report>, Duration) {
    let (mut reports, mut times) = (Vec::new(), Vec::new());
    for number in numbers {
        let report = Report::new(1, number);
        let watch = Stopwatch::start();
        assert_eq!(line.send(&report).await, Ok(()));
        times.push(watch.elapsed());
        reports.push(report);
    }
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    (reports, p99)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_postgresql_is_late() {
    let count = i64::from(figure("CORE_TEST_PG_LATE_REPORTS", 500, 20_000));
    let scene = Scene::shared().await;
    let core = scene.start().await;
    let line = line(&core).await;
    // The first ones meet cold parts.
    let (mut reports, _) = report(&line, 2 * count..3 * count).await;
    let (more, quiet) = report(&line, 0..count).await;
    reports.extend(more);
    scene.proxy.set(Fault::Delay(LATE)).await;
    let (late, slow) = report(&line, count..2 * count).await;
    reports.extend(late);
    let difference = scene.settle(&reports).await;
    core.stop().await;
    let ratio = slow.as_secs_f64() / quiet.as_secs_f64();
    let note = format!(
        "report p99 {} us, {} us without ({ratio:.2} times)",
        slow.as_micros(),
        quiet.as_micros()
    );
    let ledger = Ledger {
        reports,
        failed: 0,
        strangers: 0,
    };
    judge("+500 ms on every answer", 1, &ledger, &difference, &note);
    assert!(!is_long() || ratio <= 1.5, "{ratio}");
}
