//! How many keys a second the mirror puts into Redis: online sets of a whole fleet become pairs of keys, pipelines, and answers, on one thread
//! as in Core. Beside it, on the same machine and in turn, what `redis-benchmark` puts into the same Redis with `SET key value EX 20`, 64
//! commands a pipeline, over one connection and over fifty (goal: at least 0.4 of it).
//!
//! `cargo bench --bench mirror`. It starts a Redis of its own.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::{sync::Arc, time::Duration};

use vpn_core::{
    clock::{Clock, Stopwatch},
    mirror::Pending,
    model::{
        NodeId, ProtocolId, UserId,
        presence::{OnlineSet, OnlineUser},
    },
    redis::{PIPELINE, Redis},
};

use self::harness::{
    eventually,
    redis::{Server, ask},
};

#[path = "../tests/it/harness"]
#[allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "made for the tests, which use all of it"
)]
mod harness {
    pub mod patience;
    pub mod ports;
    pub mod redis;

    pub use self::patience::eventually;
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NODES: i64 = 500;
const USERS: i64 = 200;
const ROUNDS: usize = 7;

/// As the mirror's actor takes them.
const PORTION: usize = 16 * PIPELINE;

/// A round of the fleet, as its nodes report it now. No user is on two nodes.
fn sets(clock: &Clock) -> Vec<Arc<OnlineSet>> {
    let user = |node: i64, user: i64| OnlineUser {
        user_id: UserId(node * USERS + user),
        node_protocol_id: ProtocolId(node),
        ips: Vec::new(),
    };
    let set = |node: i64| OnlineSet {
        node: NodeId(node),
        at: clock.now(),
        users: (0..USERS).map(|it| user(node, it)).collect(),
    };
    (0..NODES).map(|node| Arc::new(set(node))).collect()
}

/// Keys a second.
#[allow(clippy::cast_precision_loss, reason = "a count of keys")]
fn rate(keys: usize, taken: Duration) -> f64 {
    keys as f64 / taken.as_secs_f64()
}

/// What a round of the fleet comes to; without Redis the keys are only made.
async fn mirror(pending: &mut Pending, redis: Option<&Redis>, clock: &Clock) -> f64 {
    let sets = sets(clock);
    let watch = Stopwatch::start();
    sets.into_iter().for_each(|set| pending.online(set));
    let (mut pass, mut count) = (pending.take().expect("all is new"), 0);
    loop {
        let keys = pass.portion(clock.now(), PORTION);
        if keys.is_empty() {
            return rate(count, watch.elapsed());
        }
        count += keys.len();
        if let Some(redis) = redis {
            redis.set_all(keys).await.expect("Redis takes them");
        }
    }
}

/// What redis-benchmark comes to over so many connections.
async fn benchmark(port: u16, connections: u32) -> f64 {
    let output = tokio::process::Command::new("redis-benchmark")
        .args(["-p", &port.to_string(), "-c", &connections.to_string()])
        .args(["-P", "64", "-n", "300000", "-r", "100000", "--csv"])
        .args(["SET", "online:user:__rand_int__", "1764000000123", "EX", "20"])
        .output()
        .await
        .expect("it comes with Redis");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let fields = said.lines().last().unwrap_or_default().split(',');
    let mut numbers = fields.filter_map(|field| field.trim_matches('"').parse().ok());
    numbers.next().unwrap_or_else(|| panic!("redis-benchmark says {said}"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (server, clock) = (Server::start().await, Clock::system());
    let redis = Redis::new(&server.url().into(), clock.clone()).expect("it is a URL");
    eventually("Redis", || async { redis.ping().await.ok() }).await;
    let mut pending = Pending::default();
    let mut figures: [Vec<f64>; 4] = Default::default();
    // The first round warms up and is not counted.
    for round in 0..=ROUNDS {
        let came = [
            mirror(&mut pending, Some(&redis), &clock).await,
            benchmark(server.port(), 1).await,
            benchmark(server.port(), 50).await,
            mirror(&mut pending, None, &clock).await,
        ];
        if round > 0 {
            figures.iter_mut().zip(came).for_each(|(all, one)| all.push(one));
        }
    }
    let held = ask(server.port(), &["GET", "online:user:0"]).await;
    assert!(held.is_ok_and(|value| !value.is_empty()), "the keys are not there");
    let [mirror, one, fifty, made] = figures.map(|mut all| {
        all.sort_unstable_by(f64::total_cmp);
        all[all.len() / 2]
    });
    println!("the mirror, keys a second                      {mirror:>10.0}");
    println!("redis-benchmark, one connection                {one:>10.0}");
    println!("redis-benchmark, fifty connections             {fifty:>10.0}");
    println!("keys made and not sent                         {made:>10.0}");
    println!("the mirror / one connection                    {:>10.2}", mirror / one);
    println!(
        "the mirror / fifty connections                 {:>10.2}",
        mirror / fifty
    );
    println!(
        "making keys takes {:.0} % of the mirror's time; the rest is the client, and waiting for Redis",
        100.0 * mirror / made
    );
}
