//! Core as a process on the sample catalogue, and how a test looks at what it did.

use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
};

use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    core::{Core, run, sample_dir},
    eventually,
    http::Admin,
    rpc::Agent,
};

use super::{
    caller::{Caller, come_in},
    sums::{self, MARKERS, Sums},
};

/// See the module.
pub struct World {
    /// The process; dropped before its folder.
    pub core: Core,
    dir: TempDir,
    secrets: Vec<String>,
    marks: AtomicI64,
}

impl World {
    /// Core on the sample catalogue.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Core on the sample catalogue, with these settings besides.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::on(sample_dir(), settings).await
    }

    /// Core on this folder, with these settings besides.
    pub async fn on(dir: TempDir, settings: &[(&str, &str)]) -> Self {
        let core = Core::start_with(dir.path(), settings).await;
        Self {
            core,
            dir,
            secrets: vec![crate::harness::core::ADMIN_TOKEN.to_owned()],
            marks: AtomicI64::new(MARKERS),
        }
    }

    /// The data folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The admin API.
    pub fn admin(&self) -> Admin {
        self.core.admin()
    }

    /// A code by the command line.
    pub fn code(&mut self, options: &[&str]) -> String {
        let printed = run(self.dir.path(), &[&["code", "new"], options].concat());
        let code = printed.trim_end().to_owned();
        self.keep_secret(&code);
        code
    }

    /// Remembers a secret that must not be in the log.
    pub fn keep_secret(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    /// Registers the node `id` of the catalogue; gives its key.
    pub async fn key(&mut self, id: i64) -> String {
        let code = self.code(&["--node", &id.to_string()]);
        let key = come_in(&self.stranger(), &code, id).await;
        self.keep_secret(&key);
        key
    }

    /// Somebody who shows no key.
    pub fn stranger(&self) -> Caller {
        Caller::new(self.core.ports.http, None)
    }

    /// Registers the node `id` of the catalogue as one that calls over HTTP.
    pub async fn caller(&mut self, id: i64) -> Caller {
        let key = self.key(id).await;
        Caller::new(self.core.ports.http, Some(&key))
    }

    /// The same node over gRPC.
    pub async fn agent(&self, caller: &Caller) -> Agent {
        Agent::connect(self.core.ports.grpc, caller.key.as_deref().unwrap_or_default())
    }

    /// One node as admins see it.
    pub async fn node(&self, id: i64) -> Value {
        self.admin().get(&format!("/admin/nodes/{id}")).await
    }

    /// The sums after everything that was acknowledged until now has reached the store: the journal keeps the order, so a marker that has
    /// arrived has nothing of it behind.
    pub async fn settled(&self, caller: &Caller) -> Sums {
        let mark = self.marks.fetch_add(1, Relaxed);
        let event = json!({"userId": mark, "protocol": "vless", "eventType": "online", "occurredAt": now()});
        let answer = caller.post("/node/session-events", &json!({"events": [event]})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let arrived = format!("SELECT count(*) FROM session_events WHERE user_id = {mark}");
        eventually("the marker in the store", || {
            let count: i64 = sums::value(self.dir.path(), &arrived);
            std::future::ready((count == 1).then_some(()))
        })
        .await;
        sums::sums(self.dir.path())
    }

    /// The fleet as admins see it, without what every call moves.
    pub async fn fleet(&self) -> Value {
        let mut fleet = self.admin().get("/admin/nodes").await;
        for node in fleet["items"].as_array_mut().expect("a list") {
            let node = node.as_object_mut().expect("an object");
            for moving in ["lastSeenAt", "status", "clockSkew"] {
                assert!(node.remove(moving).is_some(), "{moving}");
            }
        }
        fleet
    }

    /// Checks at the end that nothing fell and nothing was told.
    pub fn end(mut self) {
        assert!(self.core.is_alive(), "Core ended:\n{}", self.core.log());
        let log = self.core.log();
        for bad in ["panicked", "RUST_BACKTRACE", "\"ERROR\""] {
            assert!(!log.contains(bad), "the log has {bad}:\n{log}");
        }
        for secret in &self.secrets {
            assert!(!log.contains(secret.as_str()), "a secret is in the log");
        }
    }
}

/// Now, as agents write it.
pub fn now() -> String {
    vpn_core::clock::Clock::system().now().to_string()
}

/// A usage entry of node 1, recorded now.
pub fn usage_entry(user: i64, up: i64, down: i64) -> Value {
    json!({"userId": user, "subscriptionId": user, "nodeProtocolId": 11, "bytesUp": up, "bytesDown": down, "recordedAt": now()})
}
