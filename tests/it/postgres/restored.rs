//! PostgreSQL is set back to a base backup from before the last reports: Core makes it whole from the journal that it kept.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    figures::{figure, judge},
    scene::{NODES, Scene},
};
use crate::faults::crowd::Crowd;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_a_base_backup() {
    let restores = figure("CORE_TEST_PG_RESTORES", 3, 20);
    let mut random = StdRng::seed_from_u64(0xbacc);
    let mut scene = Scene::own().await;
    let mut core = scene.start().await;
    let crowd = Crowd::new(core.ports.into(), NODES, Duration::ZERO).await;
    for restore in 0..restores {
        scene.flushed().await;
        let backup = scene.server().base_backup().await;
        crowd.acknowledge(random.random_range(50..300)).await;
        if restore % 3 == 2 {
            // What the backup lacks is in two generations of the journal then.
            core.kill();
            crowd.turn_to(None);
            core = scene.start().await;
            crowd.turn_to(Some(core.ports.into()));
        }
        scene.flushed().await;
        scene.server().restore(&backup).await;
        scene.flushed().await;
    }
    let ledger = crowd.finish().await;
    let difference = scene.settle(&ledger.reports).await;
    core.stop().await;
    let fault = "PostgreSQL restored to an earlier base backup";
    judge(fault, restores.into(), &ledger, &difference, "");
}
