//! What is spoken on the three listeners, and how long a peer may keep them waiting.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its parts too")]

mod bombs;
mod limits;
mod peer;
mod resets;
mod tls;
