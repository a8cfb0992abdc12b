//! Who may come in, and how often.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its parts too")]

mod canary;
mod limits;
mod machine;
mod neighbours;
mod pace;
