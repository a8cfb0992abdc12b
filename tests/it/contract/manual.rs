//! Core inside the test, on a clock that the test moves.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use vpn_core::{app::Parts, clock::Clock};

use crate::harness::{
    core::sample_dir,
    eventually,
    http::{Admin, send},
    inside::Inside,
    rpc::Agent,
};

use super::caller::{Caller, come_in};

/// See the module.
pub struct Manual {
    inside: Inside,
    /// The clock.
    pub clock: Clock,
    dir: TempDir,
}

impl Manual {
    /// Core on the sample catalogue. The clock begins with now, since the command line beside it knows no other.
    pub async fn start() -> Self {
        let dir = sample_dir();
        let clock = Clock::manual(Clock::system().now());
        let parts = Parts {
            clock: clock.clone(),
            ..Parts::default()
        };
        let inside = Inside::start(dir.path(), parts).await;
        Self { inside, clock, dir }
    }

    /// The data folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The admin API.
    pub fn admin(&self) -> Admin {
        self.inside.admin()
    }

    /// Somebody who shows no key.
    pub fn stranger(&self) -> Caller {
        Caller::new(self.inside.ports.http, None)
    }

    /// A code by the admin API, on the test's clock.
    pub async fn code(&self, order: Value) -> String {
        let request = self
            .admin()
            .request(Method::POST, "/admin/registration-codes")
            .json(&order);
        let answer = send(request).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["code"].as_str().expect("a code").to_owned()
    }

    /// Registers the node `id` of the catalogue.
    pub async fn caller(&self, id: i64) -> Caller {
        let code = self.code(json!({"nodeId": id})).await;
        let stranger = self.stranger();
        let key = come_in(&stranger, &code, id).await;
        stranger.with_key(Some(&key))
    }

    /// The same node over gRPC.
    pub async fn agent(&self, caller: &Caller) -> Agent {
        Agent::connect(self.inside.ports.grpc, caller.key.as_deref().unwrap_or_default())
    }

    /// The port of gRPC.
    pub fn agent_port(&self) -> u16 {
        self.inside.ports.grpc
    }

    /// One field of a node, as admins see it.
    pub async fn shown(&self, id: i64, field: &str) -> Value {
        self.admin().get(&format!("/admin/nodes/{id}")).await[field].clone()
    }

    /// Waits until a field of a node is this.
    pub async fn becomes(&self, id: i64, field: &str, expected: &Value) {
        eventually(&format!("node {id}: {field} = {expected}"), || async {
            (self.shown(id, field).await == *expected).then_some(())
        })
        .await;
    }

    /// Stops it.
    pub async fn stop(self) {
        self.inside.stop().await;
    }
}
