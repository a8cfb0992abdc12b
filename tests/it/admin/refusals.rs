//! Bodies that can't be right: the field is named, and nothing changes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::contract::{caller::refused, world::World};
use crate::harness::http::send;

use super::kinds::{all, ask, at, items, make};

#[tokio::test]
async fn unknown_and_fixed_fields_are_named() {
    let world = World::new().await;
    let admin = world.admin();
    for kind in all() {
        let before = items(&admin, kind.below, 100).await;
        for (field, value, message) in [
            ("nick", json!(1), "nick is not a field"),
            ("nick", Value::Null, "nick is not a field"),
            ("id", json!(5), "id can't be set"),
            ("deletedAt", json!("2026-01-01T00:00:00Z"), "deletedAt can't be set"),
        ] {
            let mut body = kind.least.clone();
            body[field] = value;
            let answer = ask(&admin, Method::POST, kind.below, &body).await;
            let about = format!("{} {body}", kind.below);
            assert_eq!(refused(&answer, StatusCode::BAD_REQUEST, &about), message, "{about}");
        }
        if let Some(owner) = kind.owner {
            let mut body = kind.least.clone();
            body[owner] = json!(1);
            let answer = ask(&admin, Method::POST, kind.below, &body).await;
            let message = refused(&answer, StatusCode::BAD_REQUEST, owner);
            assert_eq!(message, format!("{owner} can't be set"));
        }
        assert_eq!(items(&admin, kind.below, 100).await, before);
        let made = make(&admin, kind.below, &kind.least).await;
        let path = at(kind.own, &made);
        for (field, value) in [
            ("nick", json!(1)),
            ("nick", Value::Null),
            ("id", json!(5)),
            ("id", Value::Null),
        ] {
            let answer = ask(&admin, Method::PATCH, &path, &json!({field: value})).await;
            let message = refused(&answer, StatusCode::BAD_REQUEST, &path);
            assert!(message.starts_with(field), "{path}: {message}");
        }
        assert_eq!(admin.get(&path).await, made);
    }
    world.end();
}

type Wrong = Vec<(&'static str, Vec<(&'static str, Value)>)>;

fn wrong_of_people() -> Wrong {
    vec![
        (
            "/admin/users/1",
            vec![
                ("name", json!(5)),
                ("name", json!("")),
                ("name", json!("a\tb")),
                ("name", Value::Null),
                ("name", json!("x".repeat(256))),
                ("status", json!("x")),
                ("status", json!(5)),
                ("uuid", json!("x")),
                ("uuid", json!(5)),
                ("createdAt", json!("2026-01-01T00:00:00Z")),
            ],
        ),
        (
            "/admin/subscriptions/1",
            vec![
                ("status", json!("x")),
                ("status", json!([])),
                ("startsAt", json!("yesterday")),
                ("startsAt", json!(5)),
                ("trafficLimitBytes", json!(-1)),
                ("trafficLimitBytes", json!("1")),
                ("trafficLimitBytes", json!(1.5)),
                ("trafficLimitBytes", json!(1e30)),
                ("resetStrategy", json!("hourly")),
                ("maxIps", json!(0)),
                ("rateUpBps", json!(0)),
                ("rateDownBps", json!(-5)),
                ("maxIps", json!(true)),
                ("trafficBytesUp", json!(5)),
                ("periodBytes", json!(0)),
            ],
        ),
        (
            "/admin/links/1",
            vec![
                ("name", json!(" ")),
                ("enabled", json!(1)),
                ("revokedAt", json!("x")),
                ("token", json!("x")),
            ],
        ),
        (
            "/admin/subscription-links/1",
            vec![
                ("uuid", json!("x")),
                ("subscriptionId", json!("1")),
                ("subscriptionId", json!(99)),
                ("enabled", json!("yes")),
            ],
        ),
    ]
}

fn wrong_of_nodes() -> Wrong {
    vec![
        (
            "/admin/protocols/11",
            vec![
                ("protocol", json!("pptp")),
                ("protocol", json!(5)),
                ("protocol", Value::Null),
                ("port", json!("443")),
                ("port", Value::Null),
                ("port", json!(1.5)),
                ("listen", json!("everywhere")),
                ("listen", json!(5)),
                ("tag", json!(5)),
                ("position", json!("first")),
                ("enabled", json!("no")),
                ("settings", json!([])),
                ("streamSettings", json!("x")),
                ("sniffing", json!(5)),
                ("network", json!(5)),
            ],
        ),
        (
            "/admin/outbounds/21",
            vec![
                ("tag", json!(5)),
                ("protocol", json!(5)),
                ("config", json!("x")),
                ("position", json!(1.5)),
            ],
        ),
        (
            "/admin/routing-rules/31",
            vec![
                ("rule", json!("x")),
                ("rule", Value::Null),
                ("outboundId", json!("21")),
                ("position", json!("x")),
            ],
        ),
    ]
}

#[tokio::test]
async fn wrong_types_and_values_are_named() {
    let world = World::new().await;
    let admin = world.admin();
    for (path, fields) in wrong_of_people().into_iter().chain(wrong_of_nodes()) {
        let before = admin.get(path).await;
        for (field, value) in fields {
            let about = format!("{path} {field} {value}");
            let answer = ask(&admin, Method::PATCH, path, &json!({field: value})).await;
            let message = refused(&answer, StatusCode::BAD_REQUEST, &about);
            assert!(message.starts_with(&format!("{field} ")), "{about}: {message}");
        }
        assert_eq!(admin.get(path).await, before, "{path}");
    }
    let times = json!({"startsAt": "2026-02-01T00:00:00Z", "expiresAt": "2026-01-01T00:00:00Z"});
    let answer = ask(&admin, Method::POST, "/admin/users/1/subscriptions", &times).await;
    assert_eq!(
        refused(&answer, StatusCode::BAD_REQUEST, "times"),
        "expiresAt must be after startsAt"
    );
    world.end();
}

#[tokio::test]
async fn bodies_that_are_no_objects_are_refused() {
    let world = World::new().await;
    let admin = world.admin();
    for (body, about) in [
        ("", "nothing"),
        ("[]", "a list"),
        ("{", "half"),
        ("5", "a number"),
        ("{\"name\":}", "no value"),
    ] {
        for (method, path) in [(Method::POST, "/admin/users"), (Method::PATCH, "/admin/users/1")] {
            let request = admin
                .request(method, path)
                .header("content-type", "application/json")
                .body(body);
            refused(&send(request).await, StatusCode::BAD_REQUEST, about);
        }
    }
    let text = admin
        .request(Method::POST, "/admin/users")
        .header("content-type", "text/plain")
        .body("{}");
    refused(&send(text).await, StatusCode::UNSUPPORTED_MEDIA_TYPE, "text");
    world.end();
}

#[tokio::test]
async fn what_is_unique_is_taken_once() {
    let world = World::new().await;
    let admin = world.admin();
    let user = admin.get("/admin/users/1").await;
    for (path, body, field) in [
        ("/admin/users", json!({"name": "x", "uuid": user["uuid"]}), "uuid "),
        (
            "/admin/links/1/subscription-links",
            json!({"uuid": "4e0a7b1d-7c3a-4f58-9b6e-d2a5c0e8f702"}),
            "uuid ",
        ),
        (
            "/admin/links/1/subscription-links",
            json!({"subscriptionId": 1}),
            "subscriptionId ",
        ),
    ] {
        let answer = ask(&admin, Method::POST, path, &body).await;
        let message = refused(&answer, StatusCode::BAD_REQUEST, path);
        assert!(message.starts_with(field), "{path}: {message}");
    }
    world.end();
}
