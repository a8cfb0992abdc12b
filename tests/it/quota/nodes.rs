//! Nodes that write down every config that they are given: one revision never has two contents.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use serde_json::Value;
use vpn_core::proto::nodeservice::{
    ConfirmConfigAppliedRequest, GetLatestConfigRequest, GetLatestConfigResponse, HeartbeatRequest, ReportUsageRequest,
    UsageEntry,
};

use super::scene::protocol;
use crate::harness::rpc::Agent;

/// A node.
#[derive(Clone)]
pub struct Node {
    pub id: i64,
    key: String,
    agent: Agent,
    /// What it runs.
    running: Arc<AtomicI64>,
    /// Each revision that it ever was given, with its content; over restarts of Core, too.
    seen: Arc<Mutex<BTreeMap<i64, [String; 3]>>>,
}

/// A config as a node reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub revision: i64,
    /// Whose clients are in it.
    pub users: BTreeSet<i64>,
}

impl Node {
    pub fn new(id: i64, port: u16, key: String) -> Self {
        Self {
            id,
            agent: Agent::connect(port, &key),
            key,
            running: Arc::default(),
            seen: Arc::default(),
        }
    }

    /// Its line to Core.
    pub fn agent(&self) -> Agent {
        self.agent.clone()
    }

    /// Core listens elsewhere now.
    pub fn moved(&mut self, port: u16) {
        self.agent = Agent::connect(port, &self.key);
    }

    /// Whether another config waits for it.
    pub async fn needs_sync(&self) -> bool {
        let beat = HeartbeatRequest {
            revision: Some(self.running.load(SeqCst)),
            ..HeartbeatRequest::default()
        };
        let mut client = self.agent.client.clone();
        client
            .heartbeat(self.agent.request(beat))
            .await
            .unwrap()
            .into_inner()
            .need_sync
    }

    /// Pulls the config.
    pub async fn pull(&self) -> Config {
        let mut client = self.agent.client.clone();
        let request = self.agent.request(GetLatestConfigRequest::default());
        let answer = client.get_latest_config(request).await.unwrap().into_inner();
        self.write_down(&answer);
        read(&answer)
    }

    /// Pulls the config, and says that it runs it.
    pub async fn apply(&self) -> Config {
        let config = self.pull().await;
        let mut client = self.agent.client.clone();
        let confirm = ConfirmConfigAppliedRequest {
            revision: config.revision,
            ..ConfirmConfigAppliedRequest::default()
        };
        client
            .confirm_config_applied(self.agent.request(confirm))
            .await
            .unwrap();
        self.running.store(config.revision, SeqCst);
        config
    }

    /// Reports bytes of a user under this name, and has them acknowledged.
    pub async fn report(&self, name: &str, user: i64, bytes: i64) {
        let entry = UsageEntry {
            user_id: user,
            subscription_id: Some(user),
            node_protocol_id: protocol(self.id),
            bytes_up: bytes / 2,
            bytes_down: bytes - bytes / 2,
            recorded_at: "".into(),
        };
        let request = ReportUsageRequest {
            entries: vec![entry],
            ..ReportUsageRequest::default()
        };
        let mut client = self.agent.client.clone();
        let answer = client.report_usage(self.agent.named(name, request)).await.unwrap();
        assert_eq!(answer.into_inner().rejected, 0);
    }

    fn write_down(&self, answer: &GetLatestConfigResponse) {
        let body = [
            answer.client_map_json.clone(),
            answer.mtproto_client_map_json.clone(),
            answer.services_json.clone(),
        ];
        let mut seen = self.seen.lock().unwrap();
        let known = seen.entry(answer.revision).or_insert_with(|| body.clone());
        assert_eq!(
            *known, body,
            "node {} was given revision {} twice, with different contents",
            self.id, answer.revision
        );
    }
}

/// Reads a config; checks that it is whole: who is in the map is in the inbound, and nobody else.
pub fn read(answer: &GetLatestConfigResponse) -> Config {
    let map: Value = serde_json::from_str(&answer.client_map_json).unwrap();
    let services: Value = serde_json::from_str(&answer.services_json).unwrap();
    let users: BTreeSet<i64> = map
        .as_object()
        .unwrap()
        .values()
        .map(|client| client["userId"].as_i64().unwrap())
        .collect();
    let inbound = &services["xray"]["inbounds"][0];
    assert_eq!(inbound["protocol"], "vless", "a config without its inbound");
    assert!(
        services["xray"]["outbounds"]
            .as_array()
            .is_some_and(|it| !it.is_empty())
    );
    let clients = inbound["settings"]["clients"].as_array().unwrap();
    let named: BTreeSet<i64> = clients
        .iter()
        .map(|client| client["email"].as_str().unwrap())
        .map(|email| email[1..].split('.').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(named, users, "the map and the inbound disagree");
    assert_eq!(clients.len(), map.as_object().unwrap().len());
    Config {
        revision: answer.revision,
        users,
    }
}
