//! Core against real parts: one binary, one subject a module.

mod admin;
mod contract;
mod doors;
mod faults;
mod fuzz;
mod harness;
mod ip_info;
mod journal;
mod listeners;
mod node_js;
mod postgres;
mod presence;
mod quota;
mod redis;
mod store;
mod xray;

/// As the program has, so that what is measured in this process is as it would be there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
