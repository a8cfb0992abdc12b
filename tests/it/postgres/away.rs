//! PostgreSQL is away: for long, and while Core is killed and started.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::interval;
use vpn_core::clock::Stopwatch;

use super::{
    figures::{figure, judge},
    scene::{NODES, Scene, store_is},
};
use crate::{faults::crowd::Crowd, harness::proxy::Fault};

/// A round of each agent: 6 agents come to 180 reports, 600 rows a second.
const PACE: Duration = Duration::from_millis(100);

/// By so much Core may grow while it waits: what waits is in files.
const GROWTH_MAX: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_long() {
    let seconds = figure("CORE_TEST_PG_AWAY_SECONDS", 10, 600);
    let scene = Scene::shared().await;
    let core = scene.start().await;
    let crowd = Crowd::new(core.ports.into(), NODES, PACE).await;
    crowd.acknowledge(200).await;
    let before = core.resident();
    scene.proxy.set(Fault::Cut).await;
    let mut most = before;
    let mut ticks = interval(Duration::from_secs(1));
    for _ in 0..=seconds {
        ticks.tick().await;
        most = most.max(core.resident());
    }
    store_is(&core, "away").await;
    let ledger = crowd.finish().await;
    scene.proxy.set(Fault::Pass).await;
    let drain = Stopwatch::start();
    let difference = scene.settle(&ledger.reports).await;
    let (drained, most) = (drain.elapsed(), most.max(core.resident()));
    store_is(&core, "ok").await;
    core.stop().await;
    let growth = most - before;
    let note = format!(
        "{seconds} s; {} calls failed; drained in {} ms; {} MB more memory",
        ledger.failed,
        drained.as_millis(),
        growth >> 20
    );
    judge("PostgreSQL away", 1, &ledger, &difference, &note);
    assert_eq!(ledger.failed, 0, "a node noticed it");
    assert!(growth <= GROWTH_MAX, "{} MB more", growth >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_core_is_killed_and_started() {
    let kills = figure("CORE_TEST_PG_AWAY_KILLS", 4, 20);
    let mut random = StdRng::seed_from_u64(0x0dd5);
    let scene = Scene::shared().await;
    let mut core = scene.start().await;
    let crowd = Crowd::new(core.ports.into(), NODES, Duration::ZERO).await;
    // A stop writes what is known of nodes and keys.
    core.signal("TERM");
    assert!(core.wait().await.success());
    crowd.turn_to(None);
    scene.proxy.set(Fault::Cut).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..kills {
        let start = Stopwatch::start();
        core = scene.start().await;
        slowest = slowest.max(start.elapsed());
        crowd.turn_to(Some(core.ports.into()));
        crowd.acknowledge(10 + random.random_range(0..100)).await;
        core.kill();
        crowd.turn_to(None);
    }
    core = scene.start().await;
    crowd.turn_to(Some(core.ports.into()));
    crowd.acknowledge(10).await;
    scene.proxy.set(Fault::Pass).await;
    let ledger = crowd.finish().await;
    let difference = scene.settle(&ledger.reports).await;
    core.stop().await;
    let note = format!("slowest start {} ms", slowest.as_millis());
    let fault = "Core killed and started while PostgreSQL is away";
    judge(fault, kills.into(), &ledger, &difference, &note);
}
