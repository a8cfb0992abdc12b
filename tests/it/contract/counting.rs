//! What counts, and under which minute: a bad item goes alone, bytes are never refused for their time.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{
    caller::Caller,
    sums::rows,
    world::{World, now, usage_entry},
};

fn changed(mut item: Value, field: &str, value: Value) -> Value {
    item[field] = value;
    item
}

async fn rejected(world: &World, kind: &str) -> Vec<(String, String, Value)> {
    let listed = world.admin().get(&format!("/admin/rejected?kind={kind}")).await;
    let row = |row: &Value| {
        assert_eq!(row["nodeId"], 1);
        assert!(row["receivedAt"].is_string());
        let text = |field: &str| row[field].as_str().expect("a text").to_owned();
        (text("kind"), text("reason"), row["item"].clone())
    };
    let mut rows: Vec<_> = listed["items"].as_array().expect("a list").iter().map(row).collect();
    rows.reverse();
    rows
}

#[tokio::test]
async fn a_bad_usage_entry_goes_alone() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let before = world.settled(&node).await;
    let good = usage_entry(1, 10, 20);
    let above = (1_i64 << 44) + 1;
    let entries = [
        good.clone(),
        changed(good.clone(), "bytesUp", json!(-1)),
        changed(good.clone(), "bytesDown", json!(i64::MIN)),
        changed(good.clone(), "bytesUp", json!(above)),
        changed(good.clone(), "bytesDown", json!(i64::MAX)),
        changed(good.clone(), "userId", json!(-7)),
        changed(good.clone(), "subscriptionId", json!(-1)),
        changed(good.clone(), "nodeProtocolId", json!(21)),
        changed(good.clone(), "nodeProtocolId", json!(-11)),
        changed(good.clone(), "nodeProtocolId", json!(0)),
        changed(good.clone(), "userId", json!(i64::MAX)),
        changed(good.clone(), "subscriptionId", json!(987_654)),
        changed(good.clone(), "subscriptionId", json!(0)),
        changed(good, "bytesUp", json!(1_i64 << 44)),
    ];
    let answer = node.tell("/node/usage", &json!({"entries": entries})).await;
    let words = [
        "entries[1]: bytesUp is negative",
        "entries[2]: bytesDown is negative",
        "entries[3]: bytesUp is above 2^44",
        "entries[4]: bytesDown is above 2^44",
        "entries[5]: userId is negative",
        "entries[6]: subscriptionId is negative",
        "entries[7]: nodeProtocolId 21 was never an inbound of this node",
        "entries[8]: nodeProtocolId is negative",
        "entries[9]: nodeProtocolId 0 was never an inbound of this node",
    ];
    assert_eq!(answer["rejected"], 9);
    for (at, reason) in words.iter().enumerate() {
        let said = answer["reasons"][at].as_str().expect("a text");
        let about = reason.split(' ').nth(1).expect("a field");
        assert!(
            said.starts_with(&format!("entries[{}]: {about} ", at + 1)),
            "{said}, not {reason}"
        );
    }
    let after = world.settled(&node).await;
    assert_eq!(after["usage up"] - before["usage up"], 30 + (1 << 44));
    assert_eq!(after["usage down"] - before["usage down"], 80);
    // An unknown subscription is stored as it is, and moves no counter of one that is there; a known one that an unknown user names is suspect.
    assert_eq!(after["subscriptions up"] - before["subscriptions up"], 10 + (1 << 44));
    assert_eq!(after["usage rejected"] - before["usage rejected"], 9);
    let kept = rejected(&world, "usage").await;
    assert_eq!(kept.len(), 9);
    for (at, (kind, reason, item)) in kept.iter().enumerate() {
        assert_eq!(kind, "usage");
        assert_eq!(Some(reason.as_str()), answer["reasons"][at].as_str());
        assert_eq!(item, &entries[at + 1]);
    }

    let all_bad = vec![changed(usage_entry(1, 1, 1), "bytesUp", json!(-5)); 25];
    let answer = node.tell("/node/usage", &json!({"entries": all_bad})).await;
    assert_eq!((&answer["ok"], &answer["rejected"]), (&json!(true), &json!(25)));
    assert_eq!(answer["reasons"].as_array().map(Vec::len), Some(10));
    let last = world.settled(&node).await;
    assert_eq!(last["usage rejected"] - after["usage rejected"], 25);
    assert_eq!(last["usage rows"], after["usage rows"]);
    world.end();
}

#[tokio::test]
async fn bad_outbound_items_and_events_go_alone() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let before = world.settled(&node).await;
    let item = |tag: &str, up: i64, down: i64| json!({"tag": tag, "bytesUp": up, "bytesDown": down});
    let items = [
        item("exit-1", 1, 2),
        item("exit-2", 1, 2),
        item("", 1, 2),
        item("direct", -1, 2),
        item("direct", 1, i64::MAX),
        item("direct", 3, 4),
    ];
    let answer = node.tell("/node/outbound-usage", &json!({"items": items})).await;
    assert_eq!(answer["rejected"], 4);
    assert_eq!(answer["reasons"][0], "items[1]: tag is not an outbound of this node");
    assert_eq!(answer["reasons"][2], "items[3]: bytesUp is negative");

    let event = |user: i64, ip: Value| json!({"userId": user, "protocol": "vless", "eventType": "online", "occurredAt": now(), "ipAddress": ip});
    let events = [
        event(1, json!("203.0.113.5")),
        event(1, json!("300.1.1.1")),
        event(-1, Value::Null),
        event(1, json!("2001:db8::7")),
        event(1, json!("203.0.113.5:443")),
        event(i64::MAX - 900_000_000, Value::Null),
    ];
    let answer = node.tell("/node/session-events", &json!({"events": events})).await;
    assert_eq!(
        answer,
        json!({"ok": true, "rejected": 3, "reasons": [
            "events[1]: ipAddress is not an IP address",
            "events[2]: userId is negative",
            "events[4]: ipAddress is not an IP address",
        ]})
    );
    let after = world.settled(&node).await;
    assert_eq!(after["outbounds up"] - before["outbounds up"], 4);
    assert_eq!(after["outbounds down"] - before["outbounds down"], 6);
    assert_eq!(after["usage rejected"] - before["usage rejected"], 4);
    assert_eq!(after["events"] - before["events"], 2);
    assert_eq!(after["events rejected"] - before["events rejected"], 3);
    let kinds: Vec<String> = rejected(&world, "usage").await.into_iter().map(|row| row.0).collect();
    assert_eq!(kinds, vec!["outbound-usage"; 4]);
    let kept = rejected(&world, "events").await;
    assert_eq!((kept.len(), kept[1].1.as_str()), (3, "events[2]: userId is negative"));
    assert_eq!(kept[1].2["userId"], -1);
    world.end();
}

async fn report_at(node: &Caller, user: i64, at: &str) {
    let entry = changed(usage_entry(user, 1, 2), "recordedAt", json!(at));
    let answer = node.tell("/node/usage", &json!({"entries": [entry]})).await;
    assert_eq!(answer, json!({"ok": true}), "{at}");
}

#[tokio::test]
async fn bytes_land_in_their_minute() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let clock = vpn_core::clock::Clock::system();
    let past = clock.now().minus(Duration::from_mins(10));
    let minute = past.minute();
    for (user, at) in [
        (1001, past.to_string()),
        (1002, minute.to_string()),
        (1003, minute.plus(Duration::from_millis(59_999)).to_string()),
        (1004, minute.to_string().replace('Z', "+00:00")),
        (1005, minute.to_string().replace('T', "t").replace('Z', "z")),
    ] {
        report_at(&node, user, &at).await;
        assert_eq!(world.node(1).await["clockSkew"], false, "{at}");
    }
    let month = clock.now().minus(Duration::from_hours(34 * 24)).minute();
    report_at(&node, 1006, &month.to_string()).await;
    assert_eq!(world.node(1).await["clockSkew"], false);
    world.settled(&node).await;
    let landed = rows(
        world.dir(),
        "SELECT user_id, minute FROM usage_minutes ORDER BY user_id",
    );
    let mut expected: Vec<_> = (1001..=1005)
        .map(|user| format!("{user} {}", minute.millis()))
        .collect();
    expected.push(format!("1006 {}", month.millis()));
    assert_eq!(landed, expected);
    let again = changed(usage_entry(1001, 30, 40), "recordedAt", json!(past.to_string()));
    node.tell("/node/usage", &json!({"entries": [again]})).await;
    world.settled(&node).await;
    let view = "SELECT count(*), sum(bytes_up), sum(bytes_down) FROM usage_per_minute WHERE user_id = 1001";
    assert_eq!(rows(world.dir(), view), ["1 31 42"]);
    world.end();
}

#[tokio::test]
async fn a_time_that_can_not_be_used_is_that_of_receipt() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let clock = vpn_core::clock::Clock::system();
    let from = clock.now().minute();
    let old = clock.now().minus(Duration::from_hours(36 * 24)).to_string();
    let ahead = clock.now().plus(Duration::from_mins(20)).to_string();
    for (user, at) in [
        "",
        "yesterday",
        "1764000000",
        "2026-02-30T00:00:00Z",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "0000-00-00T00:00:00Z",
        old.as_str(),
        ahead.as_str(),
        "9999-12-31T23:59:59Z",
        "-262143-01-01T00:00:00Z",
        "💥",
    ]
    .iter()
    .enumerate()
    {
        report_at(&node, i64::try_from(user).expect("small") + 2000, at).await;
        let shown = world.node(1).await;
        assert_eq!(shown["clockSkew"], true, "{at}");
    }
    let event = json!({"userId": 2100, "protocol": "vless", "eventType": "online", "occurredAt": "soon"});
    node.tell("/node/session-events", &json!({"events": [event]})).await;
    let sums = world.settled(&node).await;
    let to = clock.now();
    assert_eq!(sums["usage up"], 12);
    for row in rows(
        world.dir(),
        "SELECT minute FROM usage_minutes UNION ALL SELECT occurred_at FROM session_events WHERE user_id = 2100",
    ) {
        let at: i64 = row.parse().expect("a number");
        assert!((from.millis()..=to.millis()).contains(&at), "{at}");
    }
    // The settling event had a good time.
    assert_eq!(world.node(1).await["clockSkew"], false);
    let answer = node
        .post(
            "/node/usage",
            &json!({"entries": [changed(usage_entry(1, 1, 1), "recordedAt", json!(5))]}),
        )
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    world.end();
}
