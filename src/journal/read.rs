//! Reads what the flush takes over: record after record, and around damage.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use super::{
    JournalError, Part, Piece, ReadLimit,
    layout::RECORDS,
    ledger::{Cursor, Place, Rest, Segment, locked},
    payload,
    record::{Record, Seed},
    scan::{Scan, salvage},
    shared::Shared,
    survey,
};
use crate::model::Position;

/// See [`super::Journal::read_part`].
pub(super) fn read(shared: &Shared, part: Part, limit: ReadLimit) -> Result<Piece, JournalError> {
    let Part { journal, after, upto } = part;
    let mut take = Take::new(after, limit);
    while take.piece.upto < upto {
        match shared.place(journal, take.next())? {
            Place::End => break,
            Place::Gone(last) => take.cover(last.min(upto)),
            Place::Segment { segment, seed, last } => {
                let reader = Reader {
                    shared,
                    segment: &segment,
                    seed,
                    last: last.min(upto),
                };
                if reader.read(&mut take)? == Room::Full {
                    break;
                }
            }
        }
    }
    Ok(take.piece)
}

/// What is collected for one call.
struct Take {
    limit: ReadLimit,
    rows: usize,
    bytes: usize,
    piece: Piece,
}

#[derive(Debug, PartialEq, Eq)]
enum Room {
    Left,
    Full,
}

/// What became of a record.
enum Offer {
    Taken,
    Full,
    /// It is whole, but this version of Core can't read what it says.
    Unreadable,
}

impl Take {
    const fn new(after: Position, limit: ReadLimit) -> Self {
        Self {
            limit,
            rows: 0,
            bytes: 0,
            piece: Piece {
                entries: Vec::new(),
                upto: after,
                lost: 0,
            },
        }
    }

    const fn next(&self) -> Position {
        Position(self.piece.upto.0.saturating_add(1))
    }

    /// Goes on to `last`; what was not taken before it is lost.
    fn cover(&mut self, last: Position) {
        self.piece.lost += last.0.saturating_sub(self.piece.upto.0);
        self.piece.upto = self.piece.upto.max(last);
    }

    fn offer(&mut self, record: Record<'_>) -> Offer {
        let bytes = self.bytes + record.size();
        if !self.piece.entries.is_empty() && (bytes > self.limit.bytes || self.rows >= self.limit.rows) {
            return Offer::Full;
        }
        let Some(entry) = payload::decode(record.payload) else {
            return Offer::Unreadable;
        };
        let rows = self.rows + payload::rows(&entry);
        if !self.piece.entries.is_empty() && rows > self.limit.rows {
            return Offer::Full;
        }
        self.cover(Position(record.position.0 - 1));
        self.piece.upto = record.position;
        self.piece.entries.push((record.position, entry));
        self.rows = rows;
        self.bytes = bytes;
        Offer::Taken
    }
}

/// Reads one segment, up to `last`: every record up to there must be whole, since it was durable or is sealed.
struct Reader<'a> {
    shared: &'a Shared,
    segment: &'a Segment,
    seed: Seed,
    last: Position,
}

impl Reader<'_> {
    fn read(&self, take: &mut Take) -> Result<Room, JournalError> {
        if locked(&self.segment.rest).is_some() {
            return self.read_rest(take);
        }
        let Cursor { mut next, offset } = self.begin(take.next());
        let Some(mut scan) = self.open(offset)? else {
            return self.read_rest(take);
        };
        while next <= self.last {
            let offset = scan.offset();
            // A read error is damage too: what can still be read is then found block by block.
            let Ok(Some(record)) = scan.next(next) else {
                return self.read_rest(take);
            };
            if next >= take.next() {
                match take.offer(record) {
                    Offer::Taken => {}
                    Offer::Unreadable => return self.read_rest(take),
                    Offer::Full => {
                        *locked(&self.segment.cursor) = Cursor { next, offset };
                        return Ok(Room::Full);
                    }
                }
            }
            next = next.next();
        }
        *locked(&self.segment.cursor) = Cursor {
            next,
            offset: scan.offset(),
        };
        Ok(Room::Left)
    }

    /// Where to begin to read `wanted`: where the last reader stopped, if that is not behind it.
    fn begin(&self, wanted: Position) -> Cursor {
        let cursor = *locked(&self.segment.cursor);
        if cursor.next <= wanted {
            return cursor;
        }
        Cursor {
            next: self.segment.first,
            offset: RECORDS,
        }
    }

    /// Reads what is whole in a damaged segment.
    fn read_rest(&self, take: &mut Take) -> Result<Room, JournalError> {
        let rest = self.rest()?;
        let from = rest.found.partition_point(|found| found.position < take.next());
        if let Some(mut scan) = self.open(RECORDS)? {
            for found in rest.found[from..].iter().take_while(|it| it.position <= self.last) {
                scan.go_on_at(found.offset);
                // What can't be read now was whole before: it is gone, and `cover` counts it.
                let Ok(Some(record)) = scan.next(found.position) else {
                    continue;
                };
                if let Offer::Full = take.offer(record) {
                    return Ok(Room::Full);
                }
            }
        }
        take.cover(self.last);
        Ok(Room::Left)
    }

    /// The whole records of a damaged segment; found once, and again only where the segment has grown.
    fn rest(&self) -> Result<Arc<Rest>, JournalError> {
        let mut known = locked(&self.segment.rest);
        if let Some(rest) = known.as_ref().filter(|rest| rest.last >= self.last) {
            return Ok(Arc::clone(rest));
        }
        let path = &self.segment.path;
        let bytes = match survey::read_file(&*self.shared.disk, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(JournalError::io("read", path))?,
        };
        let readable = |payload: &[u8]| payload::decode(payload).is_some();
        let rest = Arc::new(Rest {
            last: self.last,
            found: salvage(&bytes, self.seed, self.segment.first, self.last, readable),
        });
        let lost = |rest: &Rest| (rest.last.0 + 1 - self.segment.first.0).saturating_sub(rest.found.len() as u64);
        let new = lost(&rest).saturating_sub(known.as_deref().map_or(0, lost));
        if self.segment.reported.swap(true, Ordering::Relaxed) {
            self.shared.quarantine.count(new);
        } else {
            let (disk, quarantine) = (&*self.shared.disk, &self.shared.quarantine);
            quarantine.report(disk, path, new, "records of the segment, or the end of it");
        }
        *known = Some(Arc::clone(&rest));
        Ok(rest)
    }

    /// None: the file is gone.
    fn open(&self, offset: u64) -> Result<Option<Scan>, JournalError> {
        match Scan::open(&*self.shared.disk, &self.segment.path, self.seed, offset) {
            Ok(scan) => Ok(Some(scan)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(JournalError::io("open", &self.segment.path)(error)),
        }
    }
}
