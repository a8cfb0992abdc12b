//! Every collection: rows are made, listed, read, changed and deleted.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::contract::{caller::refused, world::World};
use crate::harness::http::{Admin, send};

use super::kinds::{Kind, all, ask, at, change, delete, items, make, says};

#[tokio::test]
async fn rows_come_change_and_go() {
    let world = World::new().await;
    let admin = world.admin();
    for kind in all() {
        life(&admin, &kind).await;
    }
    world.end();
}

async fn life(admin: &Admin, kind: &Kind) {
    let before = items(admin, kind.below, 100).await;
    let made = make(admin, kind.below, &kind.least).await;
    says(&made, &kind.least);
    says(&made, &kind.defaults);
    if let Some(owner) = kind.owner {
        assert_eq!(made[owner], 1, "{}", kind.below);
    }
    let (below, own) = (at(kind.below, &made), at(kind.own, &made));
    for path in [&below, &own] {
        assert_eq!(admin.get(path).await, made, "{path}");
    }
    let listed = items(admin, kind.below, 100).await;
    assert_eq!(listed.len(), before.len() + 1, "{}", kind.below);
    assert_eq!(listed[0], made, "the newest is the first of {}", kind.below);

    let changed = change(admin, &own, &kind.change).await;
    says(&changed, &kind.change);
    let kept = made.as_object().expect("a row").iter();
    for (field, value) in kept.filter(|(field, _)| kind.change.get(field).is_none() && *field != "updatedAt") {
        assert_eq!(changed[field], *value, "{field} of {own} stays");
    }
    assert_eq!(change(admin, &below, &json!({})).await["id"], made["id"]);
    let nulls: serde_json::Map<String, Value> = kind
        .change
        .as_object()
        .expect("fields")
        .keys()
        .filter(|field| kind.defaults.get(field).is_some())
        .map(|field| (field.clone(), Value::Null))
        .collect();
    let cleared = change(admin, &below, &nulls.clone().into()).await;
    for field in nulls.keys() {
        assert_eq!(cleared[field], kind.defaults[field], "{field} of {own} by default");
    }

    delete(admin, &own).await;
    for path in [&below, &own] {
        for (method, body) in [
            (Method::GET, Value::Null),
            (Method::PATCH, json!({})),
            (Method::DELETE, Value::Null),
        ] {
            let about = format!("{method} {path}");
            refused(&ask(admin, method, path, &body).await, StatusCode::NOT_FOUND, &about);
        }
    }
    assert_eq!(items(admin, kind.below, 100).await, before, "{}", kind.below);
}

#[tokio::test]
async fn lists_have_pages() {
    let world = World::new().await;
    let admin = world.admin();
    for at in 0..7 {
        make(&admin, "/admin/users/1/links", &json!({"name": format!("link {at}")})).await;
    }
    let whole = items(&admin, "/admin/users/1/links", 1_000).await;
    assert_eq!(whole.len(), 8);
    for limit in [1, 3, 4, 8] {
        assert_eq!(items(&admin, "/admin/users/1/links", limit).await, whole, "by {limit}");
    }
    let ids: BTreeSet<i64> = whole.iter().filter_map(|row| row["id"].as_i64()).collect();
    assert_eq!(ids.len(), 8);
    for query in ["limit=0", "limit=1001", "limit=x", "limit=-1", "cursor=x"] {
        let path = format!("/admin/users/1/links?{query}");
        refused(
            &ask(&admin, Method::GET, &path, &Value::Null).await,
            StatusCode::BAD_REQUEST,
            query,
        );
    }
    world.end();
}

#[tokio::test]
async fn rows_are_only_below_their_owner() {
    let world = World::new().await;
    let admin = world.admin();
    for path in [
        "/admin/users/1/subscriptions/1",
        "/admin/users/1/links/1",
        "/admin/links/1/subscription-links/1",
        "/admin/nodes/1/protocols/11",
        "/admin/nodes/1/outbounds/21",
        "/admin/nodes/1/routing-rules/31",
    ] {
        admin.get(path).await;
    }
    for path in [
        "/admin/users/2/subscriptions/1",
        "/admin/users/2/links/1",
        "/admin/links/2/subscription-links/1",
        "/admin/nodes/2/protocols/11",
        "/admin/nodes/2/outbounds/21",
        "/admin/nodes/2/routing-rules/31",
        "/admin/nodes/x/protocols/11",
        "/admin/users/99",
        "/admin/users/x",
        "/admin/users/99999999999999999999",
    ] {
        for (method, body) in [
            (Method::GET, Value::Null),
            (Method::PATCH, json!({})),
            (Method::DELETE, Value::Null),
        ] {
            let about = format!("{method} {path}");
            refused(&ask(&admin, method, path, &body).await, StatusCode::NOT_FOUND, &about);
        }
    }
    for kind in all().into_iter().filter(|kind| kind.owner.is_some()) {
        let path = kind.below.replace("/1/", "/99/");
        for (method, body) in [(Method::GET, Value::Null), (Method::POST, kind.least)] {
            let about = format!("{method} {path}");
            refused(&ask(&admin, method, &path, &body).await, StatusCode::NOT_FOUND, &about);
        }
    }
    for (method, path) in [
        (Method::PUT, "/admin/protocols/99/links"),
        (Method::DELETE, "/admin/protocols/99/links"),
        (Method::POST, "/admin/subscriptions/99/reset"),
        (Method::GET, "/admin/users/99/usage"),
    ] {
        let body = json!({"ids": [1]});
        refused(&ask(&admin, method, path, &body).await, StatusCode::NOT_FOUND, path);
    }
    world.end();
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let world = World::new().await;
    let admin = world.admin();
    let mut wrong = vec![
        (Method::GET, "/admin/users/bulk".to_owned()),
        (Method::GET, "/admin/protocols/11/links".to_owned()),
        (Method::POST, "/admin/protocols/11/links".to_owned()),
        (Method::GET, "/admin/subscriptions/1/reset".to_owned()),
        (Method::POST, "/admin/users/1/usage".to_owned()),
    ];
    for kind in all() {
        for method in [Method::PUT, Method::DELETE, Method::PATCH] {
            wrong.push((method, kind.below.to_owned()));
        }
        for method in [Method::PUT, Method::POST] {
            wrong.push((method, format!("{}/1", kind.own)));
        }
    }
    for (method, path) in wrong {
        let about = format!("{method} {path}");
        let answer = send(admin.request(method, &path).json(&json!({}))).await;
        refused(&answer, StatusCode::METHOD_NOT_ALLOWED, &about);
    }
    world.end();
}

#[tokio::test]
async fn what_a_user_has_goes_with_him() {
    let world = World::new().await;
    let admin = world.admin();
    delete(&admin, "/admin/users/1").await;
    for path in [
        "/admin/users/1",
        "/admin/subscriptions/1",
        "/admin/links/1",
        "/admin/subscription-links/1",
    ] {
        refused(
            &ask(&admin, Method::GET, path, &Value::Null).await,
            StatusCode::NOT_FOUND,
            path,
        );
    }
    admin.get("/admin/subscription-links/2").await;
    world.end();
}
