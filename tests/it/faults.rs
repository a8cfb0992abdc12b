//! Core when something fails: the process, an answer, the store, the disk.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its parts too")]

mod away;
mod cloned;
pub mod crowd;
pub mod fleet;
mod full_disk;
pub mod kill;
pub mod ledger;
mod machines;
mod memory;
mod process;
mod register;
pub mod replay;
mod restart;
mod revival;
mod rolling;
mod stop;
pub mod store;
pub mod sums;
