//! Core on PostgreSQL; and that the servers and the proxy of these tests do what they say.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its parts too")]

mod proxy;
mod server;
