//! What was used: sums by step, and periods that begin again.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::contract::{caller::refused, world::World};
use crate::harness::eventually;

use super::kinds::{ask, change};

fn entry(protocol: i64, at: &str, up: i64, down: i64) -> Value {
    json!({"userId": 1, "subscriptionId": 1, "nodeProtocolId": protocol, "bytesUp": up, "bytesDown": down, "recordedAt": at})
}

/// A day that is surely over, and not so long ago that its times are not believed.
fn a_day() -> String {
    let now = vpn_core::clock::Clock::system().now();
    let day = now.minus(std::time::Duration::from_hours(72)).to_string();
    day[..10].to_owned()
}

#[tokio::test]
async fn usage_by_step_is_what_was_reported() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let (admin, day) = (world.admin(), a_day());
    let at = |time: &str| format!("{day}T{time}Z");
    let entries = json!({"entries": [
        entry(11, &at("10:00:05"), 1, 100), entry(11, &at("10:00:55"), 2, 200), entry(11, &at("10:59:59"), 4, 400),
        entry(12, &at("10:00:30"), 8, 800), entry(11, &at("11:00:00"), 16, 1_600), entry(11, &at("23:59:59"), 32, 3_200),
    ]});
    node.tell("/node/usage", &entries).await;
    world.settled(&node).await;
    let path =
        |step: &str, from: &str, to: &str| format!("/admin/users/1/usage?step={step}&from={}&to={}", at(from), at(to));
    for (step, from, to, expected) in [
        (
            "minute",
            "00:00:00",
            "23:59:59",
            vec![
                ("10:00:00", 11, 3, 300),
                ("10:00:00", 12, 8, 800),
                ("10:59:00", 11, 4, 400),
                ("11:00:00", 11, 16, 1_600),
                ("23:59:00", 11, 32, 3_200),
            ],
        ),
        ("minute", "10:59:00", "11:00:00", vec![("10:59:00", 11, 4, 400)]),
        (
            "hour",
            "00:00:00",
            "23:59:59",
            vec![
                ("10:00:00", 11, 7, 700),
                ("10:00:00", 12, 8, 800),
                ("11:00:00", 11, 16, 1_600),
                ("23:00:00", 11, 32, 3_200),
            ],
        ),
        (
            "day",
            "00:00:00",
            "23:59:59",
            vec![("00:00:00", 11, 55, 5_500), ("00:00:00", 12, 8, 800)],
        ),
        ("hour", "12:00:00", "13:00:00", vec![]),
    ] {
        let answer = admin.get(&path(step, from, to)).await;
        assert_eq!(answer["step"], step);
        let expected: Vec<Value> = expected
            .into_iter()
            .map(|(time, protocol, up, down)| {
                json!({"at": at(time), "nodeId": 1, "subscriptionId": 1, "nodeProtocolId": protocol, "bytesUp": up, "bytesDown": down})
            })
            .collect();
        assert_eq!(answer["points"], Value::from(expected), "{step} from {from} to {to}");
    }
    let month = admin.get("/admin/users/1/usage").await;
    assert_eq!(month["step"], "day");
    let up: i64 = month["points"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["bytesUp"].as_i64())
        .sum();
    assert_eq!(up, 63);
    assert_eq!(admin.get("/admin/users/2/usage").await["points"], json!([]));
    let row = admin.get("/admin/subscriptions/1").await;
    assert_eq!(
        (&row["trafficBytesUp"], &row["trafficBytesDown"]),
        (&json!(63), &json!(6_300))
    );
    for (query, named) in [
        ("step=second", "step "),
        ("from=yesterday", "from "),
        ("to=x", "to "),
        ("step=minute&from=2020-01-01T00:00:00Z", "from "),
    ] {
        let answer = ask(
            &admin,
            Method::GET,
            &format!("/admin/users/1/usage?{query}"),
            &Value::Null,
        )
        .await;
        let message = refused(&answer, StatusCode::BAD_REQUEST, query);
        assert!(message.starts_with(named), "{query}: {message}");
    }
    world.end();
}

async fn has_user(world: &World, there: bool) {
    let admin = world.admin();
    eventually("the clients of node 1", || async {
        let config = admin.get("/admin/nodes/1/config").await.to_string();
        (config.contains("u1.l1") == there).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reset_brings_a_limited_subscription_back() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let admin = world.admin();
    change(&admin, "/admin/subscriptions/1", &json!({"trafficLimitBytes": 1_000})).await;
    has_user(&world, true).await;
    node.tell(
        "/node/usage",
        &json!({"entries": [entry(11, &crate::contract::world::now(), 600, 600)]}),
    )
    .await;
    has_user(&world, false).await;
    eventually("the status in the store", || async {
        let row = admin.get("/admin/subscriptions/1").await;
        (row["status"] == "limited" && row["periodBytes"] == 1_200).then_some(())
    })
    .await;
    let answer = ask(&admin, Method::POST, "/admin/subscriptions/1/reset", &Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    for (field, value) in [
        ("status", json!("active")),
        ("periodBytes", json!(0)),
        ("trafficBytesUp", json!(600)),
        ("trafficBytesDown", json!(600)),
    ] {
        assert_eq!(answer.body[field], value, "{field}");
    }
    assert!(answer.body["periodStartedAt"].is_string() && answer.body["lastResetAt"].is_string());
    has_user(&world, true).await;
    node.tell(
        "/node/usage",
        &json!({"entries": [entry(11, &crate::contract::world::now(), 1_100, 0)]}),
    )
    .await;
    has_user(&world, false).await;
    change(&admin, "/admin/subscriptions/1", &json!({"trafficLimitBytes": null})).await;
    has_user(&world, true).await;
    let log = admin.get("/admin/audit").await.to_string();
    assert!(log.contains("subscription.reset"), "{log}");
    world.end();
}
