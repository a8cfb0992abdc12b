//! Who is online, on one node and on all, and what is told of it.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its parts too")]

mod arrivals;
mod lists;
mod restart;
mod scale;
mod watchdog;
mod world;
