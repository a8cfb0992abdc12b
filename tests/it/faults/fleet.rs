//! A catalogue of as many nodes as a test wants, and keys for them.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use vpn_core::app;

use crate::harness::{
    core,
    http::{Admin, register, send},
};

/// So many users, each with a subscription and a link of the same number.
pub const USERS: i64 = 4;

/// The inbound of a node.
pub const fn protocol(node: i64) -> i64 {
    node * 10 + 1
}

/// The outbound of a node.
pub fn exit(node: i64) -> String {
    format!("exit-{node}")
}

/// A catalogue of the nodes 1 to `nodes`.
pub fn catalogue(nodes: i64) -> Value {
    let each = |count: i64, row: &dyn Fn(i64) -> Value| (1..=count).map(row).collect::<Vec<_>>();
    json!({
        "nodes": each(nodes, &|id| {
            json!({"id": id, "name": format!("node-{id}"), "ip": "192.0.2.1", "port": 8000, "region": "de"})
        }),
        "users": each(USERS, &|id| json!({"id": id, "name": format!("user {id}")})),
        "subscriptions": each(USERS, &|id| json!({"id": id, "userId": id})),
        "links": each(USERS, &|id| json!({"id": id, "userId": id, "name": "phone"})),
        "subscriptionLinks": each(USERS, &|id| {
            json!({"id": id, "uuid": uuid::Uuid::from_u128(id.unsigned_abs().into()), "linkId": id, "subscriptionId": id})
        }),
        "nodeProtocols": each(nodes, &|id| {
            json!({"id": protocol(id), "nodeId": id, "protocol": "vless", "port": 443})
        }),
        "nodeProtocolLinks": (1..=nodes).flat_map(|id| {
            (1..=USERS).map(move |user| json!({"protoId": protocol(id), "lsId": user}))
        }).collect::<Vec<_>>(),
        "nodeOutbounds": each(nodes, &|id| {
            json!({"id": id, "nodeId": id, "tag": exit(id), "protocol": "freedom"})
        }),
        "nodeRoutingRules": [],
    })
}

/// A new data folder with the nodes 1 to `nodes` in its store.
pub fn dir(nodes: i64) -> tempfile::TempDir {
    dir_with(nodes, &[])
}

/// A new data folder, and the nodes 1 to `nodes` in the store of these settings.
pub fn dir_with(nodes: i64, settings: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("catalogue.json");
    std::fs::write(&file, catalogue(nodes).to_string()).unwrap();
    core::run_with(dir.path(), &["catalog", "import", file.to_str().unwrap()], settings);
    dir
}

/// Where a Core listens, whether it is a process or inside this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub http: u16,
    pub grpc: u16,
    pub admin: u16,
}

impl From<core::Ports> for Place {
    fn from(ports: core::Ports) -> Self {
        let core::Ports { http, grpc, admin, .. } = ports;
        Self { http, grpc, admin }
    }
}

impl From<app::Ports> for Place {
    fn from(ports: app::Ports) -> Self {
        let app::Ports { http, grpc, admin } = ports;
        Self { http, grpc, admin }
    }
}

impl Place {
    pub fn admin_api(self) -> Admin {
        Admin::new(self.admin, core::ADMIN_TOKEN)
    }

    /// Makes a registration code.
    pub async fn code(self, order: &Value) -> String {
        let post = self.admin_api().request(Method::POST, "/admin/registration-codes");
        let answer = send(post.json(order)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.body["code"].as_str().unwrap().to_owned()
    }

    /// A key for a node of the catalogue.
    pub async fn enroll(self, node: i64) -> String {
        let code = self.code(&json!({"nodeId": node})).await;
        let (id, key) = register(self.http, &code, "whatever").await;
        assert_eq!(id, node);
        key
    }

    /// What the admin API shows of a node.
    pub async fn node(self, id: i64) -> Value {
        self.admin_api().get(&format!("/admin/nodes/{id}")).await
    }
}

/// Copies a data folder, as a backup of a machine that stands still would.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
