//! What a report of who is online costs: 1,000 users on one inbound, two addresses each, taken into the fleet-wide presence. `known` is the steady
//! state, 5 s after the last one; `fresh` a node's first report; `node` what the node's own actor does with it. The bare control touches the same
//! keys in plain maps (a user's time, a pair's time) and decides nothing: no presence can be cheaper by much.
//!
//! `cargo bench --bench online_report`

use std::{cell::RefCell, collections::HashMap, hint::black_box, net::IpAddr, sync::Arc, time::Duration};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use vpn_core::{
    model::{
        NodeId, ProtocolId, Time, UserId,
        presence::{OnlineIp, OnlineSet, OnlineUser},
    },
    presence::Presence,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USERS: u32 = 1_000;
const EVERY: Duration = Duration::from_secs(5);

fn users(at: Time) -> Vec<OnlineUser> {
    let ip = |n: u32| OnlineIp {
        ip: IpAddr::from((n + 0xC612_0000).to_be_bytes()),
        last_seen: at,
    };
    let user = |n: u32| OnlineUser {
        user_id: UserId(i64::from(n)),
        node_protocol_id: ProtocolId(7),
        ips: vec![ip(2 * n), ip(2 * n + 1)],
    };
    (0..USERS).map(user).collect()
}

fn set(at: Time) -> Arc<OnlineSet> {
    Arc::new(OnlineSet {
        node: NodeId(1),
        at,
        users: users(at),
    })
}

/// A presence that has heard the report, and whose store has, too.
fn settled(at: Time) -> Presence {
    let mut presence = Presence::default();
    presence.apply(&set(at));
    let unsaved = presence.take_unsaved(usize::MAX);
    presence.saved(&unsaved);
    presence
}

fn reports(criterion: &mut Criterion) {
    let begin = Time::from_millis(1_700_000_000_000);
    let mut group = criterion.benchmark_group("online_report");
    group.throughput(Throughput::Elements(u64::from(USERS)));

    let (mut times, mut pairs) = (HashMap::new(), HashMap::new());
    let mut at = begin;
    group.bench_function("control", |bench| {
        bench.iter_batched(
            || {
                at = at.plus(EVERY);
                set(at)
            },
            |set| {
                for user in &set.users {
                    *times.entry(user.user_id).or_insert(set.at) = set.at;
                    for ip in &user.ips {
                        *pairs.entry((user.user_id, ip.ip)).or_insert(set.at) = ip.last_seen;
                    }
                }
                set
            },
            BatchSize::SmallInput,
        );
    });

    let presence = RefCell::new(settled(begin));
    let mut at = begin;
    group.bench_function("known", |bench| {
        bench.iter_batched(
            || {
                at = at.plus(EVERY);
                let mut presence = presence.borrow_mut();
                let unsaved = presence.take_unsaved(usize::MAX);
                presence.saved(&unsaved);
                set(at)
            },
            |set| black_box(presence.borrow_mut().apply(&set)),
            BatchSize::PerIteration,
        );
    });

    group.bench_function("fresh", |bench| {
        bench.iter_batched(
            || (Presence::default(), set(begin)),
            |(mut presence, set)| {
                black_box(presence.apply(&set));
                (presence, set)
            },
            BatchSize::SmallInput,
        );
    });

    group.bench_function("node", |bench| {
        bench.iter_batched(
            || users(begin),
            |users| {
                let set = Arc::new(OnlineSet {
                    node: NodeId(1),
                    at: begin,
                    users,
                });
                black_box(set.distinct_users());
                set
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, reports);
criterion_main!(benches);
