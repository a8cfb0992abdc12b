//! The connection is cut at a COMMIT: before it is heard, when it was told, and when it was done and only its answer is lost.

use std::time::Duration;

use super::{
    figures::{figure, judge},
    scene::{NODES, Scene},
};
use crate::{
    faults::crowd::Crowd,
    harness::{
        proxy::{Fault, Moment},
        within,
    },
};

/// For one flush among them: it comes at least every second.
const A_CUT_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_is_cut_at_a_commit() {
    let cuts = u64::from(figure("CORE_TEST_PG_CUTS_AT_COMMIT", 15, 1_000));
    let scene = Scene::shared().await;
    let core = scene.start().await;
    let crowd = Crowd::new(core.ports.into(), NODES, Duration::ZERO).await;
    let moments = [Moment::Done, Moment::Done, Moment::Told, Moment::Done, Moment::Before];
    for (moment, until) in moments.into_iter().cycle().zip(1..=cuts) {
        // Not each of them: some flush must get through, or the test would count the cuts of one batch alone.
        scene.proxy.set(Fault::CutAtCommit(moment, 1 + until % 2)).await;
        within(A_CUT_WITHIN, "a cut", || {
            std::future::ready((scene.proxy.cuts() >= until).then_some(()))
        })
        .await;
    }
    scene.proxy.set(Fault::Pass).await;
    let ledger = crowd.finish().await;
    let difference = scene.settle(&ledger.reports).await;
    core.stop().await;
    let note = format!("{} calls failed", ledger.failed);
    let fault = "connection cut between COMMIT and its answer";
    judge(fault, scene.proxy.cuts(), &ledger, &difference, &note);
    assert_eq!(ledger.failed, 0, "a node noticed it");
}
