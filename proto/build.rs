//! Generates the protobuf types with protox, so that a build needs no `protoc`.

use std::{env, path::PathBuf};

use prost::Message as _;

/// What an agent needs of Xray's API.
const XRAY: &[&str] = &[
    "proto/xray/handler.proto",
    "proto/xray/hysteria.proto",
    "proto/xray/shadowsocks.proto",
    "proto/xray/shadowsocks_2022.proto",
    "proto/xray/stats.proto",
    "proto/xray/trojan.proto",
    "proto/xray/vless.proto",
    "proto/xray/vmess.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=sql");
    let node_service = protox::compile(["proto/node-service.proto"], ["proto"])?;
    let journal = protox::compile(["proto/journal.proto"], ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    std::fs::write(out.join("node-service.bin"), node_service.encode_to_vec())?;
    // The same service with messages and codec as they are generated, for the bare server that the load generator compares with.
    std::fs::create_dir_all(out.join("bare"))?;
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(out.join("bare"))
        .compile_fds(node_service.clone())?;
    for files in [node_service, journal] {
        tonic_prost_build::configure()
            .codec_path("crate::proto::codec::NamedErrors")
            .extern_path(".nodeservice.UsageEntry", "crate::proto::usage_entry::UsageEntry")
            .compile_fds(files)?;
    }
    // Xray is the server. Names of its types travel as text, hence the `Name` trait.
    let mut named = tonic_prost_build::Config::new();
    named.enable_type_names();
    tonic_prost_build::configure()
        .build_server(false)
        .include_file("xray.rs")
        .compile_fds_with_config(protox::compile(XRAY, ["proto"])?, named)?;
    Ok(())
}
