//! kill -9, again and again, while agents report.

use std::{path::Path, process::Stdio, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use vpn_core::clock::Stopwatch;

use super::{crowd::Crowd, fleet, ledger::Report, sums::Sums};
use crate::harness::{
    core::{Core, command},
    eventually,
};

const AGENTS: i64 = 8;

/// At most so many acknowledgements between two kills; what comes first in a run of Core (its first segment, its first flush) and
/// what comes later are both met.
const ACKNOWLEDGED_MAX: u32 = 150;

/// Starts Core and kills it in the middle of its start.
pub async fn stillborn(dir: &Path, settings: &[(&str, &str)]) {
    let mut child = command(dir)
        .arg("serve")
        .envs(settings.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ports = dir.join("ports.json");
    eventually("a start that has begun", || {
        std::future::ready((!ports.exists()).then_some(()))
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_counts_once_through_every_kill() {
    let kills: u32 = std::env::var("CORE_TEST_KILLS").map_or(50, |count| count.parse().unwrap());
    let mut random = StdRng::seed_from_u64(0x00c0_ffee);
    let whole = Stopwatch::start();
    let dir = fleet::dir(AGENTS);
    let mut core = Core::start(dir.path()).await;
    let crowd = Crowd::new(core.ports.into(), AGENTS, Duration::ZERO).await;
    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        crowd.turn_to(Some(core.ports.into()));
        crowd.acknowledge(random.random_range(0..=ACKNOWLEDGED_MAX)).await;
        core.kill();
        crowd.turn_to(None);
        if kill % 5 == 4 {
            stillborn(dir.path(), &[]).await;
        }
        let start = Stopwatch::start();
        core = Core::start(dir.path()).await;
        slowest = slowest.max(start.elapsed());
    }
    crowd.turn_to(Some(core.ports.into()));
    let ledger = crowd.finish().await;
    core.stop().await;

    assert_eq!(ledger.strangers, 0, "a good key was refused");
    let (sent, stored) = (Sums::of(&ledger.reports), Sums::stored(dir.path()));
    assert_eq!(stored, sent);
    eprintln!(
        "{kills} kills in {:?}: {} reports of {} rows, {} bytes, all once; {} calls failed; the slowest start {slowest:?}",
        whole.elapsed(),
        ledger.reports.len(),
        ledger.reports.iter().map(Report::rows).sum::<usize>(),
        sent.bytes(),
        ledger.failed,
    );
    assert!(kills < 10 || ledger.failed > 0, "no kill met a report under way");
}
