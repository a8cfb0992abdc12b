//! What a heartbeat costs once its call is decoded: asking the node's actor on the shard where the call landed (`ask`), and on another one (`across`: two
//! threads are woken). The bare control decides it directly on the same state, with no actor at all (`state`).
//!
//! `cargo bench --bench heartbeat`

#![allow(clippy::unwrap_used, reason = "a bench may fail, in its parts too")]

use std::{cell::Cell, hint::black_box, sync::Arc};

use actix::{Arbiter, System};
use criterion::{Criterion, criterion_group, criterion_main};
use vpn_core::{
    clock::Clock,
    model::{NodeId, node::StoredState},
    node::{Heartbeat, state::NodeState},
};

use self::heart::{Heart, Here, REVISION, seed};

#[path = "heart/mod.rs"]
#[allow(dead_code, reason = "made for several benches")]
mod heart;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many as a large fleet has: neither the nodes nor their actors are all in the processor's caches.
const NODES: i64 = 10_000;

const BEAT: Heartbeat = Heartbeat {
    revision: REVISION,
    ip: None,
};

fn heartbeats(criterion: &mut Criterion) {
    let system = System::new();
    let mut group = criterion.benchmark_group("heartbeat");
    let turn = Cell::new(0);
    let next = || {
        turn.set(turn.get() % NODES + 1);
        turn.get()
    };

    let clock = Clock::system();
    let mut states: Vec<NodeState> = (1..=NODES)
        .map(|id| NodeState::new(Arc::new(seed(id)), StoredState::NEW))
        .collect();
    group.bench_function("state", |bench| {
        bench.iter(|| {
            let state = &mut states[usize::try_from(next() - 1).unwrap()];
            black_box(state.heartbeat(BEAT.revision, clock.now()))
        });
    });

    let here = system.block_on(async { Heart::new(Arbiter::current(), NODES) });
    let elsewhere = Arbiter::new();
    let there = system.block_on(async { Heart::new(elsewhere.handle(), NODES) });
    for (name, heart) in [("ask", &here), ("across", &there)] {
        group.bench_function(name, |bench| {
            bench
                .to_async(Here(&system))
                .iter(|| async { heart.nodes.heartbeat(NodeId(next()), BEAT).await.unwrap() });
        });
    }
    group.finish();
}

criterion_group!(benches, heartbeats);
criterion_main!(benches);
