//! Opens a journal only to read it: the same reader over the same files, without a writer.

use std::{
    path::Path,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use tokio::sync::{Semaphore, watch};

use super::{
    Handle, Journal, JournalError, Options,
    disk::Disk,
    layout,
    ledger::{Budget, Held, Segment, Volume},
    lock,
    quarantine::Quarantine,
    shared::Shared,
    survey::{self, Seal, Surveyed},
};
use crate::{
    clock::Clock,
    model::{JournalId, Position},
};

/// See [`Journal::open_to_read`].
pub(super) fn open(dir: &Path, clock: Clock, disk: Arc<dyn Disk>) -> Result<Journal, JournalError> {
    // A lock in a folder that is not there must not make it.
    let listing = survey::list(&*disk, dir)?;
    let lock = lock(dir)?;
    let quarantine = Quarantine::without_copies();
    let mut volumes = Vec::with_capacity(listing.generations.len());
    for (_, id, path) in listing.generations {
        let surveyed = survey::survey(&*disk, id, &path)?;
        volumes.push(volume(&*disk, &quarantine, surveyed)?);
    }
    let options = Options::default();
    let shared = Shared {
        // Of no generation: none is open.
        id: JournalId::random(),
        budget: Budget::new(0, options.max_bytes),
        options,
        clock,
        disk,
        volumes: Mutex::new(volumes),
        quarantine,
        writable: AtomicBool::new(false),
        durable: watch::Sender::new(Position::START),
    };
    Ok(Journal(Arc::new(Handle {
        shared: Arc::new(shared),
        queue: Mutex::new(None),
        room: Arc::new(Semaphore::new(0)),
        thread: Mutex::new(None),
        lock,
    })))
}

/// A generation as it lies there, with the end that a start would give it.
fn volume(disk: &dyn Disk, quarantine: &Quarantine, surveyed: Surveyed) -> Result<Volume, JournalError> {
    for path in &surveyed.unusable {
        // What it held is counted when the generation is read: it is a gap there.
        quarantine.report(disk, path, 0, "nothing can be told of this segment");
    }
    if surveyed.seal == Seal::Damaged {
        let path = surveyed.path.join(layout::SEAL);
        quarantine.report(disk, &path, 0, "the mark of the end; it is found anew");
    }
    let end = survey::end(disk, &surveyed)?.0;
    let hold = |found: survey::SurveyedSegment| {
        let segment = Segment::new(found.path, found.first, found.bytes);
        if found.headless {
            quarantine.report(disk, &segment.path, 0, "the head of the segment");
        }
        Held {
            segment: segment.into(),
            closed_at: Some(found.modified),
        }
    };
    Ok(Volume {
        id: surveyed.id,
        path: surveyed.path,
        sealed: Some(end),
        segments: surveyed.segments.into_iter().map(hold).collect(),
    })
}
