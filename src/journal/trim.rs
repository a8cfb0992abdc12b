//! Removes what the store has taken over, once it is old enough.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use super::{
    JournalError,
    ledger::{Held, Volume, locked},
    recover::remove_generation,
    shared::Shared,
};
use crate::model::{JournalId, Position, Time};

/// What goes next.
enum Doomed {
    Segment(Held),
    Generation(PathBuf),
}

/// See [`super::Journal::trim`].
pub(super) fn trim(shared: &Shared, journal: JournalId, flushed: Position, now: Time) -> Result<(), JournalError> {
    let mut changed: Option<PathBuf> = None;
    while let Some(doomed) = next(shared, journal, flushed, now)? {
        match doomed {
            Doomed::Segment(held) => {
                changed = held.segment.path.parent().map(Path::to_owned);
                remove_segment(shared, journal, held)?;
            }
            // With its directory, nothing is left to sync.
            Doomed::Generation(path) => return remove_generation(&*shared.disk, &path),
        }
    }
    match changed {
        Some(dir) => shared.disk.sync_dir(&dir).map_err(JournalError::io("sync", &dir)),
        None => Ok(()),
    }
}

/// Takes out of the ledger what goes next, always from the front, so that no gap comes to be.
fn next(shared: &Shared, journal: JournalId, flushed: Position, now: Time) -> Result<Option<Doomed>, JournalError> {
    let durable = shared.durable();
    let mut volumes = locked(&shared.volumes);
    let index = volumes.iter().position(|it| it.id == journal);
    let index = index.ok_or(JournalError::Unknown(journal))?;
    let volume = &mut volumes[index];
    let open = volume.sealed.is_none();
    if volume.segments.is_empty() {
        let over = !open && volume.end(durable) <= flushed;
        return Ok(over.then(|| Doomed::Generation(volumes.remove(index).path)));
    }
    let written = open && volume.segments.len() == 1;
    let old = volume.segments[0]
        .closed_at
        .is_some_and(|at| at.plus(shared.options.keep) <= now);
    let over = !written && old && volume.last_of(0, durable) <= flushed;
    Ok(over.then(|| Doomed::Segment(volume.segments.remove(0))))
}

fn remove_segment(shared: &Shared, journal: JournalId, held: Held) -> Result<(), JournalError> {
    let segment = Arc::clone(&held.segment);
    if let Err(error) = shared.disk.remove_file(&segment.path) {
        let mut volumes = locked(&shared.volumes);
        let back = |volume: &mut Volume| volume.segments.insert(0, held);
        volumes.iter_mut().find(|it| it.id == journal).map(back);
        return Err(JournalError::io("remove", &segment.path)(error));
    }
    shared.budget.give_back(segment.bytes);
    // Whoever holds back because nothing could be written may try again.
    shared.writable.store(true, Ordering::Relaxed);
    Ok(())
}
