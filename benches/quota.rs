//! How long a user who used up his bytes is still served: from the acknowledged report that crosses the limit until each of 50 connected nodes
//! heard `needSync: true`, over real sockets, with a store that works and with one that fails every call. The bare control is the same 50
//! heartbeats when nothing waits for the nodes: no cut-off can be heard faster.
//!
//! `cargo bench --bench quota`; the scene is that of the tests in `tests/it/quota`.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};
use vpn_core::clock::Stopwatch;

use self::{
    faults::store::Mood,
    quota::scene::{Plan, Scene},
};

#[path = "../tests/it/faults"]
#[allow(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod faults {
    pub mod store;
}

#[path = "../tests/it/harness"]
#[allow(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod harness {
    pub mod core;
    pub mod http;
    pub mod inside;
    pub mod memory;
    pub mod patience;
    pub mod rpc;

    pub use self::patience::eventually;
}

#[path = "../tests/it/quota"]
#[allow(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod quota {
    pub mod nodes;
    pub mod scene;
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NODES: i64 = 50;
const ROUNDS: usize = 60;

/// Nodes that have not heard of it ask again after so long: nearly always at once, but Core keeps a part of the machine.
const ASK_AGAIN: Duration = Duration::from_millis(2);

/// What the rounds of one case came to.
#[derive(Default)]
struct Figures {
    control: Vec<Duration>,
    cut: Vec<Duration>,
}

#[tokio::main]
async fn main() {
    for (name, mood) in [
        ("the store works", Mood::Well),
        ("the store fails every call", Mood::Away),
    ] {
        let figures = measure(mood).await;
        let control = say(&format!("{name}: control, {NODES} heartbeats"), figures.control);
        let cut = say(&format!("{name}: cut-off heard by {NODES} nodes"), figures.cut);
        println!(
            "{:<56} {:>8.1} times the control at p50",
            "",
            cut.div_duration_f64(control)
        );
    }
}

/// Users 1 to 3 on all nodes; the first may use 1,000 bytes a period.
async fn measure(mood: Mood) -> Figures {
    let plan = Plan {
        subscription: |user| match user {
            1 => json!({"trafficLimitBytes": 1000}),
            _ => json!({}),
        },
        ..Plan::new(NODES, 3)
    };
    let mut scene = Scene::new(plan).await;
    let mut figures = Figures::default();
    for round in 0..ROUNDS {
        let control = Stopwatch::start();
        assert_eq!(waiting(&scene, (1..=NODES).collect()).await.len(), scene.nodes.len());
        figures.control.push(control.elapsed());
        scene.node(7).report(&format!("all but one, {round}"), 1, 999).await;
        scene.store.feel(mood);
        scene.node(8).report(&format!("the last one, {round}"), 1, 1).await;
        let cut = Stopwatch::start();
        all_hear(&scene).await;
        figures.cut.push(cut.elapsed());
        scene.store.feel(Mood::Well);
        begin_again(&scene).await;
    }
    scene.stop().await;
    figures
}

/// One heartbeat of each of these nodes; gives those that have nothing to pull.
async fn waiting(scene: &Scene, nodes: Vec<i64>) -> Vec<i64> {
    let beats = nodes
        .into_iter()
        .map(|node| async move { (!scene.node(node).needs_sync().await).then_some(node) });
    join_all(beats).await.into_iter().flatten().collect()
}

/// Every node beats until it is told to pull.
async fn all_hear(scene: &Scene) {
    let mut deaf: Vec<i64> = (1..=NODES).collect();
    let mut ticks = interval(ASK_AGAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !deaf.is_empty() {
        ticks.tick().await;
        deaf = waiting(scene, deaf).await;
    }
}

/// The user is off, the store knows and has counted it all; then a new period brings him back, and every node runs what it should.
async fn begin_again(scene: &Scene) {
    scene.until_status(1, "limited").await;
    scene.until_counted(1, 1000).await;
    scene.post("/admin/subscriptions/1/reset", &json!({})).await;
    scene.until_status(1, "active").await;
    for node in &scene.nodes {
        scene
            .until("the user is back and the node runs it", async || {
                node.apply().await.users.contains(&1) && !node.needs_sync().await
            })
            .await;
    }
}

/// Says what these came to; gives the median.
fn say(what: &str, mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let percentile = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1];
    println!(
        "{what:<56} p50 {:>9.3?}  p99 {:>9.3?}  max {:>9.3?}",
        percentile(50),
        percentile(99),
        percentile(100)
    );
    percentile(50)
}
