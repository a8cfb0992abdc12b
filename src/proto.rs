//! The generated protobuf types, and the codec that they are read with.

mod bounds;
pub mod codec;
mod usage_entry;

/// The service that agents talk to (`proto/node-service.proto`).
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    reason = "generated"
)]
pub mod nodeservice {
    pub use super::usage_entry::UsageEntry;

    tonic::include_proto!("nodeservice");
}

/// What journal records hold (`proto/journal.proto`).
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    reason = "generated"
)]
pub mod journal {
    tonic::include_proto!("journal");
}

/// What an agent needs of Xray's API (`proto/xray/*.proto`): clients only, in modules named as Xray's packages.
pub use self::generated::xray;

#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    reason = "generated"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/xray.rs"));
}

/// `proto/node-service.proto` as a `FileDescriptorSet`, for gRPC reflection.
pub const NODE_SERVICE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/node-service.bin"));
