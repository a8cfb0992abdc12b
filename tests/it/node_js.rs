//! An agent in JavaScript, as most agents in the field are: it sends explicit defaults, and has a protobuf of its own.

use std::{
    path::Path,
    process::{Command, Output},
};

use crate::harness::{
    core::{Core, run, sample_dir},
    eventually,
    http::register,
};

const AGENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agents/node");

/// Gets what the agent is made of, unless it is there.
async fn install() {
    if Path::new(AGENT).join("node_modules").is_dir() {
        return;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    let output = ended(npm).await;
    assert!(output.status.success(), "npm ci:\n{}", said(&output));
}

/// Runs a command in the agent's folder to its end.
async fn ended(mut command: Command) -> Output {
    command.current_dir(AGENT);
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("it joins")
        .expect("the command is there")
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn sum(dir: &Path, sql: &str) -> i64 {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let store = rusqlite::Connection::open_with_flags(dir.join("core.db"), flags).expect("the store is there");
    store.query_row(sql, [], |row| row.get(0)).expect(sql)
}

#[tokio::test]
async fn an_agent_in_javascript_is_understood() {
    install().await;
    let dir = sample_dir();
    let core = Core::start(dir.path()).await;
    let code = run(dir.path(), &["code", "new", "--node", "1"]);
    let (_, key) = register(core.ports.http, code.trim_end(), "agent").await;
    let mut agent = Command::new("node");
    agent
        .args(["agent.mjs", &core.ports.grpc.to_string()])
        .env("CORE_AUTH_KEY", &key);
    let output = ended(agent).await;
    assert!(
        output.status.success(),
        "the agent:\n{}\nCore:\n{}",
        said(&output),
        core.log()
    );
    for (what, sql, expected) in [
        (
            "usage up",
            "SELECT coalesce(sum(bytes_up), 0) FROM usage_minutes",
            10_111,
        ),
        (
            "usage down",
            "SELECT coalesce(sum(bytes_down), 0) FROM usage_minutes",
            20_222,
        ),
        (
            "subscriptions up",
            "SELECT sum(traffic_bytes_up) FROM subscriptions",
            10_011,
        ),
        (
            "without a subscription",
            "SELECT coalesce(sum(bytes_up), 0) FROM usage_minutes WHERE subscription_id IS NULL",
            100,
        ),
        ("outbounds up", "SELECT sum(traffic_bytes_up) FROM node_outbounds", 12),
        ("rejected", "SELECT count(*) FROM usage_rejected", 3),
    ] {
        eventually(what, || {
            std::future::ready((sum(dir.path(), sql) == expected).then_some(()))
        })
        .await;
    }
    let admin = core.admin();
    let stats = admin.get("/admin/nodes/1/runtime-status").await;
    assert_eq!(stats["system"]["ramTotal"], 8_589_934_592_i64);
    assert_eq!(stats["xray"]["uptimeSeconds"], serde_json::Value::Null);
    assert_eq!(stats["mtproto"], serde_json::Value::Null);
    let online = admin.get("/admin/online?node=1").await;
    assert_eq!(online["items"][0]["ips"][0]["ip"], "203.0.113.7");
    assert_eq!(online["items"].as_array().map(Vec::len), Some(1));
    core.stop().await;
}
