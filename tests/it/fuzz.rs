//! Fuzz targets: what strangers, nodes, admins, providers, files and a damaged disk may say, changed in every way, through the real code.
//!
//! They run on stable Rust, by `bolero`. Inputs are valid messages that were changed ([`mutate`]), so that they reach what is behind the
//! decoders. Chance chooses the changes: there is no feedback from coverage.
//!
//! A fault is a panic anywhere in the process, also where a runtime catches it; an answer that says that Core failed; an input that takes
//! longer than 1 s, alone too; more than 512 MiB of memory. An input that makes one is kept in `crashes/<target>/`, and tried first from then on.
//! `CORE_TEST_INPUTS` says how many inputs each target gets: 20,000 if it says nothing.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

mod admin_bodies;
mod calls;
mod direct;
mod engine;
mod forwarded;
mod import;
mod journal;
mod keys;
mod mutate;
mod node_bodies;
mod panics;
mod providers;
mod rpcs;
mod world;
