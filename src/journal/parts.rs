//! The parts that a reader of everything can take in any order, or several at a time: the journal's segments.

use super::{JournalError, shared::Shared};
use crate::model::{JournalId, Position};

/// What is in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its generation.
    pub journal: JournalId,
    /// It begins after this position.
    pub after: Position,
    /// It ends with this one.
    pub upto: Position,
}

/// See [`super::Journal::parts`].
pub(super) fn parts(shared: &Shared, journal: JournalId, after: Position) -> Result<Vec<Part>, JournalError> {
    shared.with_volume(journal, |volume, durable| {
        let parts = volume.segments.iter().enumerate().map(|(index, held)| Part {
            journal,
            after: after.max(Position(held.segment.first.0.saturating_sub(1))),
            upto: volume.last_of(index, durable),
        });
        parts.filter(|part| part.upto > part.after).collect()
    })
}
