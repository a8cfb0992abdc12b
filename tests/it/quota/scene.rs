//! A Core with nodes, users and a store that obeys the test.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use vpn_core::{
    app::Parts,
    catalog::seat::{RENDERER, Renderer},
    clock::Clock,
    model::{Time, catalog::CatalogImport},
    store::{Change, Store as _},
};

use super::nodes::Node;
use crate::{
    faults::store::{FaultyStore, Mood},
    harness::{
        eventually,
        http::{register, send},
        inside::Inside,
    },
};

/// The inbound of a node.
pub const fn protocol(node: i64) -> i64 {
    node * 10 + 1
}

/// What a test wants there to be: every user has a subscription, a link and credentials of the same number.
pub struct Plan {
    pub nodes: i64,
    pub users: i64,
    /// Who is on which node.
    pub on: fn(node: i64, user: i64) -> bool,
    /// What a subscription has besides.
    pub subscription: fn(user: i64) -> Value,
    /// A clock that the test holds; none = the machine's.
    pub held: Option<Clock>,
    pub renderer: Renderer,
    /// The configs are larger than the usual client takes: nobody pulls them at the start.
    pub large: bool,
}

impl Plan {
    /// All users on all nodes, without limits.
    pub const fn new(nodes: i64, users: i64) -> Self {
        Self {
            nodes,
            users,
            on: |_, _| true,
            subscription: |_| json!({}),
            held: None,
            renderer: RENDERER,
            large: false,
        }
    }

    fn clock(&self) -> Clock {
        self.held.clone().unwrap_or_else(Clock::system)
    }

    fn import(&self) -> CatalogImport {
        let each = |count: i64, row: &dyn Fn(i64) -> Value| (1..=count).map(row).collect::<Vec<_>>();
        let subscription = |id: i64| {
            let mut row = json!({"id": id, "userId": id});
            let more = (self.subscription)(id);
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            row
        };
        let pairs = (1..=self.nodes).flat_map(|node| (1..=self.users).map(move |user| (node, user)));
        let import = json!({
            "nodes": each(self.nodes, &|id| {
                json!({"id": id, "name": format!("node-{id}"), "ip": "192.0.2.1", "port": 8000, "region": "de"})
            }),
            "users": each(self.users, &|id| json!({"id": id, "name": format!("user {id}")})),
            "subscriptions": each(self.users, &subscription),
            "links": each(self.users, &|id| json!({"id": id, "userId": id, "name": "phone"})),
            "subscriptionLinks": each(self.users, &|id| {
                let uuid = uuid::Uuid::from_u128(id.unsigned_abs().into());
                json!({"id": id, "uuid": uuid, "linkId": id, "subscriptionId": id})
            }),
            "nodeProtocols": each(self.nodes, &|id| {
                json!({"id": protocol(id), "nodeId": id, "protocol": "vless", "port": 443})
            }),
            "nodeProtocolLinks": pairs
                .filter(|(node, user)| (self.on)(*node, *user))
                .map(|(node, user)| json!({"protoId": protocol(node), "lsId": user}))
                .collect::<Vec<_>>(),
            "nodeOutbounds": each(self.nodes, &|id| {
                json!({"id": id, "nodeId": id, "tag": format!("exit-{id}"), "protocol": "freedom"})
            }),
        });
        serde_json::from_value(import).unwrap()
    }
}

/// See the module.
pub struct Scene {
    core: Option<Inside>,
    pub store: Arc<FaultyStore>,
    pub nodes: Vec<Node>,
    plan: Plan,
    dir: TempDir,
}

impl Scene {
    /// Core runs, and every node has applied its config.
    pub async fn new(plan: Plan) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = FaultyStore::open(&dir.path().join("core.db"), Mood::Well);
        store.migrate().await.unwrap();
        let by = Change {
            actor: "test".to_owned(),
            address: None,
            request_id: None,
            at: plan.clock().now(),
        };
        store.import(&plan.import(), &by).await.unwrap();
        let mut scene = Self {
            core: None,
            store,
            nodes: Vec::new(),
            plan,
            dir,
        };
        scene.start().await;
        for id in 1..=scene.plan.nodes {
            let code = scene.post("/admin/registration-codes", &json!({"nodeId": id})).await;
            let ports = scene.core().ports;
            let (_, key) = register(ports.http, code["code"].as_str().unwrap(), "any").await;
            scene.nodes.push(Node::new(id, ports.grpc, key));
        }
        if !scene.plan.large {
            scene.apply_all().await;
        }
        scene
    }

    fn core(&self) -> &Inside {
        self.core.as_ref().unwrap()
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("core.db")
    }

    pub fn node(&self, id: i64) -> &Node {
        self.nodes.iter().find(|node| node.id == id).unwrap()
    }

    /// Core starts, with whatever the store does now.
    pub async fn start(&mut self) {
        let parts = Parts {
            clock: self.plan.clock(),
            store: Some(Arc::clone(&self.store) as Arc<_>),
            renderer: self.plan.renderer,
            ..Parts::default()
        };
        let core = Inside::start(self.dir.path(), parts).await;
        self.nodes.iter_mut().for_each(|node| node.moved(core.ports.grpc));
        self.core = Some(core);
    }

    pub async fn stop(&mut self) {
        self.core.take().unwrap().stop().await;
    }

    /// All nodes pull and apply.
    pub async fn apply_all(&self) {
        join_all(self.nodes.iter().map(Node::apply)).await;
    }

    /// Waits for it; a clock that stands moves on meanwhile, for changes wait for quiet.
    pub async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        eventually(what, || async {
            if is().await {
                return Some(());
            }
            self.tick(Duration::from_millis(20));
            None
        })
        .await;
    }

    /// Moves the clock on, if the test holds it.
    pub fn tick(&self, span: Duration) {
        if let Some(clock) = &self.plan.held {
            clock.advance(span);
        }
    }

    /// Waits until exactly these users are on this node.
    pub async fn until_on(&self, node: i64, users: &[i64]) {
        let what = format!("{users:?} on node {node}");
        self.until(&what, async || self.users(node).await == users).await;
    }

    /// Who is on this node now.
    pub async fn users(&self, node: i64) -> Vec<i64> {
        self.node(node).pull().await.users.into_iter().collect()
    }

    /// Waits until the store says so of a subscription.
    pub async fn until_status(&self, subscription: i64, status: &str) {
        let what = format!("subscription {subscription} is {status} in the store");
        self.until(&what, async || self.column::<String>(subscription, "status") == status)
            .await;
    }

    /// Waits until the store has counted so many bytes in the period.
    pub async fn until_counted(&self, subscription: i64, bytes: i64) {
        let what = format!("subscription {subscription} has used {bytes}");
        self.until(&what, async || {
            self.column::<i64>(subscription, "period_bytes") == bytes
        })
        .await;
    }

    /// A column of a subscription.
    pub fn column<T: rusqlite::types::FromSql>(&self, subscription: i64, column: &str) -> T {
        let db = rusqlite::Connection::open(self.file()).unwrap();
        let query = format!("SELECT {column} FROM subscriptions WHERE id = ?1");
        db.query_row(&query, [subscription], |row| row.get(0)).unwrap()
    }

    /// What a panel does to the store.
    pub fn sql(&self, statement: &str) {
        let db = rusqlite::Connection::open(self.file()).unwrap();
        db.busy_timeout(Duration::from_secs(5)).unwrap();
        db.execute_batch(statement).unwrap();
    }

    pub async fn get(&self, path: &str) -> Value {
        self.core().admin().get(path).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.send(Method::POST, path, body).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Value {
        self.send(Method::PATCH, path, body).await
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Value {
        let answer = send(self.core().admin().request(method, path).json(body)).await;
        let good = [StatusCode::OK, StatusCode::CREATED].contains(&answer.status);
        assert!(good, "{path}: {} {}", answer.status, answer.body);
        answer.body
    }
}

/// A clock that the test holds, at this moment.
pub fn clock(at: &str) -> Clock {
    Clock::manual(Time::parse_rfc3339(at).unwrap())
}
