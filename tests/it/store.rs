//! What every store must do, run on each of them.

#![allow(clippy::unwrap_used, reason = "a test that can't go on may stop")]

mod admin;
mod catalog;
mod codes;
mod flush;
mod keys;
mod lost_answers;
mod nodes;
mod reports;
mod sqlite;
mod world;
