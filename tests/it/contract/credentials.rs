//! Who is let in: no key, a wrong key, a dead key, the key of a node that is gone or switched off.

use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tonic::{Code, Request};
use vpn_core::{
    model::{NodeId, secrets::new_node_key},
    proto::nodeservice::{GetLatestConfigRequest, HeartbeatRequest, ReportUsageRequest},
};

use crate::harness::{
    http::send,
    rpc::{Agent, entry},
};

use super::{
    caller::{Caller, refused},
    fields::ROUTES,
    raw::{METHODS, Raw, good_message, text_field},
    world::{World, usage_entry},
};

const SAME_WORDS: &str = "the auth key is missing or not valid";

async fn is_refused_everywhere(caller: &Caller, about: &str) {
    for route in ROUTES {
        let answer = caller.post(route.path, &route.good_body()).await;
        let message = refused(&answer, StatusCode::UNAUTHORIZED, &format!("{about} {}", route.path));
        assert_eq!(message, SAME_WORDS);
    }
    let answer = caller.get("/node/config/latest").await;
    assert_eq!(refused(&answer, StatusCode::UNAUTHORIZED, about), SAME_WORDS);
}

#[tokio::test]
async fn strangers_are_refused_with_the_same_words() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let revoked = world.key(2).await;
    let admin = world.admin();
    let keys = admin.get("/admin/nodes/2/keys").await;
    let path = format!("/admin/nodes/2/keys/{}", keys["items"][0]["id"]);
    assert_eq!(
        send(admin.request(Method::DELETE, &path)).await.status,
        StatusCode::NO_CONTENT
    );
    let deleted = world.key(3).await;
    assert_eq!(
        send(admin.request(Method::DELETE, "/admin/nodes/3")).await.status,
        StatusCode::NO_CONTENT
    );
    let unknown = new_node_key(NodeId(1));
    let good = node.key.clone().expect("a key");
    let broken = format!("{}x", &good[..good.len() - 1]);
    let padded = format!("{good}{good}");
    let huge = "k".repeat(4_000);

    let before = world.settled(&node).await;
    let fleet = world.fleet().await;
    for (about, key) in [
        ("no key", None),
        ("an empty key", Some("")),
        ("an unknown key", Some(unknown.expose_secret())),
        ("a typo", Some(broken.as_str())),
        ("a key twice", Some(padded.as_str())),
        ("not a key", Some("secret")),
        ("a huge key", Some(huge.as_str())),
        ("an admin's token", Some(crate::harness::core::ADMIN_TOKEN)),
        ("a revoked key", Some(revoked.as_str())),
        ("the key of a deleted node", Some(deleted.as_str())),
    ] {
        is_refused_everywhere(&node.with_key(key), about).await;
        for method in METHODS {
            let raw = Raw::connect(world.core.ports.grpc);
            let status = raw
                .call(method, key, good_message(method))
                .await
                .expect_err("it is refused");
            assert_eq!(
                (status.code(), status.message()),
                (Code::Unauthenticated, SAME_WORDS),
                "{about} {method}"
            );
            let status = raw
                .call(
                    method,
                    None,
                    [text_field(1, key.unwrap_or_default()), good_message(method)].concat(),
                )
                .await
                .expect_err("it is refused");
            assert_eq!(
                (status.code(), status.message()),
                (Code::Unauthenticated, SAME_WORDS),
                "{about} {method}"
            );
        }
    }
    let bearer = node
        .with_key(None)
        .request(Method::GET, "/node/config/latest")
        .bearer_auth(&good);
    refused(
        &send(bearer).await,
        StatusCode::UNAUTHORIZED,
        "the key as a bearer token",
    );
    assert_eq!(world.settled(&node).await, before);
    assert_eq!(world.fleet().await, fleet);
    world.end();
}

#[tokio::test]
async fn the_metadata_decides_when_it_is_not_empty() {
    let mut world = World::new().await;
    let good = world.key(1).await;
    let bad = "core_node_1_bad";
    let mut client = Agent::connect(world.core.ports.grpc, &good).client;
    for (metadata, field, code) in [
        (Some(good.as_str()), "", Code::Ok),
        (Some(good.as_str()), bad, Code::Ok),
        (Some(bad), good.as_str(), Code::Unauthenticated),
        (Some(""), good.as_str(), Code::Ok),
        (None, good.as_str(), Code::Ok),
        (None, bad, Code::Unauthenticated),
        (None, "", Code::Unauthenticated),
    ] {
        let mut request = Request::new(HeartbeatRequest {
            auth_key: field.to_owned(),
            revision: Some(1),
            ip: None,
        });
        if let Some(key) = metadata {
            request
                .metadata_mut()
                .insert("x-node-auth-key", key.parse().expect("ASCII"));
        }
        let answer = client.heartbeat(request).await;
        let got = answer.as_ref().map_or_else(tonic::Status::code, |_| Code::Ok);
        assert_eq!(got, code, "{:?} {}", metadata.map(str::len), field.len());
    }
    world.end();
}

#[tokio::test]
async fn a_disabled_node_is_answered_and_counted_without_clients() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let mut agent = world.agent(&node).await;
    let before = world.settled(&node).await;
    let full = node.get("/node/config/latest").await.body;
    let revision = full["revision"].as_i64().expect("a revision");
    let admin = world.admin();
    let patch = async |enabled: bool| {
        send(
            admin
                .request(Method::PATCH, "/admin/nodes/1")
                .json(&json!({"enabled": enabled})),
        )
        .await
    };
    assert_eq!(patch(false).await.body["enabled"], false);

    assert!(node.beat(revision).await);
    let bare = node.get("/node/config/latest").await.body;
    assert_eq!(bare["revision"], revision + 1);
    assert_eq!(
        (&bare["clientMap"], &bare["mtprotoClientMap"]),
        (&json!({}), &json!({}))
    );
    assert!(bare["services"].is_object());
    assert!(!bare.to_string().contains("u1.l1.s1"), "a client is left");
    let config = agent
        .client
        .get_latest_config(agent.request(GetLatestConfigRequest::default()))
        .await;
    assert_eq!(config.expect("it is answered").get_ref().client_map_json, "{}");
    for route in ROUTES {
        assert_eq!(
            node.tell(route.path, &route.good_body()).await["ok"],
            true,
            "{}",
            route.path
        );
    }
    node.tell("/node/usage", &json!({"entries": [usage_entry(1, 10, 20)]}))
        .await;
    let report = ReportUsageRequest {
        entries: vec![entry(2, 12, 100, 200)],
        ..ReportUsageRequest::default()
    };
    let answer = agent
        .client
        .report_usage(agent.request(report))
        .await
        .expect("it is answered");
    assert!(answer.get_ref().ok);
    let after = world.settled(&node).await;
    // Two entries of one byte each are in the body that every route was sent.
    assert_eq!(after["usage up"] - before["usage up"], 10 + 100 + 2);
    assert_eq!(after["subscriptions up"] - before["subscriptions up"], 10 + 100 + 2);

    assert_eq!(patch(true).await.body["enabled"], true);
    let again = node.get("/node/config/latest").await.body;
    assert_eq!(again["revision"], revision + 2);
    assert_eq!(again["clientMap"], full["clientMap"]);
    assert_eq!(again["services"], full["services"]);
    assert_ne!(again["clientMap"], Value::Null);
    world.end();
}
