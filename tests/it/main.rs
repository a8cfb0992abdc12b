//! Core against real parts: one binary, one subject a module.

mod journal;
mod store;
