//! A node speaks of itself alone: whatever it says with its key, nothing of another node changes.

use serde_json::{Value, json};
use vpn_core::proto::nodeservice::{
    ConfirmConfigAppliedRequest, HeartbeatRequest, OnlineIp, OnlineUser, OutboundUsageItem, ReportNodeStatsRequest,
    ReportOnlineUsersRequest, ReportOutboundUsageRequest, ReportUsageRequest, SystemStats, XrayStats,
};

use super::{
    caller::Caller,
    manual::Manual,
    sums::{rows, value},
};
use crate::harness::{
    eventually,
    rpc::{Agent, entry},
};

/// What admins see of node 2.
const SHOWN: &[&str] = &[
    "/admin/nodes/2",
    "/admin/nodes/2/config",
    "/admin/nodes/2/errors",
    "/admin/nodes/2/keys",
    "/admin/nodes/2/runtime-status",
    "/admin/nodes/2/stats",
    "/admin/nodes/2/outbounds",
    "/admin/online?node=2",
];

/// What the store keeps of node 2, of its inbounds, and of the user whom only it has reported.
const STORED: &[&str] = &[
    "SELECT * FROM usage_minutes WHERE node_id = 2 OR node_protocol_id BETWEEN 21 AND 23 OR user_id = 2",
    "SELECT * FROM session_events WHERE node_id = 2",
    "SELECT * FROM node_errors WHERE node_id = 2",
    "SELECT * FROM usage_rejected WHERE node_id = 2",
    "SELECT * FROM events_rejected WHERE node_id = 2",
    "SELECT * FROM node_outbounds WHERE node_id = 2",
    "SELECT * FROM node_keys WHERE node_id = 2",
    "SELECT * FROM subscriptions WHERE id = 2",
];

/// Everything of node 2, when the store has all that was acknowledged: the journal keeps the order, so nothing is behind this event of node 1.
async fn of_node_2(manual: &Manual, node_1: &Caller, mark: i64) -> Vec<(String, Value)> {
    let event = json!({"userId": mark, "protocol": "vless", "eventType": "online", "occurredAt": manual.clock.now()});
    node_1.tell("/node/session-events", &json!({"events": [event]})).await;
    let arrived = format!("SELECT count(*) FROM session_events WHERE user_id = {mark}");
    eventually("the event in the store", || async {
        (value::<i64>(manual.dir(), &arrived) == 1).then_some(())
    })
    .await;
    let mut all = Vec::new();
    for path in SHOWN {
        all.push(((*path).to_owned(), manual.admin().get(path).await));
    }
    let stored = STORED
        .iter()
        .map(|sql| ((*sql).to_owned(), json!(rows(manual.dir(), sql))));
    all.extend(stored);
    all
}

/// Says what it counted, with this key in the message, where the one of the metadata goes before. Gives how much of both reports is refused.
async fn count(agent: &mut Agent, auth_key: &str, things: &Things) -> [i32; 2] {
    let auth_key = auth_key.to_owned();
    let usage = agent.request(ReportUsageRequest {
        auth_key: auth_key.clone(),
        entries: vec![entry(2, 21, things.bytes, 20)],
    });
    let item = OutboundUsageItem {
        tag: "exit-2".to_owned(),
        bytes_up: things.bytes,
        bytes_down: 40,
    };
    let outbound = agent.request(ReportOutboundUsageRequest {
        auth_key,
        items: vec![item],
    });
    let usage = agent.client.report_usage(usage).await.expect("it is heard");
    let outbound = agent.client.report_outbound_usage(outbound).await.expect("it is heard");
    [usage.get_ref().rejected, outbound.get_ref().rejected]
}

/// Says how it is, in the same way.
async fn state(agent: &mut Agent, auth_key: &str, things: &Things) {
    let auth_key = auth_key.to_owned();
    let beat = agent.request(HeartbeatRequest {
        auth_key: auth_key.clone(),
        revision: Some(things.revision),
        ip: Some("192.0.2.12".to_owned()),
    });
    let system = SystemStats {
        ram_used: things.bytes,
        net_rx_total: 1 << 40,
        net_tx_total: 1 << 40,
        ..SystemStats::default()
    };
    let stats = agent.request(ReportNodeStatsRequest {
        auth_key: auth_key.clone(),
        system: Some(system),
        xray: Some(XrayStats {
            running: things.running,
            uptime_seconds: None,
        }),
        mtproto_json: String::new(),
    });
    let ip = OnlineIp {
        ip: things.address.to_owned(),
        last_seen: String::new(),
    };
    let online = agent.request(ReportOnlineUsersRequest {
        auth_key: auth_key.clone(),
        users: vec![OnlineUser {
            user_id: 2,
            node_protocol_id: 21,
            ips: vec![ip],
        }],
    });
    let applied = agent.request(ConfirmConfigAppliedRequest {
        auth_key,
        revision: things.revision,
    });
    agent.client.heartbeat(beat).await.expect("it is heard");
    agent.client.report_node_stats(stats).await.expect("it is heard");
    agent.client.report_online_users(online).await.expect("it is heard");
    agent.client.confirm_config_applied(applied).await.expect("it is heard");
}

/// What a node says.
struct Things {
    revision: i64,
    bytes: i64,
    running: bool,
    address: &'static str,
}

#[tokio::test]
async fn a_key_changes_nothing_of_another_node() {
    let manual = Manual::start().await;
    let (node_1, node_2) = (manual.caller(1).await, manual.caller(2).await);
    let (mut agent_1, mut agent_2) = (manual.agent(&node_1).await, manual.agent(&node_2).await);
    let revision = node_2.config_revision().await;
    let good = Things {
        revision,
        bytes: 1_000,
        running: true,
        address: "203.0.113.2",
    };
    let key_2 = agent_2.key.clone();
    state(&mut agent_2, &key_2, &good).await;
    assert_eq!(count(&mut agent_2, &key_2, &good).await, [0, 0]);
    node_2
        .tell("/node/error", &json!({"message": "a word of its own"}))
        .await;
    let before = of_node_2(&manual, &node_1, 900_000_001).await;
    for (what, of) in &before {
        let empty = [json!([]), json!({"items": [], "nextCursor": null})];
        let may_be_empty = what.contains("rejected") || what.contains("session_events");
        assert!(may_be_empty || !empty.contains(of), "{what}: {of}");
    }

    let bad = Things {
        revision: revision + 7,
        bytes: 555,
        running: false,
        address: "203.0.113.66",
    };
    state(&mut agent_1, &key_2, &bad).await;
    assert_eq!(
        count(&mut agent_1, &key_2, &bad).await,
        [1, 1],
        "another's inbound and outbound"
    );
    let now = manual.clock.now();
    for (route, mut body) in [
        ("/node/heartbeat", json!({"revision": revision + 7, "ip": "192.0.2.12"})),
        (
            "/node/usage",
            json!({"entries": [{"userId": 2, "subscriptionId": 2, "nodeProtocolId": 22, "bytesUp": 555, "bytesDown": 1, "recordedAt": now}]}),
        ),
        (
            "/node/outbound-usage",
            json!({"items": [{"tag": "exit-2", "bytesUp": 555, "bytesDown": 2}]}),
        ),
        (
            "/node/session-events",
            json!({"events": [{"userId": 2, "protocol": "vless", "eventType": "offline", "occurredAt": now, "ipAddress": "203.0.113.2"}]}),
        ),
        ("/node/config/applied", json!({"revision": revision + 7})),
        ("/node/error", json!({"message": "not a word of node 2", "code": "E_X"})),
    ] {
        body["nodeId"] = json!(2);
        body["authKey"] = json!(node_2.key);
        node_1.tell(&format!("{route}?nodeId=2"), &body).await;
    }
    let after = of_node_2(&manual, &node_1, 900_000_002).await;
    for (then, now) in before.iter().zip(&after) {
        assert_eq!(then, now);
    }
    let errors = manual.admin().get("/admin/nodes/1/errors").await;
    assert_eq!(errors["items"][0]["message"], "not a word of node 2", "it was heard");
    manual.stop().await;
}
