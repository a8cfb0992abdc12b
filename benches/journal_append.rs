//! How fast reports of 100 rows become durable with 1, 32 and 256 callers who each wait for their own before they send the next. The bare control writes
//! the same bytes, as many reports at once as there are callers, into a file that was filled before, and calls `fdatasync` once for them: no journal that
//! answers after the disk did can be faster.
//!
//! `cargo bench --bench journal_append`; the disk is that of `TMPDIR`.

#![allow(clippy::unwrap_used, reason = "a bench may fail, in its parts too")]

use std::{
    fs::File,
    io::{Seek as _, Write as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::{runtime::Runtime, task::JoinSet};
use vpn_core::{
    clock::{Clock, Stopwatch},
    journal::{Journal, Options, RealDisk, inspect},
    model::{
        NodeId, ProtocolId, SubscriptionId, Time, UserId,
        entry::{Entry, Identity, Payload, Report},
        usage::UsageRow,
    },
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: i64 = 100;
const CALLERS: [u64; 3] = [1, 32, 256];
const FILE: u64 = 16 << 20;

fn entry(caller: u64) -> Entry {
    let row = |user: i64| UsageRow {
        user: UserId(user),
        subscription: Some(SubscriptionId(user)),
        protocol: ProtocolId(7),
        minute: Time::from_millis(1_763_985_600_000),
        bytes_up: 1_000_000 + user,
        bytes_down: 50_000_000 + user,
        suspect: None,
    };
    Entry {
        node: NodeId(caller.cast_signed()),
        received_at: Time::from_millis(1_763_985_660_123),
        payload: Payload::Usage(Report {
            identity: Identity::of_key(&caller.to_string()),
            rows: (1..=ROWS).map(row).collect(),
            rejected: Vec::new(),
        }),
    }
}

/// Every caller appends so many; all of them together.
async fn append(journal: &Journal, entries: &[Arc<Entry>], each: u64) -> Duration {
    let watch = Stopwatch::start();
    let mut callers = JoinSet::new();
    for entry in entries {
        let (journal, entry) = (journal.clone(), Arc::clone(entry));
        callers.spawn(async move {
            for _ in 0..each {
                journal.append(&entry).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    watch.elapsed()
}

/// Writes this again and again, over and over the same file.
fn write(file: &mut File, bytes: &[u8], times: u64) -> Duration {
    let watch = Stopwatch::start();
    for _ in 0..times {
        if file.stream_position().unwrap() + bytes.len() as u64 > FILE {
            file.rewind().unwrap();
        }
        file.write_all(bytes).unwrap();
        file.sync_data().unwrap();
    }
    watch.elapsed()
}

/// What a report takes in the journal: by how much ten of them move the end of what is written.
fn size_of_a_record(runtime: &Runtime, journal: &Journal, dir: &Path) -> usize {
    let written = |reports| {
        runtime.block_on(append(journal, &[Arc::new(entry(1))], reports));
        let generations = inspect(dir).unwrap();
        let segment = generations.last().unwrap().segments.last().unwrap();
        let bytes = std::fs::read(&segment.path).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).unwrap()
    };
    let one = written(1);
    (written(10) - one) / 10
}

fn appends(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        // Nothing is taken away meanwhile, and nobody waits for room.
        max_bytes: 64 << 30,
        ..Options::default()
    };
    let journal = Journal::open(dir.path(), options, Clock::system(), Arc::new(RealDisk)).unwrap();
    let size = size_of_a_record(&runtime, &journal, dir.path());

    let mut file = tempfile::tempfile_in(dir.path()).unwrap();
    file.write_all(&vec![0; usize::try_from(FILE).unwrap()]).unwrap();
    file.sync_all().unwrap();

    let mut group = criterion.benchmark_group("journal_append");
    for callers in CALLERS {
        group.throughput(Throughput::Elements(callers));
        let bytes = vec![1; size * usize::try_from(callers).unwrap()];
        group.bench_function(format!("control, {callers}"), |bench| {
            bench.iter_custom(|times| write(&mut file, &bytes, times));
        });
        let entries: Vec<_> = (1..=callers).map(|caller| Arc::new(entry(caller))).collect();
        group.bench_function(format!("journal, {callers}"), |bench| {
            bench.iter_custom(|times| runtime.block_on(append(&journal, &entries, times)));
        });
    }
    group.finish();
}

criterion_group!(benches, appends);
criterion_main!(benches);
