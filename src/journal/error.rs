//! What can go wrong, in words for people.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::model::JournalId;

/// Why an entry was not made durable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The journal is as large as it may be.
    #[error("the journal is full: it holds {bytes} bytes of at most {max_bytes}, and none of them may go yet")]
    Full {
        /// What its segments take.
        bytes: u64,
        /// What they may take.
        max_bytes: u64,
    },
    /// The disk failed, or has no room.
    #[error("the disk under the journal failed: {0}")]
    Disk(Arc<io::Error>),
    /// The disk is slower than what comes in, and the queue stayed full for too long.
    #[error("the journal has no room in its queue: the disk is too slow")]
    Busy,
    /// The journal is closed.
    #[error("the journal is closed")]
    Closed,
    /// No record can be so large.
    #[error("an entry of {bytes} bytes is too large for the journal, which takes {max}")]
    TooLarge {
        /// What it takes as a record.
        bytes: usize,
        /// What a record may take.
        max: usize,
    },
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> Self {
        Self::Disk(Arc::new(error))
    }
}

/// Why a journal could not be opened, read or trimmed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has it open, or another part of this one.
    #[error("the journal in {} is in use", .0.display())]
    InUse(PathBuf),
    /// The operating system refused.
    #[error("could not {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// Another version of Core wrote this.
    #[error("{} is of version {version}, which this version of Core can't read", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// Two directories claim to be the same generation.
    #[error("{} and {} are copies of one generation: remove one", .0.display(), .1.display())]
    Twice(PathBuf, PathBuf),
    /// No generation has this id.
    #[error("there is no journal {0}")]
    Unknown(JournalId),
    /// The options make no sense.
    #[error("the journal can't be kept like this: {0}")]
    Options(&'static str),
}

impl JournalError {
    pub(super) fn io<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}
