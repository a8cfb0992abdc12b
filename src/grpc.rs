//! gRPC: one acceptor, one server a shard, seven calls.

pub mod connection;
pub mod convert;
pub mod error;
pub mod meters;
pub mod node_service;
pub mod reading;
pub mod server;
