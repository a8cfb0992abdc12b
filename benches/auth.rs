//! What it costs to let a node in: its key's SHA-256, a look into memory, the sign of life, and the limit of its kind of call (`limits`; without them
//! `open`). A key that is none and does not look like one is `nonsense`. The bare control is SHA-256 and one look into a hash map.
//!
//! `cargo bench --bench auth`

#![allow(clippy::unwrap_used, reason = "a bench may fail, in its parts too")]

use std::{cell::Cell, collections::HashMap, hint::black_box, net::IpAddr, num::NonZeroU32, sync::Arc};

use actix::{Arbiter, System};
use criterion::{Criterion, criterion_group, criterion_main};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use vpn_core::{
    auth::{
        Authenticator,
        address::Proxies,
        guard::Guard,
        limits::{Call, Limits, Rates},
    },
    clock::Clock,
    model::{
        KeyId, NodeId, Time,
        node::NodeKey,
        secrets::{SecretHash, new_node_key},
    },
    node::keys::Keys,
};

use self::heart::{Heart, Here};

#[path = "heart/mod.rs"]
#[allow(dead_code, reason = "made for several benches")]
mod heart;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NODES: i64 = 10_000;

/// So high that nobody is refused: it is the look that is measured.
const FACTOR: f64 = 1e6;

fn door(heart: &Heart, texts: &[SecretString], limits: Option<Limits>) -> Authenticator {
    let key = |(id, text): (i64, &SecretString)| NodeKey {
        id: KeyId(id),
        node_id: NodeId(id),
        hash: SecretHash::of(text.expose_secret()),
        created_at: Time::default(),
        first_used_at: Some(Time::default()),
        revoked_at: None,
    };
    let keys = Keys::default();
    keys.replace(&(1..=NODES).zip(texts).map(key).collect::<Vec<_>>());
    let guard = Guard::new(Proxies::default(), limits);
    let store = Arc::clone(&heart.store) as Arc<_>;
    Authenticator::new(
        Arc::new(keys),
        heart.nodes.clone(),
        store,
        Arc::new(guard),
        Clock::system(),
    )
}

fn keys(criterion: &mut Criterion) {
    let system = System::new();
    let mut group = criterion.benchmark_group("auth");
    let texts: Vec<SecretString> = (1..=NODES).map(|id| new_node_key(NodeId(id))).collect();
    let turn = Cell::new(0);
    let next = || {
        turn.set((turn.get() + 1) % texts.len());
        texts[turn.get()].expose_secret()
    };

    let known: HashMap<[u8; 32], i64> = (1..=NODES)
        .zip(&texts)
        .map(|(id, text)| (Sha256::digest(text.expose_secret()).into(), id))
        .collect();
    group.bench_function("control", |bench| {
        bench.iter(|| {
            let hash: [u8; 32] = Sha256::digest(next()).into();
            black_box(known.get(&hash).copied())
        });
    });

    let heart = system.block_on(async { Heart::new(Arbiter::current(), NODES) });
    let rates = Rates {
        register_per_min: NonZeroU32::MIN,
        auth_failures_per_min: NonZeroU32::MAX,
        node_factor: FACTOR,
    };
    let open = door(&heart, &texts, None);
    let limited = door(&heart, &texts, Some(Limits::new(rates, &Clock::system())));
    let from = IpAddr::from([192, 0, 2, 1]);
    for (name, door) in [("open", &open), ("limits", &limited)] {
        group.bench_function(name, |bench| {
            bench
                .to_async(Here(&system))
                .iter(|| async { door.admit(next(), from, Call::Stats).await.unwrap() });
        });
    }
    group.bench_function("nonsense", |bench| {
        bench
            .to_async(Here(&system))
            .iter(|| async { limited.admit("nonsense", from, Call::Stats).await.is_err() });
    });
    group.finish();
}

criterion_group!(benches, keys);
criterion_main!(benches);
