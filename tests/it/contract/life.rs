//! Who is there and who is not, as the clock moves. The watchdog looks once a real second.

use std::time::Duration;

use serde_json::json;

use super::{caller::Caller, manual::Manual};

const GRACE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_silent_node_goes_offline_and_comes_back() {
    let manual = Manual::start().await;
    let (silent, slow, steady) = (manual.caller(1).await, manual.caller(2).await, manual.caller(3).await);
    assert_eq!(manual.shown(1, "status").await, "pending");
    assert!(silent.beat(0).await);
    assert_eq!(manual.shown(1, "status").await, "online");
    // Node 2 beats every 20 s: it may be silent for a minute. These 80 s are also longer than Core's grace after its start.
    for _ in 0..4 {
        slow.beat(1).await;
        manual.clock.advance(Duration::from_secs(20));
    }
    silent.get("/node/config/latest").await;
    slow.beat(1).await;
    manual.clock.advance(Duration::from_secs(2));
    steady.get("/node/config/latest").await;
    manual.clock.advance(Duration::from_secs(29));
    manual.becomes(1, "status", &json!("offline")).await;
    assert_eq!(manual.shown(2, "status").await, "online", "31 s of its own 60");
    assert_eq!(manual.shown(3, "status").await, "online", "29 s");
    manual.clock.advance(Duration::from_secs(30));
    manual.becomes(2, "status", &json!("offline")).await;
    manual.becomes(3, "status", &json!("offline")).await;
    silent.tell("/node/outbound-usage", &json!({"items": []})).await;
    assert_eq!(manual.shown(1, "status").await, "online", "any call is a sign of life");
    assert_eq!(manual.shown(1, "lastSeenAt").await, json!(manual.clock.now()));
    manual.stop().await;
}

#[tokio::test]
async fn every_authenticated_call_is_a_sign_of_life() {
    let manual = Manual::start().await;
    let node = manual.caller(1).await;
    let bad = [
        ("/node/usage", "{}"),
        ("/node/heartbeat", "{\"revision\":\"1\"}"),
        ("/node/config/applied", "{\"revision\":-1}"),
    ];
    for route in super::fields::ROUTES {
        manual.clock.advance(Duration::from_secs(1));
        node.tell(route.path, &route.good_body()).await;
        assert_eq!(
            manual.shown(1, "lastSeenAt").await,
            json!(manual.clock.now()),
            "{}",
            route.path
        );
    }
    for (route, body) in bad {
        manual.clock.advance(Duration::from_secs(1));
        assert_eq!(node.post_text(route, body).await.status, 400, "{route}");
        assert_eq!(
            manual.shown(1, "lastSeenAt").await,
            json!(manual.clock.now()),
            "{route} {body}"
        );
    }
    let raw = super::raw::Raw::connect(manual.agent_port());
    for method in super::raw::METHODS {
        manual.clock.advance(Duration::from_secs(1));
        let message = super::raw::good_message(method);
        raw.call(method, node.key.as_deref(), message)
            .await
            .expect("it is answered");
        assert_eq!(
            manual.shown(1, "lastSeenAt").await,
            json!(manual.clock.now()),
            "{method}"
        );
    }
    manual.clock.advance(Duration::from_secs(1));
    raw.call("ReportNodeStats", node.key.as_deref(), Vec::new())
        .await
        .expect_err("system is missing");
    assert_eq!(manual.shown(1, "lastSeenAt").await, json!(manual.clock.now()));
    manual.stop().await;
}

async fn all_call(nodes: &[Caller]) {
    for node in nodes {
        node.beat(1).await;
    }
}

#[tokio::test]
async fn a_mass_loss_is_unknown_first() {
    let manual = Manual::start().await;
    let code = manual.code(json!({"uses": 12})).await;
    let mut nodes = Vec::new();
    let mut ids = Vec::new();
    for n in 0..12 {
        let body = json!({"code": code, "name": format!("n-{n}"), "ip": "192.0.2.1", "port": 1, "region": ""});
        let answer = manual.stranger().post("/node/register", &body).await;
        nodes.push(manual.stranger().with_key(answer.body["authKey"].as_str()));
        ids.push(answer.body["nodeId"].as_i64().expect("a number"));
    }
    all_call(&nodes).await;
    manual.clock.advance(GRACE / 2);
    all_call(&nodes).await;
    manual.clock.advance(GRACE / 2);
    for node in &nodes {
        node.get("/node/config/latest").await;
    }
    // Beats came every 30 s, so 90 s of silence are too many.
    manual.clock.advance(Duration::from_secs(89));
    for node in &nodes[8..] {
        node.get("/node/config/latest").await;
    }
    manual.clock.advance(Duration::from_secs(2));
    for id in &ids[..8] {
        manual.becomes(*id, "status", &json!("unknown")).await;
    }
    for id in &ids[8..] {
        assert_eq!(manual.shown(*id, "status").await, "online");
    }
    nodes[0].get("/node/config/latest").await;
    assert_eq!(manual.shown(ids[0], "status").await, "online");
    manual.clock.advance(Duration::from_secs(80));
    for node in nodes[8..].iter().chain(&nodes[..1]) {
        node.get("/node/config/latest").await;
    }
    assert_eq!(manual.shown(ids[1], "status").await, "unknown");
    for _ in 0..3 {
        manual.clock.advance(Duration::from_secs(80));
        for node in nodes[8..].iter().chain(&nodes[..1]) {
            node.get("/node/config/latest").await;
        }
    }
    for id in &ids[1..8] {
        manual.becomes(*id, "status", &json!("offline")).await;
    }
    assert_eq!(manual.shown(ids[0], "status").await, "online");
    manual.stop().await;
}

#[tokio::test]
async fn an_error_is_left_alone_for_longer_and_longer() {
    let manual = Manual::start().await;
    let node = manual.caller(1).await;
    for patience in [30, 60, 300, 900, 900] {
        node.tell("/node/error", &json!({"message": "no"})).await;
        assert_eq!(manual.shown(1, "status").await, "error");
        assert_eq!(manual.shown(1, "syncStatus").await, "failed");
        assert!(!node.beat(0).await, "at once after {patience}");
        manual.clock.advance(Duration::from_secs(patience - 1));
        assert!(!node.beat(0).await, "a second before {patience}");
        manual.clock.advance(Duration::from_secs(1));
        assert!(node.beat(0).await, "after {patience}");
    }
    node.tell("/node/error", &json!({"message": "no"})).await;
    assert!(!node.beat(0).await);
    let retry = manual
        .admin()
        .request(reqwest::Method::POST, "/admin/nodes/1/config/retry");
    let answer = crate::harness::http::send(retry).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["syncStatus"]),
        (200, &json!("pending"))
    );
    assert!(node.beat(0).await, "an admin says so");
    node.tell("/node/error", &json!({"message": "no"})).await;
    assert!(!node.beat(0).await, "the patience begins anew");
    for _ in 0..2 {
        node.beat(1).await;
        assert_eq!(manual.shown(1, "status").await, "error");
    }
    node.beat(1).await;
    assert_eq!(
        manual.shown(1, "status").await,
        "online",
        "three heartbeats at the desired revision"
    );
    assert_eq!(manual.shown(1, "appliedRevision").await, 1);
    node.tell("/node/error", &json!({"message": "no"})).await;
    assert!(!node.beat(0).await);
    let patch = manual
        .admin()
        .request(reqwest::Method::PATCH, "/admin/nodes/1")
        .json(&json!({"enabled": false}));
    assert_eq!(crate::harness::http::send(patch).await.status, 200);
    assert!(node.beat(0).await, "another revision is another attempt");
    manual.stop().await;
}
