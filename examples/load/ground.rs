//! A PostgreSQL with a fleet in it: nodes with keys, users who are clients of all of them.

use http::HeaderValue;
use secrecy::ExposeSecret;
use vpn_core::{
    clock::Clock,
    model::{
        NodeId,
        catalog::CatalogImport,
        secrets::{SecretHash, new_node_key},
    },
    store::{
        Change, Store as _,
        postgres::{Address, PostgresStore},
    },
};

use super::{
    harness::{
        catalogue::catalogue,
        postgres::{Server, connect},
    },
    naive,
};

/// As an operator of a small machine sets it up; every commit is durable.
pub const SETTINGS: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=512MB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "max_connections=60",
];

/// The schema of Core.
pub const SCHEMA: &str = "core";

/// See the module.
pub struct Ground {
    server: Server,
    /// The keys of the nodes, the first one's first.
    pub keys: Vec<HeaderValue>,
}

impl Ground {
    /// Starts the database, and fills it.
    pub async fn start(nodes: i64, users: i64) -> Self {
        let server = Server::start_with(SETTINGS).await;
        let address = Address::new(&server.url().into(), SCHEMA).unwrap();
        let store = PostgresStore::new(&address).unwrap();
        store.migrate().await.unwrap();
        let by = Change {
            actor: "load".to_owned(),
            address: None,
            request_id: None,
            at: Clock::system().now(),
        };
        let import: CatalogImport = serde_json::from_value(catalogue(nodes, users)).unwrap();
        store.import(&import, &by).await.unwrap();
        let keys: Vec<_> = (1..=nodes).map(|id| new_node_key(NodeId(id))).collect();
        let texts: Vec<&str> = keys.iter().map(ExposeSecret::expose_secret).collect();
        let hashes: Vec<Vec<u8>> = texts.iter().map(|key| SecretHash::of(key).0.to_vec()).collect();
        let ids: Vec<i64> = (1..=nodes).collect();
        let client = connect(&server.url()).await;
        let sql = format!(
            "INSERT INTO {SCHEMA}.node_keys (node_id, key_hash) SELECT * FROM unnest($1::bigint[], $2::bytea[])"
        );
        client.execute(&sql, &[&ids, &hashes]).await.unwrap();
        client.batch_execute(naive::TABLES).await.unwrap();
        let sql = "INSERT INTO naive.nodes (id, auth_key, revision) SELECT id, key, 1 FROM unnest($1::bigint[], $2::text[]) AS it (id, key)";
        client.execute(sql, &[&ids, &texts]).await.unwrap();
        let sql = "INSERT INTO naive.subscriptions (id) SELECT generate_series(1, $1::bigint)";
        client.execute(sql, &[&users]).await.unwrap();
        client.batch_execute("ANALYZE").await.unwrap();
        let keys = texts.iter().map(|key| key.parse().unwrap()).collect();
        Self { server, keys }
    }

    /// Where the database is.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Stops the database.
    pub async fn stop(&mut self) {
        self.server.stop().await;
    }

    /// Starts it again.
    pub async fn restart(&mut self) {
        self.server.restart().await;
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> i64 {
        i64::try_from(self.keys.len()).unwrap()
    }

    /// The key of a node.
    pub fn key(&self, node: i64) -> &HeaderValue {
        &self.keys[usize::try_from(node - 1).unwrap()]
    }
}
