//! What lies in a journal's directory, for people. Reads everything, changes nothing.

use std::path::{Path, PathBuf};

use super::{
    JournalError,
    disk::{Disk, RealDisk},
    payload,
    record::Seed,
    scan::salvage,
    survey::{self, Seal, Surveyed, SurveyedSegment},
};
use crate::model::{JournalId, Position};

/// A generation as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationReport {
    /// Its id.
    pub id: JournalId,
    /// Its directory.
    pub path: PathBuf,
    /// Nothing can be added to it any more.
    pub sealed: bool,
    /// The mark of its end is damaged.
    pub seal_damaged: bool,
    /// The first position that is kept; behind `end` if there is none.
    pub first: Position,
    /// The last position.
    pub end: Position,
    /// Its segments, in order.
    pub segments: Vec<SegmentReport>,
    /// Segments of which nothing can be told.
    pub unusable: Vec<PathBuf>,
}

/// A segment as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReport {
    /// Its file.
    pub path: PathBuf,
    /// The position with which it begins.
    pub first: Position,
    /// Whole records.
    pub records: u64,
    /// Records that must be there and are not whole.
    pub lost: u64,
    /// The size of the file.
    pub bytes: u64,
    /// The head of the file is damaged.
    pub head_damaged: bool,
}

impl GenerationReport {
    /// Something in it is not what was written.
    pub fn damaged(&self) -> bool {
        let bad = |segment: &SegmentReport| segment.lost > 0 || segment.head_damaged;
        self.seal_damaged || !self.unusable.is_empty() || self.segments.iter().any(bad)
    }
}

/// Looks at every generation in `dir`, oldest first. While a journal is open there, its newest records may be missing.
pub fn inspect(dir: &Path) -> Result<Vec<GenerationReport>, JournalError> {
    let disk = RealDisk;
    let listing = survey::list(&disk, dir)?;
    let generations = listing.generations.into_iter();
    generations
        .map(|(_, id, path)| report(&disk, survey::survey(&disk, id, &path)?))
        .collect()
}

fn report(disk: &dyn Disk, surveyed: Surveyed) -> Result<GenerationReport, JournalError> {
    let seed = Seed::of(surveyed.id);
    let end = survey::end(disk, &surveyed)?.0;
    let mut segments = Vec::with_capacity(surveyed.segments.len());
    for (index, segment) in surveyed.segments.iter().enumerate() {
        let next = surveyed.segments.get(index + 1);
        let last = next.map_or(end, |next| Position(next.first.0 - 1));
        segments.push(report_segment(disk, segment, seed, last)?);
    }
    Ok(GenerationReport {
        id: surveyed.id,
        sealed: matches!(surveyed.seal, Seal::End(_)),
        seal_damaged: surveyed.seal == Seal::Damaged,
        first: segments.first().map_or(end.next(), |it| it.first),
        end,
        segments,
        path: surveyed.path,
        unusable: surveyed.unusable,
    })
}

fn report_segment(
    disk: &dyn Disk,
    segment: &SurveyedSegment,
    seed: Seed,
    last: Position,
) -> Result<SegmentReport, JournalError> {
    let bytes = survey::read_file(disk, &segment.path).map_err(JournalError::io("read", &segment.path))?;
    let readable = |payload: &[u8]| payload::decode(payload).is_some();
    let records = salvage(&bytes, seed, segment.first, last, readable).len() as u64;
    let expected = (last.0 + 1).saturating_sub(segment.first.0);
    Ok(SegmentReport {
        path: segment.path.clone(),
        first: segment.first,
        records,
        lost: expected.saturating_sub(records),
        bytes: segment.bytes,
        head_damaged: segment.headless,
    })
}
