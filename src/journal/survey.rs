//! Looks at what lies in a journal's directory, and changes nothing.

use std::{
    io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    JournalError,
    disk::{Disk, read_leniently},
    layout::{self, Fault},
    record::{self, Seed},
    scan::{Scan, salvage},
};
use crate::model::{JournalId, Position, Time};

/// How much of a damaged file is read into memory: twice the largest record, so that a segment of any allowed size fits.
pub(super) const FILE_BYTES_MAX: u64 = 2 * record::PAYLOAD_MAX as u64;

/// A generation as it lies there.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub id: JournalId,
    pub path: PathBuf,
    pub seal: Seal,
    /// In order; their first positions never decrease.
    pub segments: Vec<SurveyedSegment>,
    /// Segments of which nothing can be told, not even where they begin.
    pub unusable: Vec<PathBuf>,
    /// Left over from a crash.
    pub temporary: Vec<PathBuf>,
}

impl Surveyed {
    /// The last segment, unless nothing can be told of the one that was written after it.
    pub fn last_written(&self) -> Option<&SurveyedSegment> {
        let last = self.segments.last()?;
        self.unusable.iter().all(|path| *path < last.path).then_some(last)
    }
}

/// What the seal mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seal {
    /// The generation ends here.
    End(Position),
    /// There is none.
    Missing,
    /// It is not what was written.
    Damaged,
}

/// A segment as it lies there.
#[derive(Debug)]
pub(super) struct SurveyedSegment {
    pub path: PathBuf,
    pub first: Position,
    pub bytes: u64,
    pub modified: Time,
    /// Its head is damaged: `first` was told by its records.
    pub headless: bool,
}

/// What was found under the names of a journal.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Oldest first.
    pub generations: Vec<(u64, JournalId, PathBuf)>,
    /// Generations whose removal was cut short.
    pub deleted: Vec<PathBuf>,
}

/// Lists the generations.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Listing, JournalError> {
    let mut listing = Listing::default();
    for (name, path) in names(disk, dir)? {
        if let Some((number, id)) = layout::parse_generation(&name) {
            if let Some((_, _, twin)) = listing.generations.iter().find(|it| it.1 == id) {
                return Err(JournalError::Twice(twin.clone(), path));
            }
            listing.generations.push((number, id, path));
        } else if name
            .strip_suffix(layout::DELETED)
            .and_then(layout::parse_generation)
            .is_some()
        {
            listing.deleted.push(path);
        }
    }
    listing.generations.sort();
    Ok(listing)
}

/// Looks at one generation.
pub(super) fn survey(disk: &dyn Disk, id: JournalId, path: &Path) -> Result<Surveyed, JournalError> {
    let mut indexed = Vec::new();
    let mut temporary = Vec::new();
    for (name, path) in names(disk, path)? {
        if let Some(index) = layout::parse_segment(&name) {
            indexed.push((index, path));
        } else if name.ends_with(layout::TEMPORARY) {
            temporary.push(path);
        }
    }
    indexed.sort();
    let seal = read_seal(disk, &path.join(layout::SEAL), id)?;
    let mut surveyed = Surveyed {
        id,
        path: path.to_owned(),
        seal,
        segments: Vec::new(),
        unusable: Vec::new(),
        temporary,
    };
    let heads: Vec<_> = indexed
        .into_iter()
        .map(|(index, path)| read_head(disk, path, id).map(|head| (index, head)))
        .collect::<Result<_, _>>()?;
    settle(disk, &mut surveyed, heads);
    Ok(surveyed)
}

/// A segment's file and what its head says.
struct Headed {
    path: PathBuf,
    first: Option<Position>,
    bytes: u64,
    modified: Time,
}

fn read_head(disk: &dyn Disk, path: PathBuf, id: JournalId) -> Result<Headed, JournalError> {
    let look = || {
        let file = disk.open(&path)?;
        let bytes = read_leniently(&*file, 0, layout::RECORDS)?;
        Ok((bytes, file.len()?, file.modified()?))
    };
    let (head, bytes, modified) = look().map_err(JournalError::io("look at", &path))?;
    let first = match layout::read_segment_head(&head, id) {
        Ok(first) => Some(first),
        Err(Fault::Damaged) => None,
        Err(Fault::Version(version)) => return Err(JournalError::Version { path, version }),
    };
    Ok(Headed {
        path,
        first,
        bytes,
        modified: time(modified),
    })
}

/// Finds where the segments begin whose heads are damaged: their records say it.
fn settle(disk: &dyn Disk, surveyed: &mut Surveyed, heads: Vec<(u64, Headed)>) {
    // For each segment, where the next one with a good head begins.
    let mut following = match surveyed.seal {
        Seal::End(end) => Some(end.next()),
        Seal::Missing | Seal::Damaged => None,
    };
    let unsealed = following.is_none();
    let mut limits = Vec::with_capacity(heads.len());
    for (_, head) in heads.iter().rev() {
        limits.push(following);
        following = head.first.or(following);
    }
    let count = heads.len();
    for (at, ((index, head), limit)) in heads.into_iter().zip(limits.into_iter().rev()).enumerate() {
        let before = surveyed.segments.last();
        let least = before.map_or(Position(1), |before| before.first);
        let good = head.first.filter(|first| *first >= least);
        let told = good.or_else(|| {
            let room = head.bytes + before.map_or(0, |before| before.bytes);
            let known = before.is_some() || index == 0;
            let most = limit.unwrap_or_else(|| {
                Position(if known {
                    least.0 + room / record::RECORD_MIN
                } else {
                    ANYWHERE
                })
            });
            let only_at_start = unsealed && at + 1 == count;
            first_record(
                disk,
                &head.path,
                surveyed.id,
                least,
                Position(most.0.saturating_sub(1)),
                only_at_start,
            )
        });
        // The very first segment begins with the very first position, whatever is left of it.
        let first = match told {
            _ if good.is_none() && index == 0 && (told.is_some() || limit.is_some()) => Some(Position(1)),
            told => told,
        };
        match first {
            Some(first) => surveyed.segments.push(SurveyedSegment {
                path: head.path,
                first,
                bytes: head.bytes,
                modified: head.modified,
                headless: good.is_none(),
            }),
            None => surveyed.unusable.push(head.path),
        }
    }
}

/// Below this, a position is searched in a segment that nothing is known of: 2^48, 80 years of 100,000 records a second.
const ANYWHERE: u64 = 1 << 48;

/// The position of the first whole record in a file, or of the one that must be at its beginning.
fn first_record(
    disk: &dyn Disk,
    path: &Path,
    id: JournalId,
    least: Position,
    most: Position,
    only_at_start: bool,
) -> Option<Position> {
    let bytes = read_file(disk, path).ok()?;
    let seed = Seed::of(id);
    if only_at_start {
        let record = record::read(bytes.get(layout::HEAD..)?, seed)?;
        return (least..=most).contains(&record.position).then_some(record.position);
    }
    salvage(&bytes, seed, least, most, |_| true)
        .first()
        .map(|it| it.position)
}

/// How far the records of a segment go without a fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix {
    /// The last of them.
    pub end: Position,
    /// Where it ends.
    pub offset: u64,
    /// A read error came, so that there may be more.
    pub unsure: bool,
}

/// Reads a segment from its beginning to the first fault.
fn prefix(disk: &dyn Disk, path: &Path, seed: Seed, first: Position) -> Result<Prefix, JournalError> {
    let mut scan = Scan::open(disk, path, seed, layout::RECORDS).map_err(JournalError::io("open", path))?;
    let mut expected = first;
    let unsure = loop {
        match scan.next(expected) {
            Ok(Some(_)) => expected = expected.next(),
            Ok(None) => break false,
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "a segment of the journal can't be read to its end");
                break true;
            }
        }
    };
    Ok(Prefix {
        end: Position(expected.0 - 1),
        offset: scan.offset(),
        unsure,
    })
}

/// Where a generation ends. If only its last written segment says so, how far that one goes is given too.
pub(super) fn end(disk: &dyn Disk, surveyed: &Surveyed) -> Result<(Position, Option<Prefix>), JournalError> {
    if let Seal::End(end) = surveyed.seal {
        return Ok((end, None));
    }
    let seed = Seed::of(surveyed.id);
    if let Some(last) = surveyed.last_written() {
        let prefix = prefix(disk, &last.path, seed, last.first)?;
        return Ok((prefix.end, Some(prefix)));
    }
    // The last segment is lost with its head, so the end is that of the one before it, which nothing tells but its records.
    let end = surveyed.segments.last().map_or(Position::START, |before| {
        let most = Position(before.first.0 + before.bytes / record::RECORD_MIN);
        let bytes = read_file(disk, &before.path).unwrap_or_default();
        let found = salvage(&bytes, seed, before.first, most, |_| true);
        found.last().map_or(Position(before.first.0 - 1), |it| it.position)
    });
    Ok((end, None))
}

/// A damaged file, as far as it can be read.
pub(super) fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    read_leniently(&*disk.open(path)?, 0, FILE_BYTES_MAX)
}

fn read_seal(disk: &dyn Disk, path: &Path, id: JournalId) -> Result<Seal, JournalError> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seal::Missing),
        opened => opened.map_err(JournalError::io("open", path))?,
    };
    // What can't be read is as good as damaged: the end is then found again.
    let mark = read_leniently(&*file, 0, layout::RECORDS).map_err(JournalError::io("look at", path))?;
    match layout::read_seal_mark(&mark, id) {
        Ok(end) => Ok(Seal::End(end)),
        Err(Fault::Damaged) => Ok(Seal::Damaged),
        Err(Fault::Version(version)) => Err(JournalError::Version {
            path: path.to_owned(),
            version,
        }),
    }
}

/// What a directory holds.
fn names(disk: &dyn Disk, dir: &Path) -> Result<Vec<(String, PathBuf)>, JournalError> {
    let names = disk.list(dir).map_err(JournalError::io("list", dir))?;
    let paths = names.into_iter().map(|name| {
        let path = dir.join(&name);
        (name, path)
    });
    Ok(paths.collect())
}

fn time(at: SystemTime) -> Time {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
