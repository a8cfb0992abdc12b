//! Bodies that can't be decoded: 400 with the field's path, and nothing is taken.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    caller::{Caller, refused},
    fields::{REGISTER, ROUTES, Route},
    world::World,
};

async fn walk(route: &Route, caller: &Caller) -> usize {
    let body = route.good_body();
    let mut sent = 0;
    for field in route.fields {
        for value in field.wrong_types() {
            let about = format!("{} {} = {value}", route.path, field.pointer);
            let answer = caller.post_text(route.path, field.put(&body, value)).await;
            let message = refused(&answer, StatusCode::BAD_REQUEST, &about);
            // A number that no double holds is no JSON to begin with: its place is named, not its field.
            if value != "1e400" {
                assert!(
                    message.starts_with(&format!("{} must be ", field.path)),
                    "{about}: {message}"
                );
            }
            sent += 1;
        }
        if let Some(without) = field.leave_out(&body).filter(|_| field.required) {
            let about = format!("{} without {}", route.path, field.pointer);
            let message = refused(
                &caller.post(route.path, &without).await,
                StatusCode::BAD_REQUEST,
                &about,
            );
            assert_eq!(message, format!("{} is required", field.path), "{about}");
            sent += 1;
        }
    }
    sent
}

#[tokio::test]
async fn the_first_bad_field_is_named_and_nothing_is_taken() {
    let mut world = World::new().await;
    let caller = world.caller(1).await;
    let code = world.code(&[]);
    let (before, fleet) = (world.settled(&caller).await, world.fleet().await);
    let mut sent = 0;
    for route in ROUTES {
        sent += walk(route, &caller).await;
    }
    sent += walk(&REGISTER, &world.stranger()).await;
    assert!(sent > 200, "{sent}");
    for (field, value, message) in [
        ("name", json!("  "), "name must have 1 to 255 characters"),
        ("name", json!("x".repeat(256)), "name must have 1 to 255 characters"),
        ("name", json!("a\nb"), "name must have 1 to 255 characters"),
        ("ip", json!("localhost"), "ip must be an IP address"),
        ("ip", json!("192.0.2.1:80"), "ip must be an IP address"),
        ("ip", json!(""), "ip must be an IP address"),
        ("port", json!(0), "port must be between 1 and 65535"),
        ("port", json!(65_536), "port must be between 1 and 65535"),
        ("port", json!(-1), "port must be between 1 and 65535"),
        ("port", json!(i64::MAX), "port must be between 1 and 65535"),
        ("region", json!("r".repeat(256)), "region must have 0 to 255 characters"),
        ("domain", json!("d".repeat(254)), "domain must have 1 to 253 characters"),
    ] {
        let mut body = REGISTER.good_body();
        body["code"] = json!(code);
        body[field] = value;
        let answer = world.stranger().post("/node/register", &body).await;
        assert_eq!(refused(&answer, StatusCode::BAD_REQUEST, field), message);
    }
    for revision in [-1, i64::MIN] {
        let answer = caller
            .post("/node/config/applied", &json!({"revision": revision}))
            .await;
        assert_eq!(
            refused(&answer, StatusCode::BAD_REQUEST, "applied"),
            "revision must not be negative"
        );
    }
    assert_eq!(world.settled(&caller).await, before);
    assert_eq!(world.fleet().await, fleet);
    world.end();
}

fn too_many(list: &str, item: &Value) -> String {
    let item = item.to_string();
    format!("{{\"{list}\":[{}]}}", vec![item.as_str(); 50_001].join(","))
}

#[tokio::test]
async fn fifty_thousand_items_and_no_more() {
    let mut world = World::new().await;
    let caller = world.caller(1).await;
    let before = world.settled(&caller).await;
    for (route, list) in [
        ("/node/usage", "entries"),
        ("/node/outbound-usage", "items"),
        ("/node/session-events", "events"),
    ] {
        let body = ROUTES.iter().find(|it| it.path == route).expect("a route").good_body();
        let text = too_many(list, &body[list][0]);
        let message = refused(&caller.post_text(route, text).await, StatusCode::BAD_REQUEST, route);
        assert_eq!(message, format!("{list} must have at most 50000 items"));
    }
    assert_eq!(world.settled(&caller).await, before);
    let item = json!({"tag": "block", "bytesUp": 1, "bytesDown": 2});
    let whole = json!({"items": vec![item; 50_000]});
    assert_eq!(caller.tell("/node/outbound-usage", &whole).await, json!({"ok": true}));
    let after = world.settled(&caller).await;
    assert_eq!(after["outbounds up"] - before["outbounds up"], 50_000);
    assert_eq!(after["outbounds down"] - before["outbounds down"], 100_000);
    world.end();
}

#[tokio::test]
async fn null_and_strange_fields_are_fine() {
    let mut world = World::new().await;
    let caller = world.caller(1).await;
    for route in ROUTES {
        for field in route.fields.iter().filter(|field| !field.required) {
            let mut body: Value = serde_json::from_str(&field.put(&route.good_body(), "null")).expect("JSON");
            assert_eq!(
                caller.tell(route.path, &body).await["ok"],
                true,
                "{} {}",
                route.path,
                field.pointer
            );
            body = field.leave_out(&route.good_body()).expect("a field of an object");
            assert_eq!(
                caller.tell(route.path, &body).await["ok"],
                true,
                "{} {}",
                route.path,
                field.pointer
            );
        }
        let mut body = route.good_body();
        body["somethingNew"] = json!({"deep": [{"er": null}]});
        if let Some(item) = body["entries"].get_mut(0) {
            item["somethingNew"] = json!([1, 2]);
        }
        assert_eq!(caller.tell(route.path, &body).await["ok"], true, "{}", route.path);
    }
    for empty in [json!({"entries": []}), json!({"items": []}), json!({"events": []})] {
        let route = match empty.as_object().and_then(|it| it.keys().next()).map(String::as_str) {
            Some("entries") => "/node/usage",
            Some("items") => "/node/outbound-usage",
            _ => "/node/session-events",
        };
        assert_eq!(caller.tell(route, &empty).await, json!({"ok": true}), "{route}");
    }
    let code = world.code(&[]);
    let mut body = REGISTER.good_body();
    (body["code"], body["domain"], body["unknown"]) = (json!(code), Value::Null, json!(1));
    let answer = world.stranger().post("/node/register", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    world.keep_secret(answer.body["authKey"].as_str().expect("a key"));
    let id = answer.body["nodeId"].as_i64().expect("nodeId is a number");
    assert_eq!(world.node(id).await["domain"], Value::Null);
    world.end();
}
