//! A cluster of three masters, each with a replica.

use super::{Server, ask};
use crate::harness::eventually;

/// After so many milliseconds without an answer a member counts as gone.
pub const NODE_TIMEOUT_MS: u64 = 2_000;

/// See the module.
pub struct Cluster {
    members: Vec<Server>,
}

impl Cluster {
    /// Starts one; gives it when all slots are served and every master has its replica.
    pub async fn start() -> Self {
        let timeout = NODE_TIMEOUT_MS.to_string();
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
            members.push(Server::start_with(&settings).await);
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
        eventually("a whole cluster", || async {
            let mut replicas = 0;
            for member in &cluster.members {
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
        // The first address is that of a master.
        assert!(ask(first, &["ROLE"]).await.expect("it runs").starts_with("master"));
        cluster
    }

    /// Its URL: that of a member that is never killed.
    pub fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.port())
    }

    /// The port of a member that is never killed.
    pub fn port(&self) -> u16 {
        self.members[0].port()
    }

    /// Kills a master that is not the first member.
    pub fn kill_a_master(&mut self) {
        self.members[1].kill();
    }

    /// Kills the whole cluster but for its first member's folder and port, and lets go what it held: all members come back empty.
    pub async fn forget_everything(&self) {
        for member in &self.members {
            // A replica refuses, and follows its master.
            let told = ask(member.port(), &["FLUSHALL"]).await;
            assert!(told.is_ok(), "{told:?}");
        }
    }
}
