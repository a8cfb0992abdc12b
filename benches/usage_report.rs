//! What a usage report of 100 entries costs before it goes to the disk, and after: `taken` is decoded, named by its hash, checked row by row, judged by
//! the node's clients and made an entry of the journal; `folded` is that entry summed into what one flush writes. The bare control decodes the same bytes.
//!
//! `cargo bench --bench usage_report`

#![allow(clippy::unwrap_used, reason = "a bench may fail, in its parts too")]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;
use vpn_core::{
    clock::Clock,
    grpc::convert,
    model::{entry::Entry, fold::Fold, node::StoredState},
    node::state::NodeState,
    proto::nodeservice::{ReportUsageRequest, UsageEntry},
};

use self::heart::{PROTOCOL, seed};

#[path = "heart/mod.rs"]
#[allow(dead_code, reason = "made for several benches")]
mod heart;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ENTRIES: i64 = 100;

fn report(clock: &Clock) -> Vec<u8> {
    let now = clock.now().to_string();
    let entry = |user: i64| UsageEntry {
        user_id: user,
        subscription_id: Some(user),
        node_protocol_id: PROTOCOL.0,
        bytes_up: 1_000_000 + user,
        bytes_down: 50_000_000 + user,
        recorded_at: now.as_str().into(),
    };
    let report = ReportUsageRequest {
        entries: (1..=ENTRIES).map(entry).collect(),
        ..ReportUsageRequest::default()
    };
    report.encode_to_vec()
}

fn take(state: &mut NodeState, clock: &Clock, bytes: &[u8]) -> Entry {
    let request = ReportUsageRequest::decode(bytes).unwrap();
    let report = convert::usage(None, request.entries);
    state.usage(&report, clock.now(), |_| true).0
}

fn reports(criterion: &mut Criterion) {
    let clock = Clock::system();
    let bytes = report(&clock);
    let mut group = criterion.benchmark_group("usage_report");
    group.throughput(Throughput::Elements(ENTRIES.unsigned_abs()));
    group.bench_function("control", |bench| {
        bench.iter(|| ReportUsageRequest::decode(black_box(bytes.as_slice())).unwrap());
    });
    let mut state = NodeState::new(Arc::new(seed(1)), StoredState::NEW);
    group.bench_function("taken", |bench| {
        bench.iter(|| take(&mut state, &clock, black_box(&bytes)));
    });
    let entry = take(&mut state, &clock, &bytes);
    group.bench_function("folded", |bench| {
        bench.iter_batched(
            || (Fold::default(), entry.clone()),
            |(mut fold, entry)| {
                fold.add(entry);
                fold
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, reports);
criterion_main!(benches);
