//! Peers that ask and take it back, over and over.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use vpn_core::{app::Parts, clock::Stopwatch};

use super::peer::{closed, plain, shaken};
use crate::{
    harness::{
        authority::Authority,
        core::sample_dir,
        http::send,
        inside::{Inside, settings},
    },
    postgres::figures::{figure, is_long},
};

/// Requests on HTTP/2, each taken back at once.
fn resets(count: u32) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, 4, 0, 0, &[]);
    for stream in (0..count).map(|at| 2 * at + 1) {
        // POST, http, /, and an authority that has no name.
        frame(&mut bytes, 1, 4, stream, &[0x83, 0x86, 0x84]);
        frame(&mut bytes, 3, 0, stream, &8_u32.to_be_bytes());
    }
    bytes
}

fn frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

async fn storm(stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8], what: &str) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    // The short form runs beside other tests.
    let limit = Duration::from_secs(if is_long() { 1 } else { 5 });
    let watch = Stopwatch::start();
    // Whether all of it can be written is Core's choice.
    let storming = async {
        drop(writer.write_all(bytes).await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = closed(&mut reader, limit, what) => {}
        () = storming => {}
    }
    eprintln!("{what}: sent away after {:?}", watch.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_resets_is_sent_away() {
    let (authority, dir) = (Authority::new(), sample_dir());
    let (certificate, key) = authority.sign("127.0.0.1");
    let path = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let mut behind_tls = settings(dir.path());
    behind_tls.tls_cert = path("cert.pem", &certificate);
    behind_tls.tls_key = path("key.pem", &key);
    let bytes = resets(figure("CORE_TEST_RESETS", 10_000, 100_000));

    let core = Inside::start(dir.path(), Parts::default()).await;
    storm(plain(core.ports.grpc).await, &bytes, "gRPC").await;
    core.stop().await;

    let core = Inside::try_start_with(behind_tls, Parts::default()).await.unwrap();
    let stream = shaken(core.ports.grpc, &authority.pem, &[b"h2"]).await.unwrap();
    storm(stream, &bytes, "gRPC behind TLS").await;
    let root = reqwest::Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    let ready = send(client.get(format!("https://127.0.0.1:{}/readyz", core.ports.http))).await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    core.stop().await;
}
