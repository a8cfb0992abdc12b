//! What the tests of the whole of Core share: Core as a process or inside this one, and callers that speak to it over real sockets.

pub mod authority;
pub mod catalogue;
pub mod core;
pub mod http;
pub mod inside;
pub mod keys;
pub mod memory;
pub mod patience;
pub mod ports;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod rpc;
pub mod waited;

pub use self::{
    core::SAMPLE,
    patience::{PATIENCE, eventually, within},
};
