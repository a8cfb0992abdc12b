//! A PostgreSQL with a fleet in it: nodes with keys, users who are clients of all of them.

use http::HeaderValue;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
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
    harness::postgres::{Server, connect},
    naive,
};

/// As an operator of a small machine sets it up; every commit is durable.
const SETTINGS: &[&str] = &[
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=512MB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "max_connections=60",
];

/// The schema of Core.
pub const SCHEMA: &str = "core";

/// The inbound of a node.
pub const fn protocol(node: i64) -> i64 {
    node * 10 + 1
}

/// An outbound of a node.
pub fn exit(node: i64) -> String {
    format!("exit-{node}")
}

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
        store.import(&catalogue(nodes, users), &by).await.unwrap();
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

    /// How many nodes there are.
    pub fn nodes(&self) -> i64 {
        i64::try_from(self.keys.len()).unwrap()
    }

    /// The key of a node.
    pub fn key(&self, node: i64) -> &HeaderValue {
        &self.keys[usize::try_from(node - 1).unwrap()]
    }
}

fn catalogue(nodes: i64, users: i64) -> CatalogImport {
    let each = |count: i64, row: &dyn Fn(i64) -> Value| (1..=count).map(row).collect::<Vec<_>>();
    let import = json!({
        "nodes": each(nodes, &|id| {
            json!({"id": id, "name": format!("node-{id}"), "ip": "192.0.2.1", "port": 8000, "region": "de"})
        }),
        "users": each(users, &|id| json!({"id": id, "name": format!("user {id}")})),
        "subscriptions": each(users, &|id| json!({"id": id, "userId": id})),
        "links": each(users, &|id| json!({"id": id, "userId": id, "name": "phone"})),
        "subscriptionLinks": each(users, &|id| {
            json!({"id": id, "uuid": uuid::Uuid::from_u128(id.unsigned_abs().into()), "linkId": id, "subscriptionId": id})
        }),
        "nodeProtocols": each(nodes, &|id| json!({"id": protocol(id), "nodeId": id, "protocol": "vless", "port": 443})),
        "nodeProtocolLinks": (1..=nodes)
            .flat_map(|id| (1..=users).map(move |user| json!({"protoId": protocol(id), "lsId": user})))
            .collect::<Vec<_>>(),
        "nodeOutbounds": each(nodes, &|id| json!({"id": id, "nodeId": id, "tag": exit(id), "protocol": "freedom"})),
    });
    serde_json::from_value(import).unwrap()
}
