//! What every store must do, run on each of them.

#![allow(clippy::unwrap_used, reason = "a test that can't go on may stop")]

mod admin;
mod catalog;
mod changes;
mod codes;
mod deletions;
mod delta;
mod flush;
mod history;
mod keys;
mod leases;
mod lists;
mod long_lists;
mod lost_answers;
mod nodes;
mod place;
mod poison;
mod postgres;
mod quotas;
mod reports;
mod samples;
mod sightings;
mod sqlite;
mod suspects;
mod upkeep;
mod usage;
mod world;
