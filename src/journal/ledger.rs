//! What is known of the files without reading them: which generations there are, which segments they have, where those begin.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{AppendError, Generation, record::Seed, scan::Found};
use crate::model::{JournalId, Position, Time};

/// A segment and what its readers remember of it.
#[derive(Debug)]
pub(super) struct Segment {
    pub path: PathBuf,
    /// The position of its first record. It ends before the first position of the next one.
    pub first: Position,
    /// What it takes on the disk.
    pub bytes: u64,
    /// Where the last reader stopped.
    pub cursor: Mutex<Cursor>,
    /// What is left of it, once it was found damaged.
    pub rest: Mutex<Option<Arc<Rest>>>,
    /// Its damage was reported.
    pub reported: AtomicBool,
}

/// A place between two records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    pub next: Position,
    pub offset: u64,
}

/// The whole records of a damaged segment.
#[derive(Debug)]
pub(super) struct Rest {
    /// As of this end of the segment.
    pub last: Position,
    /// In order.
    pub found: Vec<Found>,
}

impl Segment {
    pub fn new(path: PathBuf, first: Position, bytes: u64) -> Self {
        Self {
            path,
            first,
            bytes,
            cursor: Mutex::new(Cursor {
                next: first,
                offset: super::layout::RECORDS,
            }),
            rest: Mutex::new(None),
            reported: AtomicBool::new(false),
        }
    }
}

/// A segment in its generation.
#[derive(Debug)]
pub(super) struct Held {
    pub segment: Arc<Segment>,
    /// Since when nothing is written to it; none: it is open.
    pub closed_at: Option<Time>,
}

/// A generation and its segments, in order.
#[derive(Debug)]
pub(super) struct Volume {
    pub id: JournalId,
    pub path: PathBuf,
    /// Where it ends; none: it is open, and ends where the last durable record is.
    pub sealed: Option<Position>,
    pub segments: Vec<Held>,
}

/// Where to read a position.
#[derive(Debug)]
pub(super) enum Place {
    /// In this segment, which ends with `last`.
    Segment {
        segment: Arc<Segment>,
        seed: Seed,
        last: Position,
    },
    /// Nowhere: what is kept goes on after this position.
    Gone(Position),
    /// Nowhere yet: the generation ends before it.
    End,
}

impl Volume {
    /// A generation that begins.
    pub const fn open(id: JournalId, path: PathBuf) -> Self {
        Self {
            id,
            path,
            sealed: None,
            segments: Vec::new(),
        }
    }

    /// The last position, where `durable` is the last durable one of the open generation.
    pub fn end(&self, durable: Position) -> Position {
        self.sealed.unwrap_or(durable)
    }

    /// The last position of the segment at `index`; before its first where it has none.
    pub fn last_of(&self, index: usize, durable: Position) -> Position {
        match self.segments.get(index + 1) {
            Some(next) => Position(next.segment.first.0 - 1),
            None => self.end(durable),
        }
    }

    /// Where to read `position`.
    pub fn place(&self, position: Position, durable: Position) -> Place {
        let end = self.end(durable);
        if position > end {
            return Place::End;
        }
        let after = self.segments.partition_point(|held| held.segment.first <= position);
        match after.checked_sub(1) {
            Some(index) => Place::Segment {
                segment: Arc::clone(&self.segments[index].segment),
                seed: Seed::of(self.id),
                last: self.last_of(index, durable),
            },
            None => Place::Gone(match self.segments.first() {
                Some(first) => Position(first.segment.first.0 - 1).min(end),
                None => end,
            }),
        }
    }

    /// As the journal's users see it.
    pub fn describe(&self, durable: Position) -> Generation {
        let end = self.end(durable);
        Generation {
            id: self.id,
            first: self.segments.first().map_or(end.next(), |first| first.segment.first),
            end,
            open: self.sealed.is_none(),
        }
    }
}

/// Bytes on the disk, held below a limit.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicU64,
    max: u64,
}

impl Budget {
    pub const fn new(used: u64, max: u64) -> Self {
        Self {
            used: AtomicU64::new(used),
            max,
        }
    }

    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Takes so many bytes before they are written.
    pub fn take(&self, bytes: u64) -> Result<(), AppendError> {
        let room = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.max);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
            .map(|_| ())
            .map_err(|used| AppendError::Full {
                bytes: used,
                max_bytes: self.max,
            })
    }

    /// Gives them back once they are removed.
    pub fn give_back(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        // `less` always gives a value, so this can't fail.
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).ok();
    }
}

/// Locks without a word about poison: what these locks guard is whole after every single assignment.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
