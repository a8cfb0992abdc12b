//! A node: Core as a process, the example agent as a task of the test, and Xray behind it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};
use vpn_core::proto::xray::app::stats::command::{QueryStatsRequest, stats_service_client::StatsServiceClient};

use super::{
    catalogue::{Person, Servers},
    engine,
    node_agent::{self, AgentSettings, EngineSettings, Ledger},
};
use crate::harness::{self, core::Core, eventually};

/// Bytes up and down by a name.
pub type Bytes = BTreeMap<String, (i64, i64)>;

/// See the module.
pub struct Node {
    /// Core.
    pub core: Core,
    dir: PathBuf,
    stop: watch::Sender<bool>,
    agent: JoinHandle<anyhow::Result<()>>,
}

impl Node {
    /// Starts all of it, and waits until Xray runs with these people.
    pub async fn start(dir: &Path, servers: &Servers, people: &[Person]) -> Self {
        import(dir, &servers.import(people));
        let core = Core::start(dir).await;
        let code = harness::core::run(dir, &["code", "new", "--node", "1"]);
        let settings = AgentSettings {
            core_url: format!("http://127.0.0.1:{}", core.ports.http),
            grpc_url: format!("http://127.0.0.1:{}", core.ports.grpc),
            insecure: true,
            code: code.trim().to_owned(),
            name: "node-1".to_owned(),
            ip: "127.0.0.1".to_owned(),
            port: 0,
            listen_ip: std::net::Ipv4Addr::LOCALHOST.into(),
            region: "test".to_owned(),
            key_file: dir.join("node-key.json"),
            usage_every: Duration::from_millis(200),
            heartbeat_every: Duration::from_millis(200),
            engines: EngineSettings {
                xray: Some(engine::command()),
                telemt: None,
                folder: dir.join("engines"),
            },
        };
        let (stop, stopped) = watch::channel(false);
        let agent = tokio::spawn(node_agent::run(settings, Arc::new(Ledger::default()), stopped));
        let node = Self {
            core,
            dir: dir.to_owned(),
            stop,
            agent,
        };
        node.synced(1).await;
        node
    }

    /// Imports the catalogue as it is now, and waits until the node runs it.
    pub async fn change(&self, catalogue: &Value) {
        let revision = self.seen().await["revision"].as_i64().expect("a revision");
        import(&self.dir, catalogue);
        self.synced(revision + 1).await;
    }

    /// Imports a catalogue that makes a config which the node's engine refuses, and waits until Core knows that.
    pub async fn refused(&self, catalogue: &Value) {
        import(&self.dir, catalogue);
        eventually("the config is refused", || async {
            (self.seen().await["syncStatus"] == "failed").then_some(())
        })
        .await;
    }

    /// Waits until the node runs the config, of this revision or a later one.
    async fn synced(&self, revision: i64) {
        eventually("the node runs its config", || async {
            let node = self.seen().await;
            (node["syncStatus"] == "synced" && node["appliedRevision"].as_i64() >= Some(revision)).then_some(())
        })
        .await;
    }

    /// The node as an admin sees it.
    pub async fn seen(&self) -> Value {
        self.core.admin().get("/admin/nodes/1").await
    }

    /// The process id of Xray.
    pub fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.dir.join("engines/xray.pid")).expect("Xray runs");
        text.trim().parse().expect("it is one process")
    }

    /// Xray's own counters of a kind, `user` or `outbound`, by email or tag.
    pub async fn counted(&self, kind: &str) -> Bytes {
        let text = std::fs::read_to_string(self.dir.join("engines/xray.json")).expect("Xray runs");
        let config: Value = serde_json::from_str(&text).expect("it is JSON");
        let url = format!("http://{}", config["api"]["listen"].as_str().expect("it has an API"));
        let mut stats = StatsServiceClient::connect(url).await.expect("Xray's API listens");
        let query = QueryStatsRequest {
            pattern: format!("{kind}>>>"),
            reset: false,
        };
        let answer = stats.query_stats(query).await.expect("Xray answers").into_inner();
        let mut bytes = Bytes::new();
        for stat in answer.stat {
            let parts: Vec<&str> = stat.name.split(">>>").collect();
            let sum = bytes.entry(parts[1].to_owned()).or_default();
            match parts[3] {
                "uplink" => sum.0 += stat.value,
                _ => sum.1 += stat.value,
            }
        }
        bytes.retain(|_, bytes| *bytes != (0, 0));
        bytes
    }

    /// What `usage_minutes` holds, by email.
    pub fn usage(&self) -> Bytes {
        self.read(
            "SELECT 'u' || user_id || '.l' || user_id || '.s' || user_id || '.i' || node_protocol_id,
             sum(bytes_up), sum(bytes_down) FROM usage_minutes GROUP BY user_id, node_protocol_id",
        )
    }

    /// What subscriptions have grown by, by id.
    pub fn subscriptions(&self) -> Bytes {
        self.read("SELECT CAST(id AS TEXT), traffic_bytes_up, traffic_bytes_down FROM subscriptions")
    }

    /// What outbounds have grown by, by tag.
    pub fn outbounds(&self) -> Bytes {
        self.read("SELECT tag, traffic_bytes_up, traffic_bytes_down FROM node_outbounds")
    }

    fn read(&self, sql: &str) -> Bytes {
        let store = Connection::open_with_flags(self.dir.join("core.db"), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let store = store.expect("the store is there");
        let mut rows = store.prepare(sql).expect("the tables are there");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))));
        let mut bytes: Bytes = rows.expect("it can be read").map(|row| row.expect("a row")).collect();
        bytes.retain(|_, bytes| *bytes != (0, 0));
        bytes
    }

    /// Stops the agent as an operator would, then Core.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.agent.await.expect("the agent ends").expect("it ends well");
        self.core.stop().await;
    }
}

/// The sums of all inbounds by user, with the name of the subscription: it has the user's id here.
pub fn by_user(usage: &Bytes) -> Bytes {
    let mut sums = Bytes::new();
    for (email, (up, down)) in usage {
        let user = email.split('.').next().expect("an email").trim_start_matches('u');
        let sum = sums.entry(user.to_owned()).or_default();
        sum.0 += up;
        sum.1 += down;
    }
    sums
}

fn import(dir: &Path, catalogue: &Value) {
    let file = dir.join("catalogue.json");
    std::fs::write(&file, catalogue.to_string()).expect("there is room");
    harness::core::run(dir, &["catalog", "import", file.to_str().expect("names are ASCII")]);
}
