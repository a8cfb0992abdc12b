//! A cluster of three masters, each with a replica.

use std::{net::TcpListener, time::Duration};

use super::{Server, ask};
use crate::harness::{eventually, ports::quiet_port};

/// After so many milliseconds without an answer a member counts as gone.
pub const NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// See the module.
pub struct Cluster {
    members: Vec<Server>,
}

impl Cluster {
    /// Starts one; gives it when all slots are served and every master has its replica.
    pub async fn start() -> Self {
        let timeout = NODE_TIMEOUT.as_millis().to_string();
        let mut members = Vec::new();
        for _ in 0..6 {
            let settings = [
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                &timeout,
                // A replica that was cut off for a moment may take over all the same: nothing here is kept.
                "--cluster-replica-validity-factor",
                "0",
                "--repl-diskless-sync-delay",
                "0",
            ];
            members.push(Server::start_on(port(), &settings).await);
        }
        let first = members[0].port();
        let addresses = members.iter().map(|member| format!("127.0.0.1:{}", member.port()));
        let output = tokio::process::Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-replicas", "1", "--cluster-yes"])
            .output()
            .await
            .expect("redis-cli comes with Redis");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        let cluster = Self { members };
        cluster.whole().await;
        assert!(ask(first, &["ROLE"]).await.expect("it runs").starts_with("master"));
        cluster
    }

    /// Its URL, which names the first member.
    pub fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.port())
    }

    /// A URL that names all members.
    pub fn url_of_all(&self) -> String {
        let others = self.members[1..]
            .iter()
            .map(|it| format!("node=127.0.0.1:{}", it.port()));
        format!("{}?{}", self.url(), others.collect::<Vec<_>>().join("&"))
    }

    /// The port of its first member.
    pub fn port(&self) -> u16 {
        self.members[0].port()
    }

    /// The members. The first is a master.
    pub fn members(&mut self) -> &mut [Server] {
        &mut self.members
    }

    /// Waits until all slots are served and every master has its replica.
    pub async fn whole(&self) {
        eventually("a whole cluster", || async {
            let mut replicas = 0;
            for member in &self.members {
                let info = ask(member.port(), &["CLUSTER", "INFO"]).await.ok()?;
                let whole = ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:6"];
                if !whole.iter().all(|it| info.contains(it)) {
                    return None;
                }
                let role = ask(member.port(), &["INFO", "replication"]).await.ok()?;
                replicas += usize::from(role.contains("role:slave") && role.contains("master_link_status:up"));
            }
            (replicas == 3).then_some(())
        })
        .await;
    }
}

/// A free port whose member may use the one 10,000 above it, to talk to the others, and finds that one free too.
fn port() -> u16 {
    let bus = |port: &u16| *port < 22_000 && TcpListener::bind(("127.0.0.1", *port + 10_000)).is_ok();
    let mut ports = std::iter::repeat_with(quiet_port).take(1_000);
    ports.find(bus).expect("some ports are free")
}
