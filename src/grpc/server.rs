//! One acceptor deals connections to the shards in turn; each shard serves its connections on the thread that owns the actors of the
//! nodes which arrived there, so that a call is decided without waking another thread.

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix::ArbiterHandle;
use futures_util::future::select_ok;
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
};
use tokio_rustls::TlsAcceptor;
use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_health::server::HealthReporter;

use crate::{
    auth::Authenticator,
    clock::Clock,
    connection::Limits,
    node::registry::Nodes,
    proto::{NODE_SERVICE, nodeservice::node_service_server::NodeServiceServer},
};

use super::{
    connection::{Door, NodesDoor},
    node_service::Service,
    reading::REQUEST_MAX,
};

/// The largest message that is sent: a config of 64 MiB and its frame.
const ANSWER_MAX: usize = 65 << 20;

/// New connections that may wait for a busy shard. When all shards have so many, the others wait in the kernel's queue.
const BACKLOG: usize = 1_024;

/// The gRPC side of Core.
pub struct GrpcServer {
    health: HealthReporter,
    stop: watch::Sender<bool>,
    acceptor: tokio::task::JoinHandle<()>,
    shards: Vec<tokio::task::JoinHandle<()>>,
}

/// What the server serves.
#[derive(Clone)]
pub struct Served {
    /// Who calls.
    pub auth: Arc<Authenticator>,
    /// Whom it concerns.
    pub nodes: Nodes,
    /// Now.
    pub clock: Clock,
    /// What is spoken below; none = plain text.
    pub tls: Option<TlsAcceptor>,
    /// What a connection may do.
    pub limits: Limits,
}

impl GrpcServer {
    /// Serves on this listener, on these shards.
    pub async fn start(listener: TcpListener, shards: &[ArbiterHandle], served: &Served) -> anyhow::Result<Self> {
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<NodeServiceServer<Service>>().await;
        let (stop, stopped) = watch::channel(false);
        let mut doors = Vec::new();
        let mut running = Vec::new();
        for (shard, arbiter) in shards.iter().enumerate() {
            let (door, connections) = mpsc::channel(BACKLOG);
            doors.push(door);
            let others = Routes::new(health_service.clone())
                .add_service(reflection().build_v1()?)
                .add_service(reflection().build_v1alpha()?);
            running.push(serve(
                arbiter,
                connections,
                Door::new(node_service(shard, served), others, served.tls.clone(), served.limits),
                stopped.clone(),
            ));
        }
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let acceptor = tokio::spawn(accept(listener, doors, stopped));
        Ok(Self {
            health,
            stop,
            acceptor,
            shards: running,
        })
    }

    /// Says to health checks that no more calls should come.
    pub async fn drain(&self) {
        self.health.set_not_serving::<NodeServiceServer<Service>>().await;
    }

    /// Takes no more connections, and finishes the calls in flight.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in std::iter::once(self.acceptor).chain(self.shards) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the gRPC server fell");
            }
        }
    }
}

fn node_service(shard: usize, served: &Served) -> NodesDoor {
    let (auth, nodes, clock) = (Arc::clone(&served.auth), served.nodes.at(shard), served.clock.clone());
    Arc::new(move |peer| limited(Service::new(Arc::clone(&auth), nodes.clone(), clock.clone(), peer)))
}

fn limited(service: Service) -> NodeServiceServer<Service> {
    NodeServiceServer::new(service)
        .max_decoding_message_size(REQUEST_MAX)
        .max_encoding_message_size(ANSWER_MAX)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Zstd)
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(NODE_SERVICE)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Accepts until it is told to stop. A connection goes to the next shard that has room.
async fn accept(
    listener: tokio::net::TcpListener,
    doors: Vec<mpsc::Sender<std::net::TcpStream>>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut turn = 0;
    loop {
        let next = async {
            let room = room(&doors, turn).await?;
            Some((room, listener.accept().await))
        };
        let next = tokio::select! {
            next = next => next,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let Some((room, accepted)) = next else {
            return tracing::error!("no gRPC shard is left to serve connections");
        };
        turn = (turn + 1) % doors.len();
        let connection = accepted.and_then(|(stream, _)| {
            stream.set_nodelay(true)?;
            stream.into_std()
        });
        match connection {
            Ok(connection) => room.send(connection),
            Err(error) => {
                metrics::counter!("core_grpc_accept_failures_total").increment(1);
                tracing::warn!(%error, "a connection can't be accepted");
                // Mostly too many open files: accepting again at once would spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Room at the door whose turn it is, or at the next one that has some; waited for while none has. `None` when all are closed.
async fn room(
    doors: &[mpsc::Sender<std::net::TcpStream>],
    turn: usize,
) -> Option<mpsc::Permit<'_, std::net::TcpStream>> {
    let (before, from) = doors.split_at(turn);
    let in_turn = from.iter().chain(before).map(|door| Box::pin(door.reserve()));
    let (room, _) = select_ok(in_turn).await.ok()?;
    Some(room)
}

/// Runs a server on a shard's own thread, beside its actors; the task that is given back ends with it.
fn serve(
    arbiter: &ArbiterHandle,
    connections: mpsc::Receiver<std::net::TcpStream>,
    door: Door,
    stopped: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<()> {
    let (ended, end) = tokio::sync::oneshot::channel();
    let serving = async move {
        serve_all(connections, door, stopped).await;
        if ended.send(()).is_err() {
            tracing::debug!("nobody waits for the shard's end");
        }
    };
    let spawned = arbiter.spawn(serving);
    tokio::spawn(async move {
        if !spawned || end.await.is_err() {
            tracing::error!("a gRPC shard's thread is gone");
        }
    })
}

/// Serves what comes until it is told to stop, then waits for all connections to end.
async fn serve_all(
    mut connections: mpsc::Receiver<std::net::TcpStream>,
    door: Door,
    mut stopped: watch::Receiver<bool>,
) {
    let (open, mut all_closed) = mpsc::channel::<()>(1);
    loop {
        let connection = tokio::select! {
            Some(connection) = connections.recv() => connection,
            _ = stopped.wait_for(|stopped| *stopped) => break,
            else => break,
        };
        let tcp = match TcpStream::from_std(connection) {
            Ok(tcp) => tcp,
            Err(error) => {
                tracing::warn!(%error, "a connection can't be served");
                continue;
            }
        };
        let serving = door.clone().serve(tcp, stopped.clone());
        let open = open.clone();
        tokio::task::spawn_local(async move {
            serving.await;
            drop(open);
        });
    }
    drop((connections, open));
    // Nothing is ever sent: it ends when the last connection has let go of its end.
    while all_closed.recv().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERD: usize = 40;

    #[tokio::test]
    async fn a_herd_waits_while_no_shard_has_room() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let (first, mut one) = mpsc::channel(1);
        let (second, mut other) = mpsc::channel(1);
        let accepting = tokio::spawn(accept(listener, vec![first, second], stopped));

        let mut herd = Vec::new();
        for _ in 0..HERD {
            herd.push(TcpStream::connect(address).await.unwrap());
        }
        while one.is_empty() || other.is_empty() {
            tokio::task::yield_now().await;
        }
        let mut dealt = [0, 0];
        while !herd.is_empty() {
            let (served, shard) = tokio::select! {
                Some(served) = one.recv() => (served, 0),
                Some(served) = other.recv() => (served, 1),
            };
            dealt[shard] += 1;
            let peer = served.peer_addr().unwrap();
            let mine = herd.iter().position(|it| it.local_addr().unwrap() == peer);
            herd.swap_remove(mine.unwrap());
        }
        assert!(dealt.iter().all(|&count| count > HERD / 4), "{dealt:?}");

        stop.send_replace(true);
        accepting.await.unwrap();
    }
}
