//! One record in bytes:
//!
//! ```text
//! length u32 | crc32c u32 | position u64 | payload, `length` bytes        (little endian)
//! ```
//!
//! The checksum is over the journal's id, length, position and payload. The id is in it so that no record of another journal
//! passes for one of this, nor bytes inside a payload that an agent made up to look like one. A length of 0 is the end: a payload
//! is never empty.

use crate::model::{JournalId, Position};

/// Bytes before the payload.
pub(super) const HEAD: usize = 16;

/// The largest payload. A report of 50,000 items is 2 to 4 MB; one of as many items that are all put aside, as JSON that escapes
/// every character of the largest message agents may send, is below 64 MiB.
pub(super) const PAYLOAD_MAX: usize = 64 * 1024 * 1024;

/// The least that a record takes: how many can be in so many bytes follows from it.
pub(super) const RECORD_MIN: u64 = HEAD as u64 + 1;

/// What the checksums of a journal begin with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed(u32);

impl Seed {
    pub fn of(journal: JournalId) -> Self {
        Self(crc32c::crc32c(&journal.0))
    }
}

/// A record that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub position: Position,
    pub payload: &'a [u8],
}

impl Record<'_> {
    /// Bytes in the file.
    pub const fn size(&self) -> usize {
        HEAD + self.payload.len()
    }
}

/// What a head says, before anything is checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub length: usize,
    pub position: Position,
    crc: u32,
}

/// The head at the beginning of `bytes`; none where no record can begin: at the end, or with a length that can't be.
pub(super) fn head(bytes: &[u8]) -> Option<Head> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (crc, rest) = rest.split_first_chunk()?;
    let (position, _) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    (1..=PAYLOAD_MAX).contains(&length).then(|| Head {
        length,
        position: Position(u64::from_le_bytes(*position)),
        crc: u32::from_le_bytes(*crc),
    })
}

/// The record at the beginning of `bytes`, if it is whole and undamaged.
pub(super) fn read(bytes: &[u8], seed: Seed) -> Option<Record<'_>> {
    let head = head(bytes)?;
    let payload = bytes.get(HEAD..HEAD + head.length)?;
    (checksum(seed, head.position, payload) == head.crc).then_some(Record {
        position: head.position,
        payload,
    })
}

/// Fills the head of a frame: [`HEAD`] bytes of room and a payload that is not empty and at most [`PAYLOAD_MAX`] long.
pub(super) fn finish(frame: &mut [u8], seed: Seed, position: Position) {
    let (head, payload) = frame.split_at_mut(HEAD);
    head[..4].copy_from_slice(&length(payload).to_le_bytes());
    head[4..8].copy_from_slice(&checksum(seed, position, payload).to_le_bytes());
    head[8..].copy_from_slice(&position.0.to_le_bytes());
}

fn checksum(seed: Seed, position: Position, payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(seed.0, &length(payload).to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &position.0.to_le_bytes());
    crc32c::crc32c_append(crc, payload)
}

fn length(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seed() -> Seed {
        Seed::of(JournalId([7; 16]))
    }

    fn frame(payload: &[u8], position: u64) -> Vec<u8> {
        let mut frame = vec![0; HEAD];
        frame.extend_from_slice(payload);
        finish(&mut frame, seed(), Position(position));
        frame
    }

    #[test]
    fn comes_back_and_only_in_its_own_journal() {
        let bytes = frame(b"payload", 42);
        let record = read(&bytes, seed()).unwrap();
        assert_eq!(
            (record.position, record.payload, record.size()),
            (Position(42), &b"payload"[..], bytes.len())
        );
        assert_eq!(read(&bytes, Seed::of(JournalId([8; 16]))), None);
    }

    #[test]
    fn every_bit_counts() {
        let good = frame(b"payload", 42);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bad, seed()), None, "bit {bit}");
        }
        for length in 0..good.len() {
            assert_eq!(read(&good[..length], seed()), None, "first {length} bytes");
        }
    }

    #[test]
    fn zeros_are_the_end() {
        assert_eq!(read(&[0; 64], seed()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(read(&bytes, seed()), None);
        }
    }
}
