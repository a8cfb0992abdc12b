//! A catalogue of as many nodes as a test wants, and keys for them.

use std::path::Path;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use vpn_core::app;

use crate::harness::{
    catalogue, core,
    http::{Admin, register, send},
};

pub use crate::harness::catalogue::{exit, protocol};

/// So many users, each with a subscription and a link of the same number.
pub const USERS: i64 = 4;

/// A catalogue of the nodes 1 to `nodes`.
pub fn catalogue(nodes: i64) -> Value {
    catalogue::catalogue(nodes, USERS)
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
