//! What a fleet feels of an attack: 200 nodes send a heartbeat a second each over gRPC, and others do their worst at the same doors. No
//! good node is refused. The full form also holds the 99th percentile of their answers' times, from when each call was due, to 1.5
//! times that of a quiet Core: medians of five runs with the attack and five without, in turn.
//!
//! Core is a process, the attacker a thread of low priority in the test's process, and paced; all of them share the machine.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Interval, MissedTickBehavior},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use vpn_core::proto::nodeservice::{
    HeartbeatRequest, ReportNodeStatsRequest, ReportOnlineUsersRequest, ReportUsageRequest, SystemStats, XrayStats,
};

use super::{
    limits::wrong,
    pace::{Attacker, Stop, p99},
};
use crate::{
    faults::fleet::{self, Place},
    harness::{
        core::{ADMIN_TOKEN, Core},
        eventually,
        http::node_post,
        rpc::{Agent, entry},
    },
    postgres::figures::{figure, is_long},
};

const NODES: i64 = 200;

/// A fleet whose nodes have called once, and one node more.
struct Scene {
    core: Core,
    fleet: Vec<Agent>,
    wild: Agent,
    _dir: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let dir = fleet::dir(NODES + 1);
        let settings = [("LIMITS", "on"), ("LIMIT_REGISTER_PER_MIN", "100000")];
        let core = Core::start_with(dir.path(), &settings).await;
        let place = Place::from(core.ports);
        let mut fleet = Vec::new();
        for node in 1..=NODES + 1 {
            let mut agent = Agent::connect(place.grpc, &place.enroll(node).await);
            let beat = agent.request(HeartbeatRequest::default());
            agent.client.heartbeat(beat).await.unwrap();
            fleet.push(agent);
        }
        let wild = fleet.pop().unwrap();
        Self {
            core,
            fleet,
            wild,
            _dir: dir,
        }
    }

    /// Measures quiet and attacked runs in turn; gives what came of each attack.
    async fn judge<T: Send + 'static, F>(
        &self,
        what: &str,
        attack: impl AsyncFn() -> Attacker<T> + Copy,
        after: F,
    ) -> Vec<T>
    where
        F: AsyncFn(),
    {
        let (runs, span) = if is_long() { (5, 10) } else { (1, 2) };
        let span = Duration::from_secs(span);
        let (mut quiet, mut attacked, mut tallies) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            quiet.push(p99(&self.fleet, span).await);
            let attacker = attack().await;
            attacked.push(p99(&self.fleet, span).await);
            after().await;
            tallies.push(attacker.stop().await);
        }
        eprintln!("{what}: quiet {quiet:?}, attacked {attacked:?}");
        let [quiet, attacked] = [quiet, attacked].map(|mut runs| {
            runs.sort_unstable();
            runs[runs.len() / 2]
        });
        let ratio = attacked.as_secs_f64() / quiet.as_secs_f64();
        eprintln!("| {what} | {quiet:.1?} | {attacked:.1?} | {ratio:.2} |");
        assert!(
            !is_long() || ratio <= 1.5,
            "{what}: {ratio:.2} times as slow as a quiet Core"
        );
        tallies
    }
}

/// A tick a millisecond. What was missed is made up for, so that the pace is kept on the whole.
fn ticks() -> Interval {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks
}

/// How calls ended.
#[derive(Debug, Default)]
struct Tally {
    taken: usize,
    refused: usize,
    /// Asked to come back, and told when.
    away: usize,
    /// Asked to come back, as nobody could tell.
    unsure: usize,
}

impl Tally {
    fn count(&mut self, outcome: Result<(), Status>) {
        let Err(status) = outcome else {
            self.taken += 1;
            return;
        };
        match status.code() {
            Code::Unauthenticated => self.refused += 1,
            Code::ResourceExhausted => {
                let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
                assert!(hint.is_some_and(|wait| !wait.is_zero()), "{status:?}");
                self.away += 1;
            }
            Code::Unavailable => self.unsure += 1,
            _ => panic!("{status:?}"),
        }
    }

    /// Waits until no more than so many calls are under way.
    async fn leave<F: Future<Output = Result<(), Status>>>(&mut self, most: usize, calls: &mut FuturesUnordered<F>) {
        while calls.len() > most {
            self.count(calls.next().await.unwrap());
        }
    }
}

/// Calls in flight are bounded, as a peer's are.
const IN_FLIGHT: usize = 63;

async fn beat(agent: Agent) -> Result<(), Status> {
    let mut agent = agent;
    let beat = agent.request(HeartbeatRequest::default());
    agent.client.heartbeat(beat).await.map(drop)
}

/// Keys that nobody was given, four a millisecond, each another one: half of them in the form of a key, so that the store is asked.
async fn wrong_keys(port: u16, count: usize) -> Tally {
    let (line, mut ticks) = (Agent::connect(port, ""), ticks());
    let (mut tally, mut calls) = (Tally::default(), FuturesUnordered::new());
    for n in 0..count {
        if n % 4 == 0 {
            ticks.tick().await;
        }
        let key = wrong(n);
        calls.push(beat(Agent { key, ..line.clone() }));
        tally.leave(IN_FLIGHT, &mut calls).await;
    }
    tally.leave(0, &mut calls).await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_from_the_same_address() {
    let scene = Scene::new().await;
    let grpc = scene.core.ports.grpc;
    // Five runs of these are the 200,000.
    let count = figure("CORE_TEST_WRONG_KEYS", 2_000, 40_000) as usize;
    let attack = async || Attacker::start(move |_| wrong_keys(grpc, count));
    for tally in scene.judge("wrong keys, 4,000 a second", attack, async || ()).await {
        eprintln!("{tally:?}");
        assert_eq!((tally.taken, tally.refused + tally.away + tally.unsure), (0, count));
        assert!(tally.away > count / 2, "{tally:?}");
    }
    let answer = node_post(
        scene.core.ports.http,
        "/node/heartbeat",
        Some(&scene.wild.key),
        &serde_json::json!({}),
    )
    .await;
    assert_eq!(
        answer.status, 200,
        "over HTTP too, and though it had not called for long"
    );
    scene.core.stop().await;
}

/// Calls of every kind at a thousand times the rate that is a node's, for two seconds at least.
async fn wild(agent: Agent, stop: Stop) -> Tally {
    let stats = ReportNodeStatsRequest {
        system: Some(SystemStats::default()),
        xray: Some(XrayStats::default()),
        ..ReportNodeStatsRequest::default()
    };
    let usage = entry(1, fleet::protocol(NODES + 1), 1, 1);
    let (mut ticks, mut tally, mut calls) = (ticks(), Tally::default(), FuturesUnordered::new());
    for n in 0_u64.. {
        ticks.tick().await;
        if n >= 2_000 && stop.load(Relaxed) {
            break;
        }
        for (kind, every) in [1, 2, 5, 60].into_iter().enumerate() {
            if n % every != 0 {
                continue;
            }
            let (mut agent, stats, usage) = (agent.clone(), stats.clone(), usage.clone());
            calls.push(async move {
                match kind {
                    0 => beat(agent).await,
                    1 => agent.client.report_node_stats(agent.request(stats)).await.map(drop),
                    2 => {
                        let nobody = agent.request(ReportOnlineUsersRequest::default());
                        agent.client.report_online_users(nobody).await.map(drop)
                    }
                    _ => {
                        let report = ReportUsageRequest {
                            entries: vec![usage],
                            ..ReportUsageRequest::default()
                        };
                        let report = agent.named(&format!("report {n}"), report);
                        agent.client.report_usage(report).await.map(drop)
                    }
                }
            });
        }
        tally.leave(IN_FLIGHT, &mut calls).await;
    }
    tally.leave(0, &mut calls).await;
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_at_a_thousand_times_its_rate() {
    let scene = Scene::new().await;
    let agent = scene.wild.clone();
    let attack = async || {
        let agent = agent.clone();
        Attacker::start(move |stop| wild(agent, stop))
    };
    for tally in scene.judge("a node at 1,000 times its rate", attack, async || ()).await {
        eprintln!("{tally:?}");
        assert_eq!((tally.refused, tally.unsure), (0, 0), "its key is good");
        assert!(tally.away > 4 * tally.taken, "{tally:?}");
    }
    scene.core.stop().await;
}

/// How a peer keeps a connection busy.
#[derive(Clone, Copy)]
enum Idler {
    /// Says nothing.
    Silent,
    /// Says a byte a second of what never becomes a request.
    Drips,
    /// Asks again and again, and takes no answer.
    NeverReads,
}

/// Until it is closed.
async fn idle(mut stream: TcpStream, idler: Idler, settled: &AtomicUsize) {
    let mut taken = [0; 1_024];
    match idler {
        // gRPC says its settings at once; that is not the end.
        Idler::Silent => while stream.read(&mut taken).await.is_ok_and(|bytes| bytes > 0) {},
        Idler::Drips => {
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".iter().cycle() {
                seconds.tick().await;
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
        }
        Idler::NeverReads => {
            let ask = format!(
                "GET /admin/openapi.json HTTP/1.1\r\nhost: core\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
            );
            let settles = async { while stream.write_all(ask.as_bytes()).await.is_ok() {} };
            let mut asking = std::pin::pin!(settles);
            // The buffers between are full when a while has passed.
            if tokio::time::timeout(Duration::from_secs(1), &mut asking).await.is_err() {
                settled.fetch_add(1, Relaxed);
                asking.await;
            }
        }
    }
}

/// Keeps a connection open from this moment, and opens another when it is closed.
async fn idle_for_ever(port: u16, idler: Idler, from: Duration, settled: Arc<AtomicUsize>) {
    tokio::time::sleep(from).await;
    loop {
        // A full queue of connections is no fault here.
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
            idle(stream, idler, &settled).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_do_nothing_or_take_nothing() {
    let scene = Scene::new().await;
    let ports = scene.core.ports;
    let count = |short, full| figure("CORE_TEST_PEERS", short, full) as usize;
    let (silent, drip, never) = (count(200, 2_000), count(50, 500), count(20, 200));
    let all = silent + drip + never;
    let quiet = scene.core.descriptors();
    let attack = async || {
        let settled = Arc::new(AtomicUsize::new(0));
        let their = Arc::clone(&settled);
        let attacker = Attacker::start(move |stop| async move {
            let mut peers = JoinSet::new();
            for n in 0..all {
                let (port, idler) = match n {
                    n if n < never => (ports.admin, Idler::NeverReads),
                    n if n < never + drip => ([ports.grpc, ports.http, ports.admin][n % 3], Idler::Drips),
                    _ => ([ports.grpc, ports.http, ports.admin][n % 3], Idler::Silent),
                };
                // Spread over the time for a first request, so that those that are closed come back one by one.
                let from = Duration::from_millis(u64::try_from(n).unwrap() * 4);
                peers.spawn(idle_for_ever(port, idler, from, Arc::clone(&their)));
            }
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            while !stop.load(Relaxed) {
                ticks.tick().await;
            }
        });
        let is_all = || scene.core.descriptors() + all / 100 >= quiet + all && settled.load(Relaxed) >= never;
        let open = || std::future::ready(is_all().then_some(()));
        eventually("all of them are there", open).await;
        attacker
    };
    // A connection is a file, and nothing else is opened for it. What was closed a moment ago may still be there beside what took its place.
    let bounded = async || {
        let open = scene.core.descriptors();
        assert!(
            open <= quiet + all + all / 10 + 16,
            "{open} open, {quiet} before {all} came"
        );
    };
    let what = format!("{silent} silent peers, {drip} that drip, {never} that take nothing");
    scene.judge(&what, attack, bounded).await;
    let gone = || std::future::ready((scene.core.descriptors() <= quiet + 8).then_some(()));
    eventually("what they had open is closed", gone).await;
    scene.core.stop().await;
}
