//! What a look at something found: good or bad, and how to mend it.

use serde::Serialize;

use super::named;

named! {
    /// How bad it is.
    Level {
        /// As it should be.
        Ok = "ok",
        /// It works; something may come of it.
        Warn = "warn",
        /// It does not work, or loses something.
        Bad = "bad",
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is, in a sentence without its full stop.
    pub what: String,
    /// What to do about it, in a sentence; none if nothing is to be done.
    pub mend: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn ok(what: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            what: what.into(),
            mend: None,
        }
    }

    /// It works; something may come of it.
    pub fn warn(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            what: what.into(),
            mend: Some(mend.into()),
        }
    }

    /// It does not work, or loses something.
    pub fn bad(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            level: Level::Bad,
            ..Self::warn(what, mend)
        }
    }
}
