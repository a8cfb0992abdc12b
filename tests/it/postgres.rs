//! Core on PostgreSQL; and that the servers and the proxy of these tests do what they say.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its parts too")]

mod away;
mod books;
mod commands;
mod commits;
pub mod figures;
mod kills;
mod moving;
mod odd;
mod panel;
mod proxy;
mod restored;
mod scene;
mod server;
mod slow;
mod sums;
mod twice;
