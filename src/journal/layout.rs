//! How a journal lies on the disk: names, the head of a segment, and the mark that seals a generation.
//!
//! ```text
//! <dir>/lock                                            held while a journal is open
//! <dir>/000001-<journal id>/00000000.seg                a generation and its segments
//! <dir>/000001-<journal id>/sealed                      where the generation ends
//! <dir>/000001-<journal id>/00000001.tmp                a segment in the making
//! <dir>/000001-<journal id>.deleted/                    a generation in the course of removal
//! <dir>/000001-<journal id>.00000000.seg.quarantined    a damaged file, kept for people
//! <dir>/000001-<journal id>.00000000.seg.tail.quarantined    what was cut off behind a torn end, if it held whole records
//! ```

use crate::model::{JournalId, Position};

/// Version of what is written; a file of another is refused, never guessed at.
const VERSION: u32 = 1;

const SEGMENT_MAGIC: [u8; 8] = *b"CORE-SEG";
const SEAL_MAGIC: [u8; 8] = *b"CORE-END";

/// Bytes of a head and of a seal mark: magic, version, 4 zeros, journal id, a position, zeros, and crc32c of all that.
pub(super) const HEAD: usize = 64;

/// Records begin here in a segment.
pub(super) const RECORDS: u64 = HEAD as u64;

pub(super) const LOCK: &str = "lock";
pub(super) const SEAL: &str = "sealed";
pub(super) const SEGMENT: &str = ".seg";
pub(super) const TEMPORARY: &str = ".tmp";
pub(super) const DELETED: &str = ".deleted";
pub(super) const QUARANTINED: &str = ".quarantined";

/// The last position that can be: a store keeps it in a signed column.
const POSITION_MAX: u64 = i64::MAX.cast_unsigned();

/// Why a head or a seal mark says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not what was written.
    Damaged,
    /// It is of another version.
    Version(u32),
}

/// The head of a segment whose first record has the position `first`.
pub(super) fn segment_head(journal: JournalId, first: Position) -> [u8; HEAD] {
    block(SEGMENT_MAGIC, journal, first)
}

/// The first position of the segment with this head.
pub(super) fn read_segment_head(bytes: &[u8], journal: JournalId) -> Result<Position, Fault> {
    match read_block(bytes, SEGMENT_MAGIC, journal)? {
        Position::START => Err(Fault::Damaged),
        first => Ok(first),
    }
}

/// The mark of a generation that ends with the position `end`.
pub(super) fn seal_mark(journal: JournalId, end: Position) -> [u8; HEAD] {
    block(SEAL_MAGIC, journal, end)
}

/// Where the generation with this mark ends.
pub(super) fn read_seal_mark(bytes: &[u8], journal: JournalId) -> Result<Position, Fault> {
    read_block(bytes, SEAL_MAGIC, journal)
}

fn block(magic: [u8; 8], journal: JournalId, position: Position) -> [u8; HEAD] {
    let mut block = [0; HEAD];
    block[..8].copy_from_slice(&magic);
    block[8..12].copy_from_slice(&VERSION.to_le_bytes());
    block[16..32].copy_from_slice(&journal.0);
    block[32..40].copy_from_slice(&position.0.to_le_bytes());
    let crc = crc32c::crc32c(&block[..HEAD - 4]);
    block[HEAD - 4..].copy_from_slice(&crc.to_le_bytes());
    block
}

fn read_block(bytes: &[u8], magic: [u8; 8], journal: JournalId) -> Result<Position, Fault> {
    let block: &[u8; HEAD] = bytes.first_chunk().ok_or(Fault::Damaged)?;
    let (body, crc) = block.split_at(HEAD - 4);
    if crc != crc32c::crc32c(body).to_le_bytes() || body[..8] != magic {
        return Err(Fault::Damaged);
    }
    let number = |at: usize, bytes: usize| {
        let digits = body[at..at + bytes].iter().rev();
        digits.fold(0, |sum, &byte| (sum << 8) | u64::from(byte))
    };
    let version = u32::try_from(number(8, 4)).unwrap_or(u32::MAX);
    if version != VERSION {
        return Err(Fault::Version(version));
    }
    if body[16..32] != journal.0 {
        return Err(Fault::Damaged);
    }
    match number(32, 8) {
        position @ ..=POSITION_MAX => Ok(Position(position)),
        _ => Err(Fault::Damaged),
    }
}

/// The directory of a generation.
pub(super) fn generation_name(number: u64, journal: JournalId) -> String {
    format!("{number:06}-{journal}")
}

/// The generation of a directory; none if it is not one's name.
pub(super) fn parse_generation(name: &str) -> Option<(u64, JournalId)> {
    let (number, hex) = name.split_once('-')?;
    let number = digits(number, 6)?;
    if hex.len() != 32 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let id = u128::from_str_radix(hex, 16).ok()?;
    Some((number, JournalId(id.to_be_bytes())))
}

/// The file of a segment.
pub(super) fn segment_name(index: u64) -> String {
    format!("{index:08}{SEGMENT}")
}

/// The file of a segment in the making.
pub(super) fn temporary_name(index: u64) -> String {
    format!("{index:08}{TEMPORARY}")
}

/// The index of a segment's file; none if it is not one's name.
pub(super) fn parse_segment(name: &str) -> Option<u64> {
    digits(name.strip_suffix(SEGMENT)?, 8)
}

/// Longer numbers are not ours: a start or a segment a microsecond would take 30,000 years to get there.
const DIGITS_MAX: usize = 18;

fn digits(text: &str, least: usize) -> Option<u64> {
    let all = (least..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOURNAL: JournalId = JournalId([0xab; 16]);

    #[test]
    fn heads_and_seals_come_back() {
        let head = segment_head(JOURNAL, Position(77));
        assert_eq!(read_segment_head(&head, JOURNAL), Ok(Position(77)));
        assert_eq!(read_segment_head(&head, JournalId([1; 16])), Err(Fault::Damaged));
        assert_eq!(read_seal_mark(&head, JOURNAL), Err(Fault::Damaged), "a head is no seal");
        let seal = seal_mark(JOURNAL, Position::START);
        assert_eq!(read_seal_mark(&seal, JOURNAL), Ok(Position::START));
    }

    #[test]
    fn every_bit_of_a_head_counts() {
        for bit in 0..HEAD * 8 {
            let mut head = segment_head(JOURNAL, Position(77));
            head[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_segment_head(&head, JOURNAL), Err(Fault::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut head = segment_head(JOURNAL, Position(77));
        head[8] = 9;
        let crc = crc32c::crc32c(&head[..HEAD - 4]);
        head[HEAD - 4..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(read_segment_head(&head, JOURNAL), Err(Fault::Version(9)));
    }

    #[test]
    fn names_come_back_and_strangers_do_not() {
        assert_eq!(parse_generation(&generation_name(12, JOURNAL)), Some((12, JOURNAL)));
        assert_eq!(
            parse_generation(&generation_name(1_234_567, JOURNAL)),
            Some((1_234_567, JOURNAL))
        );
        assert_eq!(parse_segment(&segment_name(3)), Some(3));
        for name in [
            "",
            "lock",
            "000001",
            "000001-ab",
            "1-+b",
            "00000001.tmp",
            "+0000001.seg",
            "x.seg",
        ] {
            assert_eq!((parse_generation(name), parse_segment(name)), (None, None), "{name}");
        }
        assert_eq!(
            parse_generation(&format!("{}.deleted", generation_name(1, JOURNAL))),
            None
        );
    }
}
