//! Reads the records of a segment: one after the other from an open file, or, where it is damaged, whatever is still whole in
//! its bytes.

use std::{io, path::Path, sync::Arc};

use super::{
    disk::{Disk, DiskFile, read_full},
    layout,
    record::{self, Record, Seed},
};
use crate::model::Position;

/// How much of a file is read at a time: 256 KiB, some hundred reports of 100 rows.
const WINDOW: u64 = 256 * 1024;

/// How many bytes the search for whole records in one damaged file may check: 64 times a segment of the usual size. The search
/// checks a byte again only where heads overlap, which nothing but bytes made for that do at length.
const SEARCH_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Reads record after record, with a window that moves along the file.
pub(super) struct Scan {
    file: Arc<dyn DiskFile>,
    length: u64,
    seed: Seed,
    offset: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl Scan {
    /// Begins at `offset`, where a record begins.
    pub fn open(disk: &dyn Disk, path: &Path, seed: Seed, offset: u64) -> io::Result<Self> {
        let file = disk.open(path)?;
        Ok(Self {
            length: file.len()?,
            file,
            seed,
            offset,
            window: Vec::new(),
            window_at: offset,
        })
    }

    /// Where the next record begins.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes forward to `offset`.
    pub const fn go_on_at(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// The next record, if it is whole and has the position `expected`; else the scan stays where it is.
    pub fn next(&mut self, expected: Position) -> io::Result<Option<Record<'_>>> {
        self.fill(record::HEAD)?;
        let Some(head) = record::head(self.ahead(record::HEAD)) else {
            return Ok(None);
        };
        let size = record::HEAD + head.length;
        self.fill(size)?;
        let from = self.window_index();
        let bytes = self.window.get(from..from + size).unwrap_or(&[]);
        let Some(record) = record::read(bytes, self.seed).filter(|it| it.position == expected) else {
            return Ok(None);
        };
        self.offset += size as u64;
        Ok(Some(record))
    }

    /// Moves the window so that it holds the next `count` bytes, or as many as the file has: nothing is allocated for others.
    fn fill(&mut self, count: usize) -> io::Result<()> {
        let rest = self.length.saturating_sub(self.offset);
        let wanted = rest.min(count as u64);
        if self.offset + wanted <= self.window_at + self.window.len() as u64 {
            return Ok(());
        }
        let size = wanted.max(WINDOW).min(rest);
        self.window.resize(usize::try_from(size).unwrap_or(0), 0);
        self.window_at = self.offset;
        let read = read_full(&*self.file, &mut self.window, self.offset);
        self.window.truncate(*read.as_ref().unwrap_or(&0));
        read.map(|_| ())
    }

    fn ahead(&self, count: usize) -> &[u8] {
        let from = self.window_index();
        self.window.get(from..from + count).unwrap_or(&[])
    }

    fn window_index(&self) -> usize {
        usize::try_from(self.offset - self.window_at).unwrap_or(usize::MAX / 2)
    }
}

/// A whole record in the bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub position: Position,
    pub offset: u64,
}

/// The whole records of a damaged segment with positions from `first` to `last`, in order. `readable` says whether a payload can
/// be read. After a damaged record, the next whole one is searched byte by byte.
pub(super) fn salvage(
    bytes: &[u8],
    seed: Seed,
    first: Position,
    last: Position,
    readable: impl Fn(&[u8]) -> bool,
) -> Vec<Found> {
    let mut found = Vec::new();
    let mut expected = first;
    let mut at = layout::HEAD;
    let mut checked = 0;
    while expected <= last && checked < SEARCH_BYTES_MAX {
        let Some(rest) = bytes.get(at..).filter(|rest| rest.len() > record::HEAD) else {
            break;
        };
        at += 1;
        let Some(head) = record::head(rest).filter(|head| (expected..=last).contains(&head.position)) else {
            continue;
        };
        checked += head.length.min(rest.len());
        let Some(record) = record::read(rest, seed) else {
            continue;
        };
        if readable(record.payload) {
            found.push(Found {
                position: record.position,
                offset: at as u64 - 1,
            });
        }
        expected = record.position.next();
        at += record.size() - 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::JournalId;

    const JOURNAL: JournalId = JournalId([3; 16]);

    /// A segment with records of 100 bytes at the positions 1 to 5.
    fn segment() -> Vec<u8> {
        let mut bytes = layout::segment_head(JOURNAL, Position(1)).to_vec();
        for position in 1..=5 {
            let mut frame = vec![position; record::HEAD + 84];
            record::finish(&mut frame, Seed::of(JOURNAL), Position(position.into()));
            bytes.extend_from_slice(&frame);
        }
        bytes.resize(1000, 0);
        bytes
    }

    fn positions(bytes: &[u8], last: u64) -> Vec<u64> {
        let found = salvage(bytes, Seed::of(JOURNAL), Position(1), Position(last), |_| true);
        found.iter().map(|it| it.position.0).collect()
    }

    #[test]
    fn whole_records_are_found_around_damage() {
        let mut bytes = segment();
        assert_eq!(positions(&bytes, 5), [1, 2, 3, 4, 5]);
        bytes[64 + 100] ^= 1;
        assert_eq!(positions(&bytes, 5), [1, 3, 4, 5], "a length");
        bytes[64 + 300..64 + 400].fill(0);
        assert_eq!(positions(&bytes, 5), [1, 3, 5], "zeros");
        bytes.truncate(64 + 410);
        assert_eq!(positions(&bytes, 5), [1, 3], "a cut");
        assert_eq!(positions(&bytes[..10], 5), [0; 0], "no room for a record");
    }

    #[test]
    fn stale_records_after_the_last_are_passed_over() {
        assert_eq!(positions(&segment(), 3), [1, 2, 3]);
    }

    #[test]
    fn what_cannot_be_read_is_not_found() {
        let found = salvage(&segment(), Seed::of(JOURNAL), Position(1), Position(5), |payload| {
            payload[0] != 2
        });
        assert_eq!(found.iter().map(|it| it.position.0).collect::<Vec<_>>(), [1, 3, 4, 5]);
    }

    #[test]
    fn a_record_inside_a_payload_is_not_taken_for_one() {
        let mut inner = vec![9; record::HEAD + 20];
        record::finish(&mut inner, Seed::of(JournalId([4; 16])), Position(1));
        let mut bytes = layout::segment_head(JOURNAL, Position(1)).to_vec();
        let mut frame = vec![0; record::HEAD];
        frame.extend_from_slice(&inner);
        record::finish(&mut frame, Seed::of(JOURNAL), Position(1));
        frame[record::HEAD] ^= 1;
        bytes.extend_from_slice(&frame);
        assert_eq!(positions(&bytes, 1), [0; 0]);
    }
}
