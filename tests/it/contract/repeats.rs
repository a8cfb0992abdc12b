//! What was answered once is counted once, whichever way it comes again.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use vpn_core::proto::nodeservice::{OutboundUsageItem, ReportOutboundUsageRequest, ReportUsageRequest, UsageEntry};

use crate::harness::{eventually, rpc::Agent};

use super::{
    caller::Caller,
    manual::Manual,
    sums::{rows, value},
    world::{World, now, usage_entry},
};

fn over_the_wire(entry: &Value) -> UsageEntry {
    let int = |field: &str| entry[field].as_i64().unwrap_or(0);
    UsageEntry {
        user_id: int("userId"),
        subscription_id: Some(int("subscriptionId")),
        node_protocol_id: int("nodeProtocolId"),
        bytes_up: int("bytesUp"),
        bytes_down: int("bytesDown"),
        recorded_at: entry["recordedAt"].as_str().expect("a text").into(),
    }
}

async fn usage_by_rpc(agent: &mut Agent, name: Option<&str>, entries: &[Value]) {
    let report = ReportUsageRequest {
        entries: entries.iter().map(over_the_wire).collect(),
        ..ReportUsageRequest::default()
    };
    let request = match name {
        Some(name) => agent.named(name, report),
        None => agent.request(report),
    };
    let answer = agent.client.report_usage(request).await.expect("it is answered");
    assert_eq!((answer.get_ref().ok, answer.get_ref().rejected), (true, 0));
}

async fn usage_by_http(node: &Caller, name: Option<&str>, entries: &[Value]) {
    let body = json!({"entries": entries});
    let answer = match name {
        Some(name) => node.post_named(name, "/node/usage", &body).await,
        None => node.post("/node/usage", &body).await,
    };
    assert_eq!((answer.status, answer.body), (StatusCode::OK, json!({"ok": true})));
}

#[tokio::test]
async fn the_same_items_count_once_over_both_transports() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let mut agent = world.agent(&node).await;
    let before = world.settled(&node).await;
    let twice = [usage_entry(1, 1, 10), usage_entry(1, 1, 10), usage_entry(2, 5, 6)];
    for _ in 0..2 {
        usage_by_http(&node, None, &twice).await;
        usage_by_rpc(&mut agent, None, &twice).await;
    }
    let mut without = usage_entry(1, 100, 0);
    without["subscriptionId"] = json!(0);
    usage_by_rpc(&mut agent, None, std::slice::from_ref(&without)).await;
    without["subscriptionId"] = Value::Null;
    usage_by_http(&node, None, std::slice::from_ref(&without)).await;
    without.as_object_mut().expect("an object").remove("subscriptionId");
    usage_by_http(&node, None, std::slice::from_ref(&without)).await;
    let after = world.settled(&node).await;
    // Equal entries inside one request are summed.
    assert_eq!(after["usage up"] - before["usage up"], 7 + 100);
    assert_eq!(after["usage down"] - before["usage down"], 26);
    assert_eq!(after["subscriptions up"] - before["subscriptions up"], 7);
    // Another order is another request.
    let [a, b, c] = twice;
    usage_by_http(&node, None, &[c, b, a]).await;
    assert_eq!(world.settled(&node).await["usage up"] - after["usage up"], 7);

    let other = world.caller(2).await;
    let mut entry = usage_entry(1, 50, 0);
    entry["nodeProtocolId"] = json!(21);
    let sums = world.settled(&node).await;
    usage_by_http(&other, Some("shared"), std::slice::from_ref(&entry)).await;
    usage_by_http(&node, Some("shared"), &[usage_entry(1, 3, 0)]).await;
    assert_eq!(
        world.settled(&node).await["usage up"] - sums["usage up"],
        53,
        "a name is the node's own"
    );
    world.end();
}

#[tokio::test]
async fn a_name_decides_before_the_items() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let mut agent = world.agent(&node).await;
    let before = world.settled(&node).await;
    usage_by_http(&node, Some("a"), &[usage_entry(1, 1, 0)]).await;
    usage_by_rpc(&mut agent, Some("a"), &[usage_entry(2, 1000, 0)]).await;
    let same = usage_entry(1, 10, 0);
    usage_by_rpc(&mut agent, Some("b"), std::slice::from_ref(&same)).await;
    usage_by_http(&node, Some("c"), std::slice::from_ref(&same)).await;
    usage_by_http(&node, Some(""), std::slice::from_ref(&same)).await;
    usage_by_http(&node, None, std::slice::from_ref(&same)).await;
    let items = json!({"items": [{"tag": "direct", "bytesUp": 1, "bytesDown": 0}]});
    for name in ["a", "a", "d"] {
        let answer = node.post_named(name, "/node/outbound-usage", &items).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let event = json!({"events": [{"userId": 5, "protocol": "vless", "eventType": "online", "occurredAt": now()}]});
    for name in ["a", "a"] {
        assert_eq!(
            node.post_named(name, "/node/session-events", &event).await.status,
            StatusCode::OK
        );
    }
    node.tell("/node/session-events", &event).await;
    node.tell("/node/session-events", &event).await;
    let after = world.settled(&node).await;
    assert_eq!(after["usage up"] - before["usage up"], 1 + 10 * 3);
    assert_eq!(
        after["outbounds up"] - before["outbounds up"],
        2,
        "a name of one call says nothing of another's"
    );
    assert_eq!(after["events"] - before["events"], 2);
    world.end();
}

#[tokio::test]
async fn an_outbound_report_without_a_name_is_known_for_thirty_seconds() {
    let manual = Manual::start().await;
    let node = manual.caller(1).await;
    let mut agent = manual.agent(&node).await;
    let body = json!({"items": [{"tag": "exit-1", "bytesUp": 1, "bytesDown": 100}]});
    let counted = async |up: i64| {
        let sql = "SELECT traffic_bytes_up FROM node_outbounds WHERE node_id = 1 AND tag = 'exit-1'";
        eventually("the outbound's bytes", || {
            std::future::ready((value::<i64>(manual.dir(), sql) == up).then_some(()))
        })
        .await;
    };
    node.tell("/node/outbound-usage", &body).await;
    counted(1).await;
    manual.clock.advance(Duration::from_secs(29));
    node.tell("/node/outbound-usage", &body).await;
    let report = ReportOutboundUsageRequest {
        items: vec![OutboundUsageItem {
            tag: "exit-1".to_owned(),
            bytes_up: 1,
            bytes_down: 100,
        }],
        ..ReportOutboundUsageRequest::default()
    };
    let request = agent.request(report);
    agent
        .client
        .report_outbound_usage(request)
        .await
        .expect("it is answered");
    node.post_named("n", "/node/outbound-usage", &body).await;
    counted(2).await;
    manual.clock.advance(Duration::from_secs(32));
    node.tell("/node/outbound-usage", &body).await;
    node.post_named("n", "/node/outbound-usage", &body).await;
    counted(3).await;
    let entry = usage_entry(1, 7, 0);
    usage_by_http(&node, None, std::slice::from_ref(&entry)).await;
    manual.clock.advance(Duration::from_hours(23));
    usage_by_http(&node, None, std::slice::from_ref(&entry)).await;
    node.post_named(
        "n",
        "/node/outbound-usage",
        &json!({"items": [{"tag": "exit-1", "bytesUp": 500, "bytesDown": 0}]}),
    )
    .await;
    manual.clock.advance(Duration::from_secs(40));
    node.tell("/node/outbound-usage", &body).await;
    counted(4).await;
    assert_eq!(rows(manual.dir(), "SELECT sum(bytes_up) FROM usage_minutes"), ["7"]);
    manual.stop().await;
}
