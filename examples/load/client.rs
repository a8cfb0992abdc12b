//! One connection: HTTP/2 frames, and of gRPC only what says whether a call went well.

use anyhow::Context as _;
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderValue, Request};
use tokio::net::TcpStream;

use super::calls::Kind;

/// A line to a server. Clones share the connection.
#[derive(Clone)]
pub struct Line {
    send: SendRequest<Bytes>,
    origin: String,
}

impl Line {
    /// Connects.
    pub async fn open(port: u16) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(4 << 20)
            .initial_connection_window_size(16 << 20)
            .handshake(tcp)
            .await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection broke: {error}");
            }
        });
        Ok(Self {
            send,
            origin: format!("http://127.0.0.1:{port}"),
        })
    }

    /// One call; the server must say that it went well.
    pub async fn call(&self, kind: Kind, key: &HeaderValue, message: Bytes) -> anyhow::Result<()> {
        let request = Request::post(format!("{}{}", self.origin, kind.path()))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-node-auth-key", key)
            .body(())?;
        let mut send = self.send.clone().ready().await?;
        let (answer, mut body) = send.send_request(request, false)?;
        body.send_data(message, true)?;
        let (head, mut body) = answer.await?.into_parts();
        if is_status(&head.headers) {
            return went_well(&head.headers);
        }
        while let Some(data) = body.data().await {
            let room = data?.len();
            body.flow_control().release_capacity(room)?;
        }
        let trailers = body.trailers().await?;
        went_well(&trailers.context("an answer without trailers")?)
    }
}

fn is_status(headers: &HeaderMap) -> bool {
    headers.contains_key("grpc-status")
}

fn went_well(headers: &HeaderMap) -> anyhow::Result<()> {
    let status = headers.get("grpc-status").context("no grpc-status")?;
    let message = headers.get("grpc-message");
    anyhow::ensure!(status == "0", "status {status:?}: {message:?}");
    Ok(())
}
