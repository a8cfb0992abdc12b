//! The process: its ports, its health, its first token, its end.

use std::{os::unix::fs::PermissionsExt as _, process::Stdio};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    core::{Core, command, run},
    eventually,
    http::{Admin, send},
};

use super::{caller::refused, world::World};

async fn get(port: u16, path: &str) -> crate::harness::http::Answer {
    send(Client::new().get(format!("http://127.0.0.1:{port}{path}"))).await
}

#[tokio::test]
async fn machines_need_no_token() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let ports = world.core.ports;
    let written: Value =
        serde_json::from_slice(&std::fs::read(world.dir().join("ports.json")).expect("it is there")).expect("JSON");
    assert_eq!(
        written,
        json!({"pid": ports.pid, "http": ports.http, "grpc": ports.grpc, "admin": ports.admin})
    );
    assert_eq!(get(ports.http, "/healthz").await.status, StatusCode::OK);
    let ready = get(ports.http, "/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!(
        ready.body,
        json!({"ready": true, "store": "ok", "redis": "off", "journal": "ok"})
    );
    node.beat(1).await;
    node.beat(1).await;
    let metrics = Client::new()
        .get(format!("http://127.0.0.1:{}/metrics", ports.admin))
        .send()
        .await
        .expect("it is answered");
    assert_eq!(metrics.status(), StatusCode::OK);
    let text = metrics.text().await.expect("text");
    assert!(text.contains("core_http_calls_total"), "{text}");
    for secret in [
        "core_node_",
        "core_code_",
        "core_admin_",
        crate::harness::core::ADMIN_TOKEN,
    ] {
        assert!(!text.contains(secret));
    }
    refused(
        &get(ports.admin, "/healthz").await,
        StatusCode::NOT_FOUND,
        "health is asked of the node listener",
    );
    world.end();
}

#[tokio::test]
async fn a_stop_takes_the_ports_back_and_keeps_everything() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    node.tell(
        "/node/usage",
        &json!({"entries": [super::world::usage_entry(1, 10, 20)]}),
    )
    .await;
    node.tell("/node/config/applied", &json!({"revision": 1})).await;
    let dir = world.dir().to_owned();
    world.core.signal("TERM");
    eventually("ports.json is gone", || {
        std::future::ready((!dir.join("ports.json").exists()).then_some(()))
    })
    .await;
    eventually("the process ends", || {
        std::future::ready((!world.core.is_alive()).then_some(()))
    })
    .await;
    assert_eq!(super::sums::sums(&dir)["usage up"], 10);
    world.core = Core::start(&dir).await;
    let shown = world.node(1).await;
    assert_eq!(
        (&shown["syncStatus"], &shown["appliedRevision"]),
        (&json!("synced"), &json!(1))
    );
    let again = super::caller::Caller::new(world.core.ports.http, node.key.as_deref());
    assert!(!again.beat(1).await);
    assert_eq!(world.settled(&again).await["usage up"], 10);
    world.end();
}

#[tokio::test]
async fn the_first_start_prints_a_token_once() {
    let dir = tempfile::tempdir().expect("there is room");
    let data = dir.path().join("data");
    let mut token = String::new();
    for start in ["first", "second"] {
        let log = dir.path().join(start);
        let mut child = command(&data)
            .env_remove("ADMIN_TOKEN")
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(dir.path().join("stdout")).expect("there is room"))
            .stderr(std::fs::File::create(&log).expect("there is room"))
            .spawn()
            .expect("the binary is there");
        let pid = child.id();
        let ports = eventually("ports.json", || {
            let text = std::fs::read(data.join("ports.json")).ok();
            let ports: Option<Value> = text.and_then(|text| serde_json::from_slice(&text).ok());
            std::future::ready(ports.filter(|ports| ports["pid"] == pid))
        })
        .await;
        let said = eventually("the welcome", || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            std::future::ready(said.contains("register a node").then_some(said))
        })
        .await;
        let printed: Vec<_> = said
            .lines()
            .filter_map(|line| line.strip_prefix("admin token: "))
            .collect();
        if start == "first" {
            assert_eq!(printed.len(), 1, "{start}");
            printed[0].clone_into(&mut token);
        } else {
            assert!(!said.contains("core_admin_"), "{start}");
        }
        assert!(token.starts_with("core_admin_"));
        let logged = said.lines().filter(|line| line.starts_with('{'));
        assert!(logged.clone().count() > 0 && logged.clone().all(|line| !line.contains(&token)));
        let port = u16::try_from(ports["admin"].as_u64().expect("a port")).expect("a port");
        Admin::new(port, &token).get("/admin/nodes").await;
        assert_eq!(std::fs::read(dir.path().join("stdout")).expect("it is there"), b"");
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }
    let mode = std::fs::metadata(&data).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "only the owner looks inside");
    let kept = std::fs::read(data.join("core.db")).expect("the store is there");
    let wal = std::fs::read(data.join("core.db-wal")).unwrap_or_default();
    for bytes in [kept, wal] {
        assert!(
            !bytes.windows(token.len()).any(|window| window == token.as_bytes()),
            "only the hash is kept"
        );
    }
}

#[tokio::test]
async fn the_command_line_alone_makes_the_store() {
    let dir = tempfile::tempdir().expect("there is room");
    let code = run(dir.path(), &["code", "new"]);
    let core = Core::start(dir.path()).await;
    let (id, key) = crate::harness::http::register(core.ports.http, code.trim_end(), "first").await;
    assert_eq!(id, 1);
    assert!(!core.log().contains(&key));
    core.stop().await;
    assert_eq!(run(dir.path(), &["migrate", "--plan"]), "");
    let second = command(dir.path())
        .arg("--version")
        .output()
        .expect("the binary is there");
    assert!(second.status.success());
}

#[tokio::test]
async fn one_process_holds_a_folder() {
    let world = World::new().await;
    let output = command(world.dir()).arg("serve").output().expect("the binary is there");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let errors: Vec<_> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert_eq!(get(world.core.ports.http, "/readyz").await.status, StatusCode::OK);
    world.end();
}
