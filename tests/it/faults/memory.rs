//! What is known of nodes outlives Core.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use vpn_core::model::Time;

use super::{
    fleet::{self, Place},
    ledger::{Line, Report},
};
use crate::harness::{core::Core, http::send};

async fn post(line: &Line, route: &str, body: Value) {
    let answer = send(line.http(Method::POST, route).json(&body)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

fn last_seen(node: &Value) -> Time {
    Time::parse_rfc3339(node["lastSeenAt"].as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_keeps_what_is_known_of_nodes() {
    let dir = fleet::dir(3);
    let core = Core::start(dir.path()).await;
    let place = Place::from(core.ports);
    let well = Line::new(place, &place.enroll(1).await).await;
    let broken = Line::new(place, &place.enroll(2).await).await;
    post(&well, "/node/config/applied", json!({"revision": 1})).await;
    post(&well, "/node/heartbeat", json!({"revision": 1})).await;
    post(&broken, "/node/error", json!({"message": "no", "code": "E1"})).await;
    let before = [place.node(1).await, place.node(2).await, place.node(3).await];
    assert_eq!(
        before.each_ref().map(|node| &node["status"]),
        ["online", "error", "pending"]
    );
    core.stop().await;

    let core = Core::start(dir.path()).await;
    let place = Place::from(core.ports);
    for (node, before) in (1..).zip(&before) {
        let after = place.node(node).await;
        for field in [
            "status",
            "syncStatus",
            "appliedRevision",
            "lastSeenAt",
            "revision",
            "ip",
        ] {
            assert_eq!(after[field], before[field], "{field} of node {node}");
        }
    }
    let errors = place.admin_api().get("/admin/nodes/2/errors").await;
    assert_eq!(
        (&errors["items"][0]["message"], &errors["items"][0]["code"]),
        (&json!("no"), &json!("E1"))
    );
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_right_after_the_answer_keeps_what_was_acknowledged() {
    let dir = fleet::dir(3);
    let mut core = Core::start(dir.path()).await;
    let mut keys = Vec::new();
    for node in 1..=3 {
        keys.push(Place::from(core.ports).enroll(node).await);
    }
    for round in 1..=8_i64 {
        let mut lines = Vec::new();
        for key in &keys {
            lines.push(Line::new(core.ports, key).await);
        }
        let told = vpn_core::clock::Clock::system().now();
        post(&lines[0], "/node/config/applied", json!({"revision": round})).await;
        post(&lines[1], "/node/error", json!({"message": format!("error {round}")})).await;
        lines[2].send_all(&[Report::new(3, round)]).await;
        core.kill();
        core = Core::start(dir.path()).await;
        let place = Place::from(core.ports);
        let shown = [place.node(1).await, place.node(2).await, place.node(3).await];
        assert_eq!(shown[0]["appliedRevision"], round);
        assert_eq!(
            shown[0]["syncStatus"],
            if shown[0]["revision"] == round {
                "synced"
            } else {
                "pending"
            }
        );
        assert_eq!(
            (&shown[1]["status"], &shown[1]["syncStatus"]),
            (&json!("error"), &json!("failed"))
        );
        for (node, shown) in (1..).zip(&shown) {
            assert!(last_seen(shown) >= told, "node {node} called and is not seen: {shown}");
        }
        assert_eq!(shown[2]["status"], "online");
    }
    core.stop().await;
    let core = Core::start(dir.path()).await;
    let errors = Place::from(core.ports).admin_api().get("/admin/nodes/2/errors").await;
    let messages: Vec<_> = errors["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["message"].clone())
        .collect();
    let expected: Vec<_> = (1..=8).rev().map(|round| json!(format!("error {round}"))).collect();
    assert_eq!(messages, expected);
    core.stop().await;
}
