//! What the users of the tests reach through the node: a server that sends as many bytes as it is asked for.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use crate::harness::PATIENCE;

/// A server on loopback. Every 8 bytes are a number, and that many bytes are the answer.
pub struct Target {
    /// Where.
    pub port: u16,
    serving: JoinHandle<()>,
}

impl Target {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there are ports");
        let port = listener.local_addr().expect("it is bound").port();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that goes is not the server's affair.
                tokio::spawn(async move { answer(stream).await.ok() });
            }
        });
        Self { port, serving }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let piece = vec![7; 64 << 10];
    loop {
        let mut left = usize::try_from(stream.read_u64().await?).map_err(io::Error::other)?;
        while left > 0 {
            let length = left.min(piece.len());
            stream.write_all(&piece[..length]).await?;
            left -= length;
        }
    }
}

/// A connection through the node to the target.
pub struct Conversation(TcpStream);

impl Conversation {
    /// Through the client Xray's listener on this port.
    pub async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        Self(stream.expect("the client Xray listens"))
    }

    /// Asks for so many bytes and reads them all.
    pub async fn download(&mut self, bytes: usize) -> io::Result<()> {
        let exchange = async {
            self.0.write_u64(bytes as u64).await?;
            let mut answer = vec![0; bytes];
            self.0.read_exact(&mut answer).await?;
            assert!(
                answer.iter().all(|byte| *byte == 7),
                "the bytes are those of the target"
            );
            Ok(())
        };
        timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
    }
}
