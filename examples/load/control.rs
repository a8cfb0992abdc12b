//! The bare server: tonic, the same messages, the same layout, and no logic.

use std::net::TcpListener;

use futures_util::StreamExt as _;
use tokio::{net::TcpStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, transport::Server};

use super::{
    bare::{HeartbeatRequest, ReportUsageRequest, node_service_server::NodeServiceServer},
    listening::{Decides, Listening},
};

/// Connections that may wait for a thread.
const BACKLOG: usize = 1_024;

struct Control;

impl Decides for Control {
    async fn heartbeat(&self, _: Request<HeartbeatRequest>) -> Result<bool, Status> {
        Ok(true)
    }

    async fn usage(&self, _: Request<ReportUsageRequest>) -> Result<(), Status> {
        Ok(())
    }
}

/// Serves until it is killed.
pub fn serve(listener: &TcpListener) -> anyhow::Result<()> {
    let shards = std::thread::available_parallelism()?.get();
    let mut doors = Vec::new();
    for _ in 0..shards {
        let (door, connections) = mpsc::channel(BACKLOG);
        doors.push(door);
        std::thread::spawn(move || shard(connections));
    }
    for (turn, stream) in listener.incoming().enumerate() {
        let stream = stream?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        doors[turn % shards].blocking_send(stream)?;
    }
    Ok(())
}

fn shard(connections: mpsc::Receiver<std::net::TcpStream>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async move {
        Server::builder()
            .add_service(NodeServiceServer::new(Listening(Control)))
            .serve_with_incoming(ReceiverStream::new(connections).map(TcpStream::from_std))
            .await
            .unwrap();
    });
}
