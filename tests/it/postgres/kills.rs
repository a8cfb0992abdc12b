//! kill -9 of Core and of PostgreSQL, and SIGTERM, while agents report.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use vpn_core::clock::Stopwatch;

use super::{
    figures::{figure, is_long, judge},
    scene::{NODES, Scene},
};
use crate::faults::{crowd::Crowd, kill::stillborn};

/// At most so many acknowledgements between two kills.
const ACKNOWLEDGED_MAX: u32 = 150;

/// What Core has from its start until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// What the contract gives a stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_is_killed() {
    let kills = figure("CORE_TEST_PG_KILLS_OF_CORE", 12, 1_000);
    let mut random = StdRng::seed_from_u64(0x00c0_ffee);
    let scene = Scene::shared().await;
    let mut core = scene.start().await;
    let crowd = Crowd::new(core.ports.into(), NODES, Duration::ZERO).await;
    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        crowd.acknowledge(random.random_range(0..=ACKNOWLEDGED_MAX)).await;
        core.kill();
        crowd.turn_to(None);
        if kill % 5 == 4 {
            stillborn(scene.folder(), &scene.settings()).await;
        }
        let start = Stopwatch::start();
        core = scene.start().await;
        slowest = slowest.max(start.elapsed());
        crowd.turn_to(Some(core.ports.into()));
    }
    let ledger = crowd.finish().await;
    let difference = scene.settle(&ledger.reports).await;
    core.stop().await;
    let note = format!("slowest start {} ms", slowest.as_millis());
    judge("kill -9 of Core", kills.into(), &ledger, &difference, &note);
    assert!(!is_long() || slowest <= READY_WITHIN, "ready after {slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_is_killed() {
    let kills = figure("CORE_TEST_PG_KILLS_OF_POSTGRES", 6, 200);
    let mut random = StdRng::seed_from_u64(0x0bad_cafe);
    let mut scene = Scene::own().await;
    let core = scene.start().await;
    let crowd = Crowd::new(core.ports.into(), NODES, Duration::ZERO).await;
    for _ in 0..kills {
        scene.flushed().await;
        crowd.acknowledge(random.random_range(0..=ACKNOWLEDGED_MAX)).await;
        scene.server().kill().await;
        crowd.acknowledge(10).await;
        scene.server().restart().await;
    }
    let ledger = crowd.finish().await;
    let difference = scene.settle(&ledger.reports).await;
    core.stop().await;
    let note = format!("{} calls failed", ledger.failed);
    judge("kill -9 of PostgreSQL", kills.into(), &ledger, &difference, &note);
    assert_eq!(ledger.failed, 0, "a node noticed it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_is_told_to_stop_under_load() {
    let stops = figure("CORE_TEST_PG_STOPS", 3, 20);
    let mut random = StdRng::seed_from_u64(0x5709);
    let scene = Scene::shared().await;
    let mut core = scene.start().await;
    let crowd = Crowd::new(core.ports.into(), NODES, Duration::ZERO).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..stops {
        crowd.acknowledge(50 + random.random_range(0..=ACKNOWLEDGED_MAX)).await;
        let stop = Stopwatch::start();
        core.signal("TERM");
        let status = tokio::time::timeout(STOP_WITHIN, core.wait()).await;
        assert!(status.expect("the stop takes too long").success());
        slowest = slowest.max(stop.elapsed());
        crowd.turn_to(None);
        core = scene.start().await;
        crowd.turn_to(Some(core.ports.into()));
    }
    let ledger = crowd.finish().await;
    let difference = scene.settle(&ledger.reports).await;
    core.stop().await;
    let note = format!("slowest stop {} ms", slowest.as_millis());
    judge("SIGTERM under load", stops.into(), &ledger, &difference, &note);
}
