//! What a first version does: a statement a heartbeat; a transaction a usage report, row by row. Everything else it only takes.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::{Client, NoTls, Statement};
use tonic::{Request, Status, transport::Server};

use super::{
    bare::{HeartbeatRequest, ReportUsageRequest, node_service_server::NodeServiceServer},
    listening::{Decides, Listening},
};

/// As many as such services keep open.
const CONNECTIONS: usize = 10;

/// Its tables: Core's in what they hold, with the key as it is.
pub const TABLES: &str = "CREATE SCHEMA naive; \
    CREATE TABLE naive.nodes (id bigint PRIMARY KEY, auth_key text NOT NULL UNIQUE, revision bigint NOT NULL, \
    status text NOT NULL DEFAULT 'offline', last_seen_at timestamptz); \
    CREATE TABLE naive.subscriptions (id bigint PRIMARY KEY, traffic_bytes_up bigint NOT NULL DEFAULT 0, \
    traffic_bytes_down bigint NOT NULL DEFAULT 0); \
    CREATE TABLE naive.usage (node_id bigint NOT NULL, user_id bigint NOT NULL, subscription_id bigint, \
    node_protocol_id bigint NOT NULL, recorded_at timestamptz NOT NULL, bytes_up bigint NOT NULL, bytes_down bigint NOT NULL); \
    CREATE INDEX ON naive.usage (user_id, recorded_at);";

struct Naive {
    lines: Vec<Mutex<Prepared>>,
    turn: AtomicUsize,
}

struct Prepared {
    client: Client,
    heartbeat: Statement,
    node: Statement,
    insert: Statement,
    grow: Statement,
}

impl Prepared {
    async fn connect(url: &str) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection to the database broke: {error}");
            }
        });
        let heartbeat =
            "UPDATE naive.nodes SET last_seen_at = now(), status = 'online' WHERE auth_key = $1 RETURNING revision";
        let insert = "INSERT INTO naive.usage (node_id, user_id, subscription_id, node_protocol_id, recorded_at, bytes_up, bytes_down) \
                      VALUES ($1, $2, $3, $4, $5::text::timestamptz, $6, $7)";
        let grow = "UPDATE naive.subscriptions SET traffic_bytes_up = traffic_bytes_up + $2, \
                    traffic_bytes_down = traffic_bytes_down + $3 WHERE id = $1";
        Ok(Self {
            heartbeat: client.prepare(heartbeat).await?,
            node: client.prepare("SELECT id FROM naive.nodes WHERE auth_key = $1").await?,
            insert: client.prepare(insert).await?,
            grow: client.prepare(grow).await?,
            client,
        })
    }

    async fn take_usage(&mut self, key: &str, report: &ReportUsageRequest) -> Result<(), tokio_postgres::Error> {
        let transaction = self.client.transaction().await?;
        let node: i64 = transaction.query_one(&self.node, &[&key]).await?.get(0);
        for row in &report.entries {
            transaction
                .execute(
                    &self.insert,
                    &[
                        &node,
                        &row.user_id,
                        &row.subscription_id,
                        &row.node_protocol_id,
                        &row.recorded_at,
                        &row.bytes_up,
                        &row.bytes_down,
                    ],
                )
                .await?;
            transaction
                .execute(&self.grow, &[&row.subscription_id, &row.bytes_up, &row.bytes_down])
                .await?;
        }
        transaction.commit().await
    }
}

impl Naive {
    async fn line(&self) -> MutexGuard<'_, Prepared> {
        let turn = self.turn.fetch_add(1, Relaxed) % self.lines.len();
        self.lines[turn].lock().await
    }
}

fn key<T>(request: &Request<T>) -> Result<String, Status> {
    let key = request.metadata().get("x-node-auth-key");
    let key = key.and_then(|key| key.to_str().ok());
    Ok(key.ok_or_else(|| Status::unauthenticated("no key"))?.to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn failed(error: tokio_postgres::Error) -> Status {
    Status::internal(error.to_string())
}

impl Decides for Naive {
    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Result<bool, Status> {
        let key = key(&request)?;
        let line = self.line().await;
        let row = line.client.query_one(&line.heartbeat, &[&key]).await.map_err(failed)?;
        Ok(request.get_ref().revision.unwrap_or(0) < row.get(0))
    }

    async fn usage(&self, request: Request<ReportUsageRequest>) -> Result<(), Status> {
        let key = key(&request)?;
        let mut line = self.line().await;
        line.take_usage(&key, request.get_ref()).await.map_err(failed)
    }
}

/// Serves until it is killed.
pub fn serve(listener: TcpListener, url: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut lines = Vec::new();
        for _ in 0..CONNECTIONS {
            lines.push(Mutex::new(Prepared::connect(url).await?));
        }
        let naive = Naive {
            lines,
            turn: AtomicUsize::new(0),
        };
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Server::builder()
            .tcp_nodelay(true)
            .add_service(NodeServiceServer::new(Listening(naive)))
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener))
            .await?;
        Ok(())
    })
}
