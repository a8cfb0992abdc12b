//! Clients that speak TLS, or hardly anything.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A connection to Core, as plain text.
pub async fn plain(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.expect("Core listens")
}

/// A connection behind TLS; an error if Core shows a certificate that this authority has not signed, or speaks none of these protocols.
pub async fn shaken(port: u16, authority: &str, protocols: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(authority.as_bytes()).expect("it is PEM");
    roots.add(root).expect("it is an authority");
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    let name = ServerName::try_from("127.0.0.1").expect("it is an address");
    TlsConnector::from(Arc::new(config))
        .connect(name, plain(port).await)
        .await
}

/// Reads until Core closes the connection.
///
/// # Panics
/// If it does not in this time.
pub async fn closed<S: AsyncRead + Unpin>(stream: &mut S, limit: Duration, what: &str) {
    let reading = async {
        let mut taken = [0; 4_096];
        // An error is a close too: the kernel says "reset" when something was still on its way.
        while stream.read(&mut taken).await.is_ok_and(|bytes| bytes > 0) {}
    };
    let in_time = tokio::time::timeout(limit, reading).await;
    assert!(in_time.is_ok(), "{what}: still open after {limit:?}");
}
