//! What things weigh in memory, as the growth of the process' resident set: an online (user, address) pair, a known node that does not call, and one
//! that has sent its stats for 15 minutes. The counts are high enough that allocator and pages are in it and noise is not. Connections are not in it: all
//! nodes call over one.
//!
//! `cargo bench --bench memory`

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]
#![allow(clippy::unwrap_used, reason = "a bench may fail, in its parts too")]

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use vpn_core::{
    app::Parts,
    clock::Clock,
    model::{
        NodeId, ProtocolId, Time, UserId,
        presence::{OnlineIp, OnlineSet, OnlineUser},
    },
    presence::Presence,
    proto::nodeservice::{ReportNodeStatsRequest, SystemStats, XrayStats},
};

use self::harness::{http::register, inside::Inside, memory::memory, rpc::Agent};

#[path = "../tests/it/faults"]
#[allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "made for the tests, which use all of it"
)]
mod faults {
    pub mod fleet;
}

#[path = "../tests/it/harness"]
#[allow(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod harness {
    pub mod catalogue;
    pub mod core;
    pub mod http;
    pub mod inside;
    pub mod memory;
    pub mod patience;
    pub mod rpc;

    pub use self::patience::eventually;
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ONLINE_NODES: i64 = 10_000;
const USERS_A_NODE: i64 = 50;
const IDLE_FEW: i64 = 10_000;
const IDLE_MANY: i64 = 50_000;
const BUSY_NODES: usize = 4_000;
const SAMPLES: u32 = 460;
/// What calls under way weigh is not a node's.
const AT_A_TIME: usize = 16;

/// The resident set, in bytes.
fn resident() -> i64 {
    memory(std::process::id(), "VmRSS").cast_signed()
}

/// Users of a node, two addresses each, as a decoded report holds them.
fn users(node: i64, at: Time) -> Vec<OnlineUser> {
    let ip = |n: i64| OnlineIp {
        ip: IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()),
        last_seen: at,
    };
    let user = |n: i64| OnlineUser {
        user_id: UserId(n),
        node_protocol_id: ProtocolId(node),
        ips: vec![ip(2 * n), ip(2 * n + 1)],
    };
    (node * USERS_A_NODE..(node + 1) * USERS_A_NODE).map(user).collect()
}

/// A pair, in the node's own set, which the mirror shares, and in the fleet's presence.
fn online_pair() {
    let before = resident();
    let (mut presence, mut sets) = (Presence::default(), Vec::new());
    let mut at = Time::from_millis(1_700_000_000_000);
    for _ in 0..3 {
        at = at.plus(Duration::from_secs(5));
        sets.clear();
        for node in 0..ONLINE_NODES {
            let set = Arc::new(OnlineSet {
                node: NodeId(node),
                at,
                users: users(node, at),
            });
            presence.apply(&set);
            sets.push(set);
        }
        let unsaved = presence.take_unsaved(usize::MAX);
        presence.saved(&unsaved);
    }
    let pairs = ONLINE_NODES * USERS_A_NODE * 2;
    let each = (resident() - before) / pairs;
    println!("online (user, address) pair, of {pairs}: {each} B (goal: at most 300 B)");
    assert_eq!(presence.remembered() * 2, usize::try_from(pairs).unwrap());
}

/// What Core weighs with so many nodes that are known and do not call: each a row, an inbound, an outbound and a config.
async fn idle(nodes: i64) -> u64 {
    let dir = tokio::task::block_in_place(|| faults::fleet::dir(nodes));
    let core = harness::core::Core::start(dir.path()).await;
    let resident = core.resident();
    core.stop().await;
    resident
}

/// By two fleets, so that what Core weighs without a node is not in it.
async fn idle_node() -> u64 {
    let (few, many) = (idle(IDLE_FEW).await, idle(IDLE_MANY).await);
    let each = (many.saturating_sub(few)) / u64::try_from(IDLE_MANY - IDLE_FEW).unwrap();
    println!(
        "known node without reports: {each} B (goal: at most 4096 B); Core with {IDLE_MANY}: {} MB",
        many >> 20
    );
    each
}

fn stats(sample: u32) -> ReportNodeStatsRequest {
    let system = SystemStats {
        uptime_seconds: i64::from(sample) * 2,
        cpu_percent: f64::from(sample % 100),
        cpu_cores: 2,
        ram_used: 1 << 30,
        ram_total: 2 << 30,
        disk_used: 10 << 30,
        disk_total: 20 << 30,
        net_rx_per_sec: 1_000_000,
        net_tx_per_sec: 1_000_000,
        net_rx_total: i64::from(sample) * 2_000_000,
        net_tx_total: i64::from(sample) * 2_000_000,
    };
    ReportNodeStatsRequest {
        system: Some(system),
        xray: Some(XrayStats {
            running: true,
            uptime_seconds: Some(7),
        }),
        ..ReportNodeStatsRequest::default()
    }
}

/// A node that has sent its stats every 2 s for longer than they are kept: actor, snapshot, ring; connection and key besides.
async fn busy_node(idle: u64) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Clock::system().now());
    let parts = Parts {
        clock: clock.clone(),
        ..Parts::default()
    };
    let inside = Inside::start(dir.path(), parts).await;
    // The first fleet warms up what all nodes share.
    fill(&inside, &clock).await;
    let each = fill(&inside, &clock).await;
    println!(
        "node with a full ring: {} B, of them {each} B since its first call (goal: at most 32768 B)",
        i64::try_from(idle).unwrap() + each
    );
    inside.stop().await;
}

/// Has a new fleet send its stats for longer than they are kept; gives by how much a node grew by that.
async fn fill(inside: &Inside, clock: &Clock) -> i64 {
    let place = faults::fleet::Place::from(inside.ports);
    let code = place.code(&serde_json::json!({"uses": BUSY_NODES})).await;
    let line = Agent::connect(place.grpc, "");
    let mut agents = Vec::new();
    for n in 0..BUSY_NODES {
        let name = format!("{} {n}", clock.now());
        let (_, key) = register(place.http, &code, &name).await;
        let client = line.client.clone();
        agents.push(Agent { client, key });
    }
    let report = |sample: u32| {
        stream::iter(agents.iter().cloned()).for_each_concurrent(AT_A_TIME, move |mut agent| async move {
            let request = agent.request(stats(sample));
            agent.client.report_node_stats(request).await.unwrap();
        })
    };
    let before = resident();
    for sample in 0..SAMPLES {
        clock.advance(Duration::from_secs(2));
        report(sample).await;
    }
    (resident() - before) / i64::try_from(BUSY_NODES).unwrap()
}

fn main() {
    online_pair();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let idle = idle_node().await;
        busy_node(idle).await;
    });
}
