//! gRPC: one acceptor, one server a shard, seven calls.

pub mod connection;
pub mod convert;
pub mod error;
pub mod layer;
pub mod node_service;
pub mod server;
