//! The eight HTTP routes, asked rightly.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{eventually, http::send};

use super::{
    sums::{rows, value},
    world::{World, now, usage_entry},
};

#[tokio::test]
async fn a_node_lives_its_life_over_http() {
    let mut world = World::new().await;
    let code = world.code(&["--name", "for a test"]);
    let body = json!({
        "code": code, "name": "fr-1", "ip": "::ffff:198.51.100.9", "port": 9000, "region": "fr", "domain": "fr-1.example.test",
    });
    let answer = world.stranger().post("/node/register", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let answered = answer.body.as_object().expect("an object");
    assert_eq!(answered.len(), 2);
    let id = answered["nodeId"].as_i64().expect("nodeId is a number");
    let key = answered["authKey"].as_str().expect("authKey is a text");
    assert!(key.starts_with(&format!("core_node_{id}_")), "{id}");
    world.keep_secret(key);
    let hidden = key.rsplit('_').next().expect("a checksum").len();
    assert_eq!((hidden, key.len()), (8, format!("core_node_{id}__").len() + 43 + 8));

    let shown = world.node(id).await;
    for (field, expected) in [
        ("id", json!(id)),
        ("name", json!("fr-1")),
        ("ip", json!("198.51.100.9")),
        ("port", json!(9000)),
        ("region", json!("fr")),
        ("domain", json!("fr-1.example.test")),
        ("enabled", json!(true)),
        ("status", json!("pending")),
        ("syncStatus", json!("pending")),
        ("revision", json!(1)),
        ("appliedRevision", json!(0)),
        ("lastSeenAt", Value::Null),
        ("onlineUsers", json!(0)),
        ("clockSkew", json!(false)),
        ("configProblems", json!([])),
        ("trafficMultiplier", json!(1.0)),
    ] {
        assert_eq!(shown[field], expected, "{field}");
    }
    assert!(shown["configBytes"].as_i64().is_some_and(|bytes| bytes > 0));

    let node = world.stranger().with_key(Some(key));
    assert_eq!(
        node.tell("/node/heartbeat", &json!({})).await,
        json!({"ok": true, "needSync": true})
    );
    assert_eq!(node.config_revision().await, 1);
    assert_eq!(
        node.tell("/node/config/applied", &json!({"revision": 1})).await,
        json!({"ok": true})
    );
    assert_eq!(
        node.tell("/node/heartbeat", &json!({"revision": 1})).await,
        json!({"ok": true, "needSync": false})
    );
    let shown = world.node(id).await;
    assert_eq!(
        (&shown["status"], &shown["syncStatus"]),
        (&json!("online"), &json!("synced"))
    );
    assert_eq!(shown["appliedRevision"], 1);
    assert!(shown["lastSeenAt"].is_string());
    world.end();
}

#[tokio::test]
async fn reports_are_counted() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let before = world.settled(&node).await;
    let entries = [
        usage_entry(1, 100, 1000),
        usage_entry(2, 200, 2000),
        usage_entry(1, 1, 2),
    ];
    assert_eq!(
        node.tell("/node/usage", &json!({"entries": entries})).await,
        json!({"ok": true})
    );
    let items = json!([
        {"tag": "direct", "bytesUp": 5, "bytesDown": 6},
        {"tag": "block", "bytesUp": 7, "bytesDown": 0},
        {"tag": "exit-1", "bytesUp": 10, "bytesDown": 20},
        {"tag": "exit-1", "bytesUp": 1, "bytesDown": 2},
    ]);
    assert_eq!(
        node.tell("/node/outbound-usage", &json!({"items": items})).await,
        json!({"ok": true})
    );
    let at = "2026-01-02T03:04:05.678+02:00";
    let at_now = now();
    let events = json!([
        {"userId": 1, "protocol": "VLESS", "eventType": "Online", "occurredAt": at_now, "ipAddress": "::ffff:203.0.113.9"},
        {"userId": 2, "protocol": "quantum", "eventType": "Teleported", "occurredAt": at_now, "ipAddress": ""},
        {"userId": 77, "protocol": "mtproto", "eventType": "OFFLINE", "occurredAt": at},
    ]);
    assert_eq!(
        node.tell("/node/session-events", &json!({"events": events})).await,
        json!({"ok": true})
    );
    let after = world.settled(&node).await;
    for (sum, grown) in [
        ("usage up", 301),
        ("usage down", 3002),
        ("subscriptions up", 301),
        ("subscriptions down", 3002),
        ("outbounds up", 23),
        ("outbounds down", 28),
        ("events", 3),
        ("usage rejected", 0),
        ("events rejected", 0),
    ] {
        assert_eq!(after[sum] - before[sum], grown, "{sum}");
    }
    assert_eq!(
        rows(
            world.dir(),
            "SELECT user_id, protocol, event_type, ip_address FROM session_events WHERE user_id < 900000000 ORDER BY user_id"
        ),
        [
            "1 vless online 203.0.113.9",
            "2 quantum Teleported null",
            "77 mtproto offline null"
        ]
    );
    let exit =
        "SELECT traffic_bytes_up * 1000 + traffic_bytes_down FROM node_outbounds WHERE node_id = 1 AND tag = 'exit-1'";
    assert_eq!(value::<i64>(world.dir(), exit), 11_022);
    let others = "SELECT coalesce(sum(traffic_bytes_up), 0) FROM node_outbounds WHERE node_id <> 1";
    assert_eq!(value::<i64>(world.dir(), others), 0);
    world.end();
}

#[tokio::test]
async fn the_config_is_what_the_document_says() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let answer = node.get("/node/config/latest").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/json");
    let config = answer.body.as_object().expect("an object");
    let mut names: Vec<_> = config.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["clientMap", "mtprotoClientMap", "revision", "services"]);
    assert_eq!(config["clientMap"]["1"], json!({"userId": 1, "subscriptionId": 1}));
    assert_eq!(config["clientMap"]["2"], json!({"userId": 2, "subscriptionId": 2}));
    let uuid = "9c1f6a52-0d0e-4b7e-8f63-5f4f3a0f1b01";
    assert_eq!(
        config["mtprotoClientMap"][uuid],
        json!({"userId": 1, "subscriptionId": 1})
    );
    let inbounds = config["services"]["xray"]["inbounds"].as_array().expect("inbounds");
    assert!(!inbounds.is_empty());
    assert!(config["services"]["xray"]["outbounds"].is_array());
    assert!(config["services"]["xray"]["routing"].is_object());
    assert!(config["services"]["mtproto"].is_object());
    let emails = answer.body.to_string();
    assert!(
        emails.contains("u1.l1.s1.i11"),
        "the attribution name of user 1 on inbound 11"
    );

    let etag = answer.headers["etag"].to_str().expect("text").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    for (tags, status) in [
        (etag.clone(), StatusCode::NOT_MODIFIED),
        (format!("\"other\", W/{etag}"), StatusCode::NOT_MODIFIED),
        ("*".to_owned(), StatusCode::NOT_MODIFIED),
        ("\"other\"".to_owned(), StatusCode::OK),
        (etag.trim_matches('"').to_owned(), StatusCode::OK),
    ] {
        let request = node
            .request(Method::GET, "/node/config/latest")
            .header("if-none-match", &tags);
        let answer = send(request).await;
        assert_eq!(answer.status, status, "{tags}");
        assert_eq!(answer.headers["etag"], etag.as_str(), "{tags}");
        assert_eq!(answer.body.is_null(), status == StatusCode::NOT_MODIFIED, "{tags}");
    }
    world.end();
}

#[tokio::test]
async fn errors_are_kept_and_long_texts_are_cut() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let long = "ä".repeat(10_000);
    for body in [
        json!({"message": "plain"}),
        json!({"message": "whole", "code": "E_PORT", "details": {"port": 443, "nested": {"a": [1, 2]}}}),
        json!({"message": long, "details": {"text": "x".repeat(100_000)}}),
        json!({"message": "", "code": "", "details": {}}),
    ] {
        assert_eq!(node.tell("/node/error", &body).await, json!({"ok": true}));
    }
    let shown = world.node(1).await;
    assert_eq!(
        (&shown["status"], &shown["syncStatus"]),
        (&json!("error"), &json!("failed"))
    );
    let admin = world.admin();
    let errors = eventually("four errors", || async {
        let errors = admin.get("/admin/nodes/1/errors").await;
        errors["items"].as_array().filter(|items| items.len() == 4).cloned()
    })
    .await;
    assert_eq!(
        (&errors[3]["message"], &errors[3]["code"], &errors[3]["details"]),
        (&json!("plain"), &Value::Null, &Value::Null)
    );
    assert_eq!(
        (&errors[2]["code"], &errors[2]["revision"]),
        (&json!("E_PORT"), &json!(1))
    );
    assert_eq!(errors[2]["details"], json!({"port": 443, "nested": {"a": [1, 2]}}));
    assert_eq!(errors[1]["message"].as_str().map(str::len), Some(4096));
    let details = errors[1]["details"].to_string();
    assert!((1000..=65_536).contains(&details.len()), "{}", details.len());
    assert_eq!(
        node.tell("/node/config/applied", &json!({"revision": 1})).await,
        json!({"ok": true})
    );
    let shown = world.node(1).await;
    assert_eq!(
        (&shown["status"], &shown["syncStatus"]),
        (&json!("online"), &json!("synced"))
    );
    world.end();
}
