//! Core inside the test on a clock that the test moves, and nodes that say who is online.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use vpn_core::{
    app::Parts,
    clock::Clock,
    events::Events,
    model::event::EventId,
    proto::nodeservice::{HeartbeatRequest, OnlineIp, OnlineUser, ReportOnlineUsersRequest},
};

use crate::{
    faults::fleet::Place,
    harness::{
        http::register,
        inside::{Inside, settings},
        rpc::Agent,
    },
};

/// So many register at the same time.
const AT_ONCE: usize = 8;

/// See the module.
pub struct World {
    pub inside: Inside,
    pub clock: Clock,
    pub nodes: Vec<Node>,
    pub dir: TempDir,
    redis: Option<String>,
}

/// A node.
#[derive(Clone)]
pub struct Node {
    pub id: i64,
    pub agent: Agent,
}

impl World {
    /// Core and so many nodes, on a clock that begins with now.
    pub async fn new(nodes: usize) -> Self {
        Self::with(nodes, None).await
    }

    /// The same with a mirror, if one is given.
    pub async fn with(nodes: usize, redis: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Clock::system().now());
        let inside = start(&dir, &clock, redis.as_deref()).await;
        let nodes = enroll(&inside, nodes).await;
        Self {
            inside,
            clock,
            nodes,
            dir,
            redis,
        }
    }

    /// Stops Core, lets the clock go on, and starts it anew.
    pub async fn restart(self, pause: Duration) -> Self {
        let Self {
            inside,
            clock,
            nodes,
            dir,
            redis,
        } = self;
        inside.stop().await;
        clock.advance(pause);
        let inside = start(&dir, &clock, redis.as_deref()).await;
        let reconnect = |node: Node| Node {
            agent: Agent::connect(inside.ports.grpc, &node.agent.key),
            ..node
        };
        Self {
            nodes: nodes.into_iter().map(reconnect).collect(),
            inside,
            clock,
            dir,
            redis,
        }
    }

    /// The clock goes on.
    pub fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// How often the watchdog has looked.
    pub async fn looks(&self) -> u64 {
        let metrics = metrics(&self.inside).await;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("core_watchdog_looks_total "));
        line.map_or(0, |count| count.parse().unwrap())
    }

    /// All who are online as the admin API lists them: node, user.
    pub async fn online(&self, query: &str) -> Vec<(i64, i64)> {
        let page = self.inside.admin().get(&format!("/admin/online{query}")).await;
        let place = |item: &Value| (item["nodeId"].as_i64().unwrap(), item["userId"].as_i64().unwrap());
        page["items"].as_array().unwrap().iter().map(place).collect()
    }

    /// The data of all events of this type so far. Presence works behind the answer of a report: an answer of its own shows that it has caught
    /// up.
    pub async fn told(&self, kind: &str) -> Vec<Value> {
        self.online("?limit=1").await;
        told(&self.inside.events, kind)
    }
}

/// The data of all events of this type so far.
pub fn told(events: &Events, kind: &str) -> Vec<Value> {
    let all = events.after(EventId::default(), usize::MAX).events;
    all.iter()
        .filter(|event| event.what.kind() == kind)
        .map(|event| event.data())
        .collect()
}

/// What `/metrics` says.
pub async fn metrics(inside: &Inside) -> String {
    let request = inside.admin().request(reqwest::Method::GET, "/metrics");
    request.send().await.unwrap().text().await.unwrap()
}

async fn start(dir: &TempDir, clock: &Clock, redis: Option<&str>) -> Inside {
    let parts = Parts {
        clock: clock.clone(),
        ..Parts::default()
    };
    let mut settings = settings(dir.path());
    settings.redis_url = redis.map(Into::into);
    Inside::try_start_with(settings, parts).await.unwrap()
}

/// Registers so many nodes.
pub async fn enroll(inside: &Inside, nodes: usize) -> Vec<Node> {
    let place = Place::from(inside.ports);
    let code = place.code(&json!({"uses": nodes.max(1)})).await;
    let mut nodes: Vec<Node> = stream::iter(0..nodes)
        .map(|n| {
            let code = &code;
            async move {
                let (id, key) = register(place.http, code, &format!("node {n}")).await;
                Node {
                    id,
                    agent: Agent::connect(place.grpc, &key),
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    nodes.sort_by_key(|node| node.id);
    nodes
}

impl Node {
    /// Reports these users, each on the inbound 7 and from an address of his own.
    pub async fn reports(&self, users: impl IntoIterator<Item = i64>) {
        let users = users.into_iter().map(|id| user(id, 7, &address(id))).collect();
        self.reports_as(users).await;
    }

    /// Reports this set.
    pub async fn reports_as(&self, users: Vec<OnlineUser>) {
        let request = ReportOnlineUsersRequest {
            users,
            ..ReportOnlineUsersRequest::default()
        };
        let mut agent = self.agent.clone();
        let request = agent.request(request);
        assert!(agent.client.report_online_users(request).await.unwrap().into_inner().ok);
    }

    /// Says that it lives.
    pub async fn beats(&self) {
        let mut agent = self.agent.clone();
        let request = agent.request(HeartbeatRequest::default());
        assert!(agent.client.heartbeat(request).await.unwrap().into_inner().ok);
    }
}

/// A user on an inbound, from one address; the time is that of the report.
pub fn user(id: i64, protocol: i64, ip: &str) -> OnlineUser {
    OnlineUser {
        user_id: id,
        node_protocol_id: protocol,
        ips: vec![OnlineIp {
            ip: ip.to_owned(),
            last_seen: String::new(),
        }],
    }
}

/// The address of a user.
pub fn address(user: i64) -> String {
    let [_, a, b, c] = u32::try_from(user).unwrap().to_be_bytes();
    format!("198.{a}.{b}.{c}")
}
