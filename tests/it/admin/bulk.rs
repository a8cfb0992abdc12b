//! Many users in one request: all or none.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::contract::{caller::refused, sums, world::World};

use super::kinds::{ask, at, items};

const BULK: &str = "/admin/users/bulk";

fn user(at: usize) -> Value {
    json!({
        "name": format!("bulk {at}"),
        "subscriptions": [{"trafficLimitBytes": 1_000 + at, "resetStrategy": "monthly"}],
        "links": [{"name": "phone", "subscriptionLinks": [{"subscription": 0, "protocolIds": [11, 12, 13, 21]}]}],
    })
}

fn counts(world: &World) -> Vec<String> {
    let tables = [
        "users",
        "subscriptions",
        "links",
        "subscription_links",
        "node_protocol_links",
        "audit_log",
    ];
    let count = |table: &&str| sums::value::<i64>(world.dir(), &format!("SELECT count(*) FROM {table}")).to_string();
    tables.iter().map(count).collect()
}

#[tokio::test]
async fn a_thousand_users_come_at_once() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let (admin, revision) = (world.admin(), node.config_revision().await);
    let users: Vec<Value> = (0..1_000).map(user).collect();
    let answer = ask(&admin, Method::POST, BULK, &json!({ "users": users })).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let made = answer.body["items"].as_array().expect("a list");
    assert_eq!(made.len(), 1_000);
    for (at, user) in made.iter().enumerate() {
        assert_eq!(user["name"], format!("bulk {at}"));
        let (subscription, link) = (&user["subscriptions"][0], &user["links"][0]);
        let credentials = &link["subscriptionLinks"][0];
        assert_eq!(subscription["trafficLimitBytes"], 1_000 + at);
        assert_eq!(
            (&subscription["userId"], &link["userId"]),
            (&user["id"], &user["id"]),
            "{user}"
        );
        assert_eq!(credentials["linkId"], link["id"], "{user}");
        assert_eq!(credentials["subscriptionId"], subscription["id"], "{user}");
    }
    let last = &made[999];
    let path = format!("{}/subscriptions", at("/admin/users", last));
    assert_eq!(items(&admin, &path, 10).await[0]["id"], last["subscriptions"][0]["id"]);
    let config = super::configs::after(&world, 1, revision).await;
    assert_eq!(config["revision"], revision + 1, "one change is one revision");
    for at in [0, 1] {
        let clients = &config["services"]["xray"]["inbounds"][at]["settings"]["clients"];
        assert_eq!(clients.as_array().map(Vec::len), Some(1_002), "inbound {at}");
    }
    let users = &config["services"]["mtproto"]["inbounds"][0]["users"];
    assert_eq!(users.as_array().map(Vec::len), Some(1_002));
    assert_eq!(world.node(1).await["configProblems"], json!([]));
    world.end();
}

#[tokio::test]
async fn a_bad_one_at_the_end_changes_nothing_and_is_named() {
    let world = World::new().await;
    let admin = world.admin();
    let before = counts(&world);
    let taken = "9c1f6a52-0d0e-4b7e-8f63-5f4f3a0f1b01";
    let like_it = "9c1f6a52-0d0e-4b7f-8f63-5f4f3a0f1b01";
    let with = |field: &str, value: Value| {
        let mut one = user(30);
        *one.pointer_mut(field).unwrap_or(&mut Value::Null) = value;
        one
    };
    let credentials = "/links/0/subscriptionLinks/0";
    let place = "users[30].links[0].subscriptionLinks[0]";
    for (bad, named) in [
        (with("/name", json!(" ")), "users[30].name must have".to_owned()),
        (with("/name", json!(5)), "users[30].name must be a string".to_owned()),
        (
            json!({"name": "x", "nick": 1}),
            "users[30].nick is not a field".to_owned(),
        ),
        (json!({"links": []}), "users[30].name is required".to_owned()),
        (json!(5), "users[30] must be an object".to_owned()),
        (with("/subscriptions", json!({})), "users[30].subscriptions".to_owned()),
        (
            with("/subscriptions/0", json!({"trafficLimitBytes": -1})),
            "users[30].subscriptions[0].trafficLimitBytes must be at least 0".to_owned(),
        ),
        (
            with("/subscriptions/0", json!({"userId": 1})),
            "users[30].subscriptions[0].userId can't be set".to_owned(),
        ),
        (
            with("/links/0/name", Value::Null),
            "users[30].links[0].name is required".to_owned(),
        ),
        (
            with(credentials, json!({"subscription": 1})),
            format!("{place}.subscription is none of the user's"),
        ),
        (
            with(credentials, json!({"subscription": -1})),
            format!("{place}.subscription is none of the user's"),
        ),
        (with(credentials, json!({"uuid": "x"})), format!("{place}.uuid ")),
        (with(credentials, json!({"uuid": taken})), format!("{place}.uuid ")),
        (
            with(credentials, json!({"uuid": like_it, "protocolIds": [11]})),
            format!("{place}.uuid is that of another client"),
        ),
        (
            with(credentials, json!({"subscriptionId": 99})),
            format!("{place}.subscriptionId 99 is not"),
        ),
        (
            with(credentials, json!({"protocolIds": [11, 99]})),
            format!("{place}.protocolIds[1] 99 is no protocol"),
        ),
    ] {
        let mut users: Vec<Value> = (0..30).map(user).collect();
        users.push(bad.clone());
        let answer = ask(&admin, Method::POST, BULK, &json!({ "users": users })).await;
        let message = refused(&answer, StatusCode::BAD_REQUEST, &bad.to_string());
        assert!(message.starts_with(&named), "{message} names {named}");
        assert_eq!(counts(&world), before, "{bad}");
    }
    let many: Vec<Value> = (0..1_001).map(|_| json!({"name": "x"})).collect();
    for (body, message) in [
        (json!({ "users": many }), "users must have at most 1000 items"),
        (json!({}), "users is required"),
        (json!({"users": [], "more": 1}), "more is not a field"),
        (json!([]), "the body must be an object"),
    ] {
        let answer = ask(&admin, Method::POST, BULK, &body).await;
        assert_eq!(refused(&answer, StatusCode::BAD_REQUEST, message), message);
    }
    assert_eq!(counts(&world), before);
    assert_eq!(items(&admin, "/admin/users", 100).await.len(), 2);
    world.end();
}
