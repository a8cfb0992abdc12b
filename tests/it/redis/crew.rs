//! Agents that report who is online, at their pace, and remember what was acknowledged.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::task::JoinSet;
use vpn_core::{
    clock::Clock,
    proto::nodeservice::{HeartbeatRequest, OnlineUser, ReportNodeStatsRequest, ReportOnlineUsersRequest, SystemStats},
};

use super::look::Look;
use crate::{
    faults::fleet::{self, Place, protocol},
    harness::{core::Core, rpc::Agent},
};

/// Users of each node; one of them is on all nodes.
pub const USERS: i64 = 50;

/// The user who is on all nodes.
pub const EVERYWHERE: i64 = 1;

/// So long a key stays.
pub const TTL_MS: i64 = 20_000;

/// How exactly the end of a key must fit its value.
const EXACT_MS: i64 = 1_000;

/// When a node's last two acknowledged reports were sent, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    pub before: i64,
    pub last: i64,
}

/// See the module.
pub struct Crew {
    told: Arc<Mutex<BTreeMap<i64, Told>>>,
    failed: Arc<AtomicU64>,
    agents: BTreeMap<i64, JoinSet<()>>,
}

/// A data folder with so many nodes.
pub fn folder(nodes: i64) -> tempfile::TempDir {
    tokio::task::block_in_place(|| fleet::dir(nodes))
}

/// Core on this folder, with this Redis.
pub async fn start(dir: &Path, redis: &str) -> Core {
    Core::start_with(dir, &[("REDIS_URL", redis), ("LIMITS", "off")]).await
}

/// An agent of this node.
pub async fn agent(core: &Core, node: i64) -> Agent {
    let key = Place::from(core.ports).enroll(node).await;
    Agent::connect(core.ports.grpc, &key)
}

/// The users of a node.
pub fn users(node: i64) -> Vec<i64> {
    std::iter::once(EVERYWHERE)
        .chain((1..USERS).map(|user| node * 1_000 + user))
        .collect()
}

/// The names of the keys of a user of a node.
pub fn names(node: i64, user: i64) -> [String; 2] {
    [
        format!("online:user:{user}"),
        format!("online:inbound:{}:user:{user}", protocol(node)),
    ]
}

/// A report of these users, without addresses.
pub fn report(node: i64, users: &[i64]) -> ReportOnlineUsersRequest {
    let user = |user: &i64| OnlineUser {
        user_id: *user,
        node_protocol_id: protocol(node),
        ips: Vec::new(),
    };
    ReportOnlineUsersRequest {
        users: users.iter().map(user).collect(),
        ..ReportOnlineUsersRequest::default()
    }
}

pub fn now() -> i64 {
    Clock::system().now().millis()
}

impl Crew {
    /// Agents of the nodes 1 to `nodes`, each of which reports at this pace.
    pub async fn new(core: &Core, nodes: i64, pace: Duration) -> Self {
        let mut crew = Self {
            told: Arc::default(),
            failed: Arc::default(),
            agents: BTreeMap::new(),
        };
        for node in 1..=nodes {
            let work = work(
                agent(core, node).await,
                node,
                pace,
                crew.told.clone(),
                crew.failed.clone(),
            );
            let mut tasks = JoinSet::new();
            tasks.spawn(work);
            crew.agents.insert(node, tasks);
        }
        crew
    }

    /// Ends a node's agent; gives when its last two reports were sent.
    pub async fn leave(&mut self, node: i64) -> Told {
        self.agents.remove(&node).unwrap().shutdown().await;
        self.told.lock().unwrap().remove(&node).unwrap()
    }

    /// Calls that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(SeqCst)
    }

    /// Whether all that the crew's reports come to is in Redis; else what is wrong first.
    pub async fn right(&self, look: &Look) -> Result<(), String> {
        let told = self.told.lock().unwrap().clone();
        if told.len() < self.agents.len() {
            return Err("not all have reported".to_owned());
        }
        let keys: Vec<(String, i64)> = told
            .iter()
            .flat_map(|(node, told)| {
                let users = users(*node).into_iter();
                users.flat_map(|user| names(*node, user).map(|name| (name, told.before)))
            })
            .collect();
        let names: Vec<String> = keys.iter().map(|(name, _)| name.clone()).collect();
        let asked = now();
        let held = look.held(&names).await.map_err(|error| error.to_string())?;
        for ((name, before), held) in keys.into_iter().zip(held) {
            let held = held.ok_or_else(|| format!("{name} is missing"))?;
            let remains = held.number() + TTL_MS - asked;
            if held.number() < before || held.ttl > remains + EXACT_MS {
                return Err(format!("{name} is {held:?} at {asked}, reported at {before} or later"));
            }
        }
        let stats: Vec<String> = told.keys().map(|node| format!("node:stats:{node}")).collect();
        let held = look.held(&stats).await.map_err(|error| error.to_string())?;
        match held.iter().position(Option::is_none) {
            Some(at) => Err(format!("{} is missing", stats[at])),
            None => Ok(()),
        }
    }
}

async fn work(agent: Agent, node: i64, pace: Duration, told: Arc<Mutex<BTreeMap<i64, Told>>>, failed: Arc<AtomicU64>) {
    let mut ticks = tokio::time::interval(pace);
    let report = report(node, &users(node));
    loop {
        ticks.tick().await;
        let mut client = agent.client.clone();
        let heartbeat = client.heartbeat(agent.request(HeartbeatRequest::default())).await;
        let stats = ReportNodeStatsRequest {
            system: Some(SystemStats::default()),
            ..ReportNodeStatsRequest::default()
        };
        let stats = client.report_node_stats(agent.request(stats)).await;
        let sent = now();
        let online = client.report_online_users(agent.request(report.clone())).await;
        let errors = [heartbeat.err(), stats.err(), online.err()];
        if errors.iter().any(Option::is_some) {
            eprintln!("node {node}: {errors:?}");
            failed.fetch_add(1, SeqCst);
            continue;
        }
        let mut told = told.lock().unwrap();
        let of_node = told.entry(node).or_default();
        *of_node = Told {
            before: of_node.last,
            last: sent,
        };
    }
}
