//! What the benches of the stores stand on: a PostgreSQL of their own, stores with a catalogue, and how figures are said.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio_postgres::Client;
use vpn_core::{
    model::{Time, catalog::CatalogImport},
    store::{
        Change, Retention, Store,
        postgres::{Address, PostgresStore},
    },
};

use crate::harness::postgres::{Server, connect};

/// As an operator of a small machine sets it up; every commit is durable. No checkpoint falls into a measure by its clock alone.
const SETTINGS: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=512MB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "max_connections=40",
];

/// The schema of Core.
pub const SCHEMA: &str = "core";

/// A server, a store on it, and a connection beside the store.
pub struct Postgres {
    /// What is measured.
    pub store: Arc<PostgresStore>,
    /// What looks on.
    pub client: Client,
    /// Where it is.
    pub url: String,
    server: Server,
}

impl Postgres {
    /// Starts it; the store has its tables, and partitions around `now`.
    pub async fn start(now: Time) -> Self {
        let server = Server::start_with(SETTINGS).await;
        let url = server.url();
        let address = Address::new(&url.as_str().into(), SCHEMA).expect("it is an address");
        let store = PostgresStore::new(&address).expect("it has no certificates");
        store.migrate().await.expect("a new database takes the schema");
        while store.maintain(now, KEEP_ALL).await.expect("there is room").more {}
        let client = connect(&url).await;
        Self {
            store: Arc::new(store),
            client,
            url,
            server,
        }
    }

    /// One more connection.
    pub async fn beside(&self) -> Client {
        connect(&self.url).await
    }

    /// Stops it and starts it again: what it had in its memory is gone.
    pub async fn restart(&mut self) {
        self.server.stop().await;
        self.server.restart().await;
        self.client = self.beside().await;
    }
}

const YEARS: Duration = Duration::from_hours(24 * 365 * 10);

/// Nothing goes while it is measured.
const KEEP_ALL: Retention = Retention {
    usage_minutes: YEARS,
    usage_hours: YEARS,
    session_events: YEARS,
    node_stats: YEARS,
};

/// Nodes with one inbound each, and people with one subscription each, all of the same number.
pub async fn fill(store: &dyn Store, nodes: i64, people: i64) {
    let each = |count: i64, row: &dyn Fn(i64) -> Value| (1..=count).map(row).collect::<Vec<_>>();
    let import = json!({
        "nodes": each(nodes, &|id| {
            json!({"id": id, "name": format!("node-{id}"), "ip": "192.0.2.1", "port": 8000, "region": "de"})
        }),
        "users": each(people, &|id| json!({"id": id, "name": format!("user {id}")})),
        "subscriptions": each(people, &|id| json!({"id": id, "userId": id})),
        "nodeProtocols": each(nodes, &|id| json!({"id": id, "nodeId": id, "protocol": "vless", "port": 443})),
    });
    let import: CatalogImport = serde_json::from_value(import).expect("these are rows");
    let by = Change {
        actor: "bench".to_owned(),
        address: None,
        request_id: None,
        at: Time::default(),
    };
    store.import(&import, &by).await.expect("the store takes them");
}

/// What so many percent of these are at most.
pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() * percent).div_ceil(100) - 1]
}
