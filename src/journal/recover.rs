//! What happens to the generations that were there before: each is sealed where it ends, and those without records are removed.

use std::{io, path::Path, sync::atomic::Ordering};

use super::{
    JournalError,
    disk::{Disk, read_leniently, write_all},
    layout,
    ledger::{Held, Segment, Volume},
    quarantine::Quarantine,
    record::{self, Seed},
    scan::salvage,
    shared::system_time,
    survey::{self, FILE_BYTES_MAX, Listing, Prefix, Seal, Surveyed, SurveyedSegment},
};
use crate::model::{Position, Time};

/// What recovery works with.
pub(super) struct Recovery<'a> {
    pub dir: &'a Path,
    pub disk: &'a dyn Disk,
    pub quarantine: &'a Quarantine,
    pub now: Time,
}

/// What was there before.
pub(super) struct Recovered {
    /// Oldest first, all sealed.
    pub volumes: Vec<Volume>,
    /// The number of the generation to open.
    pub next_number: u64,
}

impl Recovery<'_> {
    /// Seals every generation, and gives those that hold records.
    pub fn run(&self) -> Result<Recovered, JournalError> {
        let Listing { generations, deleted } = survey::list(self.disk, self.dir)?;
        for path in deleted {
            self.finish_removal(&path)?;
        }
        let next_number = generations.last().map_or(1, |(number, ..)| number + 1);
        let mut volumes = Vec::with_capacity(generations.len());
        for (_, id, path) in generations {
            let surveyed = survey::survey(self.disk, id, &path)?;
            volumes.extend(self.take_over(surveyed)?);
        }
        Ok(Recovered { volumes, next_number })
    }

    /// Seals one generation; gives nothing if it held no records and is gone.
    fn take_over(&self, surveyed: Surveyed) -> Result<Option<Volume>, JournalError> {
        for path in &surveyed.temporary {
            self.disk.remove_file(path).map_err(JournalError::io("remove", path))?;
        }
        for path in &surveyed.unusable {
            // What it held is counted when the generation is read: it is a gap there.
            self.quarantine
                .report(self.disk, path, 0, "nothing can be told of this segment");
        }
        let (end, cut) = match surveyed.seal {
            Seal::End(end) => (end, None),
            Seal::Missing => self.seal(&surveyed)?,
            Seal::Damaged => {
                let path = surveyed.path.join(layout::SEAL);
                self.quarantine
                    .report(self.disk, &path, 0, "the mark of the end; it is found anew");
                self.seal(&surveyed)?
            }
        };
        let first = surveyed.segments.first().map_or(end.next(), |it| it.first);
        let empty = first > end && surveyed.unusable.is_empty();
        if empty {
            remove_generation(self.disk, &surveyed.path)?;
            return Ok(None);
        }
        Ok(Some(self.volume(surveyed, end, cut)))
    }

    fn volume(&self, surveyed: Surveyed, end: Position, cut: Option<u64>) -> Volume {
        let last = surveyed.segments.len().saturating_sub(1);
        let hold = |(index, found): (usize, SurveyedSegment)| {
            let (bytes, closed_at) = match cut {
                Some(bytes) if index == last => (bytes, self.now),
                _ => (found.bytes, found.modified),
            };
            let segment = Segment::new(found.path, found.first, bytes);
            if found.headless {
                segment.reported.store(true, Ordering::Relaxed);
                self.quarantine
                    .report(self.disk, &segment.path, 0, "the head of the segment");
            }
            Held {
                segment: segment.into(),
                closed_at: Some(closed_at),
            }
        };
        Volume {
            id: surveyed.id,
            path: surveyed.path,
            sealed: Some(end),
            segments: surveyed.segments.into_iter().enumerate().map(hold).collect(),
        }
    }

    /// Finds where a generation ends, cuts off what is behind, and writes the mark. Gives the end, and how long the last segment now is
    /// if it was cut.
    fn seal(&self, surveyed: &Surveyed) -> Result<(Position, Option<u64>), JournalError> {
        let (end, prefix) = survey::end(self.disk, surveyed)?;
        let mut cut = None;
        if let (Some(prefix), Some(last)) = (prefix, surveyed.last_written()) {
            if prefix.unsure {
                // The next start may be able to read more, so nothing is cut and nothing is sealed.
                return Ok((end, None));
            }
            match self.cut(last, prefix, Seed::of(surveyed.id)) {
                Ok(bytes) => cut = Some(bytes),
                Err(error) => {
                    tracing::warn!(file = %last.path.display(), %error, "what is behind the end of this segment could not be cut off");
                }
            }
        }
        self.write_mark(surveyed, end);
        Ok((end, cut))
    }

    /// Makes the last segment as long as its whole records are, and makes those durable.
    fn cut(&self, last: &SurveyedSegment, prefix: Prefix, seed: Seed) -> io::Result<u64> {
        let file = self.disk.open_to_change(&last.path)?;
        let tail = read_leniently(&*file, prefix.offset, FILE_BYTES_MAX)?;
        if whole_records_in(&tail, seed, prefix.end) {
            let used = tail.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            self.quarantine.keep_tail(self.disk, &last.path, &tail[..used])?;
        }
        // A file that was cut short inside its head is not made longer.
        let bytes = prefix.offset.min(last.bytes);
        file.set_len(bytes)?;
        file.sync_data()?;
        file.set_modified(system_time(self.now))?;
        Ok(bytes)
    }

    /// Without the mark, the generation is sealed anew at the next start: that is no reason not to start now.
    fn write_mark(&self, surveyed: &Surveyed, end: Position) {
        let path = surveyed.path.join(layout::SEAL);
        let temporary = surveyed.path.join(format!("{}{}", layout::SEAL, layout::TEMPORARY));
        let write = || {
            let mark = layout::seal_mark(surveyed.id, end);
            let file = self.disk.allocate(&temporary, mark.len() as u64)?;
            write_all(&*file, &mark, 0)?;
            file.sync_data()?;
            self.disk.rename(&temporary, &path)?;
            self.disk.sync_dir(&surveyed.path)
        };
        if let Err(error) = write() {
            tracing::warn!(file = %path.display(), %error, "the mark of a generation's end could not be written");
        }
    }

    fn finish_removal(&self, path: &Path) -> Result<(), JournalError> {
        empty_dir(self.disk, path).map_err(JournalError::io("remove", path))
    }
}

/// Whether whole records with positions after `end` are in what follows it.
fn whole_records_in(tail: &[u8], seed: Seed, end: Position) -> bool {
    let most = Position(end.0 + tail.len() as u64 / record::RECORD_MIN);
    // The search begins behind a head, as in a segment.
    let mut bytes = vec![0; layout::HEAD];
    bytes.extend_from_slice(tail);
    !salvage(&bytes, seed, end.next(), most, |_| true).is_empty()
}

/// Removes a generation: at once under its name, then file by file.
pub(super) fn remove_generation(disk: &dyn Disk, path: &Path) -> Result<(), JournalError> {
    let mut doomed = path.as_os_str().to_owned();
    doomed.push(layout::DELETED);
    let doomed = Path::new(&doomed);
    let remove = || {
        disk.rename(path, doomed)?;
        if let Some(parent) = path.parent() {
            disk.sync_dir(parent)?;
        }
        empty_dir(disk, doomed)
    };
    remove().map_err(JournalError::io("remove", path))
}

fn empty_dir(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    for name in disk.list(path)? {
        disk.remove_file(&path.join(name))?;
    }
    disk.remove_dir(path)
}
