//! One acceptor deals connections to the shards in turn; each shard serves its connections on the thread that owns the actors of the
//! nodes which arrived there, so that a call is decided without waking another thread.

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix::ArbiterHandle;
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

/// New connections that may wait for a busy shard before the next one is asked. A herd of 10,000 nodes is accepted at some thousand a
/// second, and a shard takes one in microseconds.
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
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let connection = accepted.and_then(|(stream, _)| {
            stream.set_nodelay(true)?;
            stream.into_std()
        });
        match connection {
            Ok(connection) => {
                turn = (turn + 1) % doors.len();
                deal(connection, &doors, turn);
            }
            Err(error) => {
                metrics::counter!("core_grpc_accept_failures_total").increment(1);
                tracing::warn!(%error, "a connection can't be accepted");
                // Mostly too many open files: accepting again at once would spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn deal(connection: std::net::TcpStream, doors: &[mpsc::Sender<std::net::TcpStream>], turn: usize) {
    let mut connection = connection;
    for step in 0..doors.len() {
        match doors[(turn + step) % doors.len()].try_send(connection) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) => connection = back,
        }
    }
    metrics::counter!("core_grpc_connections_dropped_total").increment(1);
    tracing::warn!("a connection was dropped: every shard is busy");
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
