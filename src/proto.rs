//! The generated protobuf types, and the codec that they are read with.

pub mod codec;

/// The service that agents talk to (`proto/node-service.proto`).
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    reason = "generated"
)]
pub mod nodeservice {
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

/// `proto/node-service.proto` as a `FileDescriptorSet`, for gRPC reflection.
pub const NODE_SERVICE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/node-service.bin"));
