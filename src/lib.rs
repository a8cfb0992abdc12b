//! Core, the control plane for fleets of VPN nodes: see `docs/ARCHITECTURE.md`.

pub mod admin;
pub mod app;
pub mod auth;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod data_dir;
pub mod events;
pub mod flush;
pub mod grpc;
pub mod http;
pub mod jobs;
pub mod journal;
pub mod live_fetch;
pub mod mirror;
pub mod model;
pub mod node;
pub mod presence;
pub mod proto;
pub mod providers;
pub mod redis;
pub mod store;
pub mod telemetry;
pub mod tls;
