//! Core, the control plane for fleets of VPN nodes: see `docs/ARCHITECTURE.md`.

pub mod clock;
pub mod journal;
pub mod model;
pub mod proto;
pub mod store;
