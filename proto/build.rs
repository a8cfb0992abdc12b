//! Generates the protobuf types with protox, so that a build needs no `protoc`.

use std::{env, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=sql");
    let node_service = protox::compile(["proto/node-service.proto"], ["proto"])?;
    let journal = protox::compile(["proto/journal.proto"], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    std::fs::write(out.join("node-service.bin"), node_service.encode_to_vec())?;
    for files in [node_service, journal] {
        tonic_prost_build::configure()
            .codec_path("crate::proto::codec::NamedErrors")
            .compile_fds(files)?;
    }
    Ok(())
}
