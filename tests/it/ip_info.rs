//! Where addresses are: what providers are asked, how often, and what comes of every way to answer. The providers are stand-ins on this machine.

#![allow(clippy::unwrap_used, reason = "a test that can't go on may stop")]

mod answers;
mod pace;
mod process;
mod runs;
mod scene;
mod stand_in;
