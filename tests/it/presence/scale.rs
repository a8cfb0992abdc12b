//! A fleet at its cadence: every node says every 5 s who is online, and nothing fails.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use vpn_core::{app::Parts, clock::Stopwatch};

use crate::harness::{eventually, inside::Inside};

use super::world::{Node, enroll};

const USERS: i64 = 100;
const EVERY: Duration = Duration::from_secs(5);

/// Nodes, and rounds of reports: in full with `CORE_TEST_LONG`.
fn figures() -> (usize, u32) {
    if std::env::var_os("CORE_TEST_LONG").is_some() {
        (1_000, 6)
    } else {
        (200, 3)
    }
}

async fn report(node: &Node, rounds: u32, offset: Duration) -> Duration {
    let first = node.id * USERS;
    let mut slowest = Duration::ZERO;
    tokio::time::sleep(offset).await;
    let mut ticks = tokio::time::interval(EVERY);
    for _ in 0..rounds {
        ticks.tick().await;
        let answer = Stopwatch::start();
        node.reports(first..first + USERS).await;
        slowest = slowest.max(answer.elapsed());
    }
    slowest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_reports_at_its_cadence() {
    let (count, rounds) = figures();
    let dir = tempfile::tempdir().unwrap();
    let inside = Inside::start(dir.path(), Parts::default()).await;
    let nodes = enroll(&inside, count).await;
    let spread = |n: usize| EVERY * u32::try_from(n).unwrap() / u32::try_from(count).unwrap();
    let slowest = join_all(
        nodes
            .iter()
            .enumerate()
            .map(|(n, node)| report(node, rounds, spread(n))),
    )
    .await;
    let slowest = slowest.into_iter().max().unwrap();
    println!("{count} nodes of {USERS} users, {rounds} reports each: the slowest answer took {slowest:?}");
    // All are online, and all of their addresses are in the store.
    let admin = inside.admin();
    let last = &nodes[count - 1];
    let user = last.id * USERS + USERS - 1;
    let online = admin.get(&format!("/admin/online?user={user}")).await;
    assert_eq!(online["items"][0]["nodeId"], json!(last.id));
    let shown = admin.get(&format!("/admin/nodes/{}", last.id)).await;
    assert_eq!(shown["onlineUsers"], json!(USERS));
    eventually("the store has heard of every address", || async {
        let metrics = super::world::metrics(&inside).await;
        metrics.contains("core_sightings_waiting 0").then_some(())
    })
    .await;
    inside.stop().await;
}
