//! Core when something fails: the process, an answer, the store, the disk.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its parts too")]

mod away;
mod cloned;
mod fleet;
mod full_disk;
mod kill;
mod ledger;
mod memory;
mod process;
mod register;
mod restart;
mod revival;
mod rolling;
mod stop;
pub mod store;
mod sums;
