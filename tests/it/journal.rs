//! The journal against a real disk, and against one that fails.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod corruption;
pub mod disk;
mod faults;
mod memory;
mod model;
mod reading;
mod whole;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use vpn_core::{
    clock::Clock,
    journal::{Disk, Journal, Options, Piece, ReadLimit},
    model::{
        JournalId, NodeId, Position, ProtocolId, SubscriptionId, Time, UserId,
        entry::{Entry, Identity, Payload, Report},
        usage::UsageRow,
    },
};

use disk::FlakyDisk;

/// No limit that a test would meet.
pub const ALL: ReadLimit = ReadLimit {
    rows: usize::MAX,
    bytes: usize::MAX,
};

/// An hour is kept.
const KEEP: Duration = Duration::from_hours(1);

/// Segments of a page, so that a few entries fill several.
pub fn options() -> Options {
    Options {
        segment_bytes: 4096,
        max_bytes: 1 << 30,
        keep: KEEP,
    }
}

fn clock() -> Clock {
    Clock::manual(Time::parse_rfc3339("2026-11-24T12:00:00Z").unwrap())
}

/// The entry with this number; no other is equal to it. A report of `rows` rows takes about 60 + 25 * `rows` bytes.
fn entry(number: u64, rows: u64) -> Entry {
    let row = |index: u64| UsageRow {
        user: UserId((number * 1000 + index).cast_signed()),
        subscription: index.is_multiple_of(2).then_some(SubscriptionId(7)),
        protocol: ProtocolId(3),
        minute: Time::from_millis(1_763_985_600_000),
        bytes_up: (number ^ index).cast_signed(),
        bytes_down: 1 << 30,
        suspect: None,
    };
    Entry {
        node: NodeId(number.cast_signed()),
        received_at: Time::from_millis(1_763_985_600_000),
        payload: Payload::Usage(Report {
            identity: Identity::of_key(&number.to_string()),
            rows: (0..rows).map(row).collect(),
            rejected: Vec::new(),
        }),
    }
}

/// A directory, a clock and a disk that is as good as the test wants it.
struct Bench {
    home: TempDir,
    clock: Clock,
    disk: Arc<FlakyDisk>,
    options: Options,
}

impl Bench {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            clock: clock(),
            disk: Arc::default(),
            options: options(),
        }
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("journal")
    }

    fn open(&self) -> Journal {
        self.open_at(&self.dir())
    }

    fn open_at(&self, dir: &Path) -> Journal {
        let disk = Arc::clone(&self.disk) as Arc<dyn Disk>;
        Journal::open(dir, self.options.clone(), self.clock.clone(), disk).unwrap()
    }

    /// The directory as a crash at this moment would leave it.
    fn crashed(&self, name: &str) -> PathBuf {
        let copy = self.home.path().join(name);
        copy_dir(&self.dir(), &copy);
        copy
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if let Err(error) = fs::copy(entry.path(), target) {
            // A segment in the making, which got its name or was given up meanwhile.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
    }
}

async fn append_all(journal: &Journal, numbers: impl IntoIterator<Item = u64>) -> Vec<(Position, Entry)> {
    let mut written = Vec::new();
    for number in numbers {
        let entry = entry(number, number % 10);
        written.push((journal.append(&entry).await.unwrap(), entry));
    }
    written
}

fn read_all(journal: &Journal, id: JournalId) -> Piece {
    let piece = journal.read_after(id, Position::START, ALL).unwrap();
    assert_eq!(
        piece.entries.len() as u64 + piece.lost,
        piece.upto.0,
        "every position is covered"
    );
    piece
}

/// Files in a tree whose name ends like this.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_str().unwrap().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}
