//! `/admin/nodes/{id}`: changes, and who changed it first.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::http::{Answer, send};

use super::{caller::refused, world::World};

async fn patch(world: &World, id: i64, body: &Value) -> Answer {
    send(
        world
            .admin()
            .request(Method::PATCH, &format!("/admin/nodes/{id}"))
            .json(body),
    )
    .await
}

#[tokio::test]
async fn every_field_can_be_changed() {
    let world = World::new().await;
    for (field, value) in [
        ("name", json!("münchen 1")),
        ("ip", json!("2001:db8::5")),
        ("port", json!(65_535)),
        ("region", json!("bavaria")),
        ("domain", json!("m1.example.test")),
        ("enabled", json!(false)),
        ("trafficMultiplier", json!(1.5)),
        ("domain", Value::Null),
        ("trafficMultiplier", json!(0)),
    ] {
        let before = world.node(1).await;
        let answer = patch(&world, 1, &json!({field: value})).await;
        assert_eq!(answer.status, StatusCode::OK, "{field}: {}", answer.body);
        let mut expected = before.clone();
        expected[field] = value;
        for moving in ["version", "revision", "configHash", "configBytes"] {
            expected[moving] = answer.body[moving].clone();
        }
        if field == "trafficMultiplier" {
            assert_eq!(answer.body[field].as_f64(), expected[field].as_f64());
            expected[field] = answer.body[field].clone();
        }
        assert_eq!(answer.body, expected, "{field}");
        assert_eq!(world.node(1).await, expected, "{field}");
        assert!(answer.body["version"].as_i64() > before["version"].as_i64());
    }
    let all = json!({"name": "de-1", "ip": "::ffff:192.0.2.11", "port": 8001, "region": "de", "enabled": true, "trafficMultiplier": 1.0});
    assert_eq!(patch(&world, 1, &all).await.body["ip"], "192.0.2.11");
    assert_eq!(patch(&world, 2, &json!({})).await.status, StatusCode::OK);
    world.end();
}

#[tokio::test]
async fn bad_changes_change_nothing() {
    let world = World::new().await;
    let fleet = world.fleet().await;
    for (body, message) in [
        (json!({"name": ""}), "name must have 1 to 255 characters"),
        (json!({"name": "a\tb"}), "name must have 1 to 255 characters"),
        (json!({"name": 5}), "name must be a string"),
        (json!({"ip": "nowhere"}), "ip must be an IP address"),
        (json!({"port": 0}), "port must be between 1 and 65535"),
        (json!({"port": 65_536}), "port must be between 1 and 65535"),
        (json!({"port": -1}), "port must be between 1 and 65535"),
        (json!({"port": "80"}), "port must be an integer"),
        (
            json!({"domain": "d".repeat(254)}),
            "domain must have 1 to 253 characters",
        ),
        (json!({"domain": 5}), "domain must be a string"),
        (
            json!({"region": "r".repeat(256)}),
            "region must have 1 to 255 characters",
        ),
        (json!({"region": "a\u{0}b"}), "region must have 1 to 255 characters"),
        (json!({"enabled": 1}), "enabled must be a boolean"),
        (
            json!({"trafficMultiplier": -0.5}),
            "trafficMultiplier must be between 0 and 1000",
        ),
        (
            json!({"trafficMultiplier": 1e9}),
            "trafficMultiplier must be between 0 and 1000",
        ),
        (json!({"trafficMultiplier": "2"}), "trafficMultiplier must be a number"),
        (json!({"id": 7}), "id is not a field"),
        (json!([1]), "the body must be an object"),
    ] {
        let answer = patch(&world, 1, &body).await;
        assert_eq!(refused(&answer, StatusCode::BAD_REQUEST, &body.to_string()), message);
    }
    refused(
        &patch(&world, 1, &json!({"name": "nl-1"})).await,
        StatusCode::CONFLICT,
        "the name of node 2",
    );
    let text = world
        .admin()
        .request(Method::PATCH, "/admin/nodes/1")
        .header("content-type", "text/plain")
        .body("{}");
    refused(&send(text).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "text");
    assert_eq!(world.fleet().await, fleet);
    world.end();
}

#[tokio::test]
async fn the_first_writer_wins() {
    let world = World::new().await;
    let admin = world.admin();
    let read = send(admin.request(Method::GET, "/admin/nodes/1")).await;
    let etag = read.headers["etag"].to_str().expect("text").to_owned();
    let change = async |tag: &str, region: &str| {
        let request = admin.request(Method::PATCH, "/admin/nodes/1").header("if-match", tag);
        send(request.json(&json!({"region": region}))).await
    };
    let first = change(&etag, "one").await;
    assert_eq!(first.status, StatusCode::OK);
    let next = first.headers["etag"].to_str().expect("text").to_owned();
    assert_ne!(next, etag);
    for stale in [etag.as_str(), "\"999\"", "\"x\"", "nonsense", ""] {
        refused(&change(stale, "two").await, StatusCode::PRECONDITION_FAILED, stale);
    }
    assert_eq!(world.node(1).await["region"], "one");
    assert_eq!(change(&next, "three").await.status, StatusCode::OK);
    assert_eq!(change("*", "four").await.body["region"], "four");
    let delete = admin
        .request(Method::DELETE, "/admin/nodes/1")
        .header("if-match", &etag);
    refused(&send(delete).await, StatusCode::PRECONDITION_FAILED, "a stale delete");
    let fresh = send(admin.request(Method::GET, "/admin/nodes/1")).await;
    let delete = admin
        .request(Method::DELETE, "/admin/nodes/1")
        .header("if-match", &fresh.headers["etag"]);
    assert_eq!(send(delete).await.status, StatusCode::NO_CONTENT);
    world.end();
}

#[tokio::test]
async fn a_deleted_node_is_gone_and_its_bytes_stay() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let other = world.caller(2).await;
    node.tell(
        "/node/usage",
        &json!({"entries": [super::world::usage_entry(1, 10, 20)]}),
    )
    .await;
    let before = world.settled(&node).await;
    let admin = world.admin();
    assert_eq!(
        send(admin.request(Method::DELETE, "/admin/nodes/1")).await.status,
        StatusCode::NO_CONTENT
    );
    refused(
        &node.get("/node/config/latest").await,
        StatusCode::UNAUTHORIZED,
        "its key",
    );
    for method in [Method::GET, Method::DELETE] {
        refused(
            &send(admin.request(method, "/admin/nodes/1")).await,
            StatusCode::NOT_FOUND,
            "it",
        );
    }
    let after = world.settled(&other).await;
    for sum in ["usage up", "usage down", "subscriptions up", "subscriptions down"] {
        assert_eq!(after[sum], before[sum], "{sum}");
    }
    world.end();
}
