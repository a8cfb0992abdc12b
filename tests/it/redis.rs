//! Redis as memory is: what is in it, and when, whatever becomes of it.

#![allow(clippy::unwrap_used, reason = "a test may fail, in its parts too")]

mod crew;
mod keys;
mod look;
mod outages;
mod settings;
mod stream;
