//! What the writer, the readers and the makers of segments share.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

use super::{
    JournalError, Options,
    disk::{Disk, DiskFile},
    ledger::{Budget, Held, Place, Segment, Volume, locked},
    quarantine::Quarantine,
};
use crate::{
    clock::Clock,
    model::{JournalId, Position, Time},
};

#[derive(Debug)]
pub(super) struct Shared {
    /// Of the open generation.
    pub id: JournalId,
    pub options: Options,
    pub clock: Clock,
    pub disk: Arc<dyn Disk>,
    /// Oldest first; the last is the open one. Held for moments, never while a file is read or written.
    pub volumes: Mutex<Vec<Volume>>,
    pub budget: Budget,
    pub quarantine: Quarantine,
    /// The last append that had to be written was.
    pub writable: AtomicBool,
    /// The last durable position of the open generation.
    pub durable: watch::Sender<Position>,
}

impl Shared {
    /// The last durable position of the open generation.
    pub fn durable(&self) -> Position {
        *self.durable.borrow()
    }

    /// Looks at a generation, and at the last durable position of the open one.
    pub fn with_volume<T>(
        &self,
        journal: JournalId,
        look: impl FnOnce(&Volume, Position) -> T,
    ) -> Result<T, JournalError> {
        let durable = self.durable();
        let volumes = locked(&self.volumes);
        let volume = volumes.iter().find(|it| it.id == journal);
        volume.map(|it| look(it, durable)).ok_or(JournalError::Unknown(journal))
    }

    /// Where to read a position.
    pub fn place(&self, journal: JournalId, position: Position) -> Result<Place, JournalError> {
        self.with_volume(journal, |volume, durable| volume.place(position, durable))
    }

    /// Adds a segment to the open generation.
    pub fn add_segment(&self, path: PathBuf, first: Position, bytes: u64) {
        self.change_open(|open| {
            open.segments.push(Held {
                segment: Segment::new(path, first, bytes).into(),
                closed_at: None,
            });
        });
    }

    /// Notes, in memory and in the file's time, that nothing is written any more to the last segment.
    pub fn close_last(&self, file: &dyn DiskFile) {
        let now = self.clock.now();
        if let Err(error) = file.set_modified(system_time(now)) {
            tracing::warn!(%error, "the time at which a segment was closed could not be kept");
        }
        self.change_open(|open| {
            if let Some(last) = open.segments.last_mut() {
                last.closed_at = Some(now);
            }
        });
    }

    /// Closes the last segment after a failure; one without a durable record is forgotten, and given back to be removed.
    pub fn drop_last_if_empty(&self, durable: Position) -> Option<(PathBuf, u64)> {
        let now = self.clock.now();
        self.change_open(|open| {
            let last = open.segments.last_mut()?;
            last.closed_at = Some(now);
            if last.segment.first <= durable {
                return None;
            }
            let gone = open.segments.pop()?.segment;
            Some((gone.path.clone(), gone.bytes))
        })
    }

    fn change_open<T: Default>(&self, change: impl FnOnce(&mut Volume) -> T) -> T {
        locked(&self.volumes).last_mut().map(change).unwrap_or_default()
    }
}

/// As the file system tells time.
pub(super) fn system_time(at: Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(at.millis().unsigned_abs())
}
