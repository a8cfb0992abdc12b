//! The seven RPCs, asked rightly; and what stands beside them: health and reflection.

use serde_json::{Value, json};
use tonic::codec::CompressionEncoding;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use vpn_core::proto::nodeservice::{
    ConfirmConfigAppliedRequest, GetLatestConfigRequest, HeartbeatRequest, OnlineIp, OnlineUser, OutboundUsageItem,
    ReportNodeStatsRequest, ReportOnlineUsersRequest, ReportOutboundUsageRequest, ReportUsageRequest, SystemStats,
    UsageEntry, XrayStats,
};

use crate::harness::rpc::{Agent, entry};

use super::world::World;

/// A machine.
pub fn system() -> SystemStats {
    SystemStats {
        uptime_seconds: 86_400,
        cpu_percent: 12.5,
        cpu_cores: 4,
        ram_used: 1 << 30,
        ram_total: 4 << 30,
        disk_used: 10 << 30,
        disk_total: 40 << 30,
        net_rx_per_sec: 1_000,
        net_tx_per_sec: 2_000,
        net_rx_total: i64::MAX,
        net_tx_total: 3,
    }
}

#[tokio::test]
async fn a_node_lives_its_life_over_grpc() {
    let mut world = World::new().await;
    let key = world.key(1).await;
    let mut agent = Agent::connect(world.core.ports.grpc, &key);
    let beat = |agent: &Agent, revision| {
        agent.request(HeartbeatRequest {
            revision,
            ip: Some(String::new()),
            ..HeartbeatRequest::default()
        })
    };
    for (revision, expected) in [
        (None, true),
        (Some(0), true),
        (Some(1), false),
        (Some(i64::MIN), true),
        (Some(i64::MAX), true),
    ] {
        let answer = agent
            .client
            .heartbeat(beat(&agent, revision))
            .await
            .expect("it is answered")
            .into_inner();
        assert_eq!((answer.ok, answer.need_sync), (true, expected), "{revision:?}");
    }
    let request = agent.request(GetLatestConfigRequest::default());
    let config = agent
        .client
        .get_latest_config(request)
        .await
        .expect("it is answered")
        .into_inner();
    let over_http = world
        .stranger()
        .with_key(Some(&key))
        .get("/node/config/latest")
        .await
        .body;
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("it is JSON");
    assert_eq!(json!(config.revision), over_http["revision"]);
    assert_eq!(read(&config.client_map_json), over_http["clientMap"]);
    assert_eq!(read(&config.mtproto_client_map_json), over_http["mtprotoClientMap"]);
    assert_eq!(read(&config.services_json), over_http["services"]);
    let request = agent.request(ConfirmConfigAppliedRequest {
        revision: config.revision,
        ..ConfirmConfigAppliedRequest::default()
    });
    assert!(
        agent
            .client
            .confirm_config_applied(request)
            .await
            .expect("it is answered")
            .get_ref()
            .ok
    );
    let shown = world.node(1).await;
    assert_eq!(
        (&shown["status"], &shown["syncStatus"]),
        (&json!("online"), &json!("synced"))
    );
    world.end();
}

#[tokio::test]
async fn reports_over_grpc_are_counted_and_bad_items_go_alone() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let mut agent = world.agent(&node).await;
    let before = world.settled(&node).await;
    let mut absent = entry(1, 11, 1000, 1000);
    absent.subscription_id = Some(0);
    let bad = |change: fn(&mut UsageEntry)| {
        let mut bad = entry(1, 11, 1, 1);
        change(&mut bad);
        bad
    };
    let report = ReportUsageRequest {
        entries: vec![
            entry(1, 11, 10, 20),
            entry(2, 13, 30, 40),
            absent,
            bad(|it| it.bytes_up = i64::MIN),
            bad(|it| it.bytes_down = i64::MAX),
            bad(|it| it.user_id = -1),
            bad(|it| it.node_protocol_id = 22),
            bad(|it| it.subscription_id = Some(-4)),
        ],
        ..ReportUsageRequest::default()
    };
    let answer = agent
        .client
        .report_usage(agent.request(report))
        .await
        .expect("it is answered")
        .into_inner();
    assert_eq!((answer.ok, answer.rejected), (true, 5));
    let item = |tag: &str, up: i64| OutboundUsageItem {
        tag: tag.to_owned(),
        bytes_up: up,
        bytes_down: up,
    };
    let report = ReportOutboundUsageRequest {
        items: vec![
            item("direct", 5),
            item("nowhere", 5),
            item("block", -5),
            item("exit-1", 6),
        ],
        ..ReportOutboundUsageRequest::default()
    };
    let answer = agent
        .client
        .report_outbound_usage(agent.request(report))
        .await
        .expect("it is answered")
        .into_inner();
    assert_eq!((answer.ok, answer.rejected), (true, 2));
    let empty = agent
        .client
        .report_usage(agent.request(ReportUsageRequest::default()))
        .await
        .expect("an empty list is fine");
    assert_eq!(empty.get_ref().rejected, 0);
    agent
        .client
        .report_outbound_usage(agent.request(ReportOutboundUsageRequest::default()))
        .await
        .expect("an empty list is fine");
    let after = world.settled(&node).await;
    for (sum, grown) in [
        ("usage up", 1040),
        ("usage down", 1060),
        ("subscriptions up", 40),
        ("subscriptions down", 60),
        ("outbounds up", 11),
        ("usage rejected", 7),
    ] {
        assert_eq!(after[sum] - before[sum], grown, "{sum}");
    }
    world.end();
}

#[tokio::test]
async fn stats_are_shown_as_the_document_names_them() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let mut agent = world.agent(&node).await;
    let status = "/admin/nodes/1/runtime-status";
    let nothing = world.admin().get(status).await;
    for field in ["receivedAt", "ageSeconds", "system", "xray", "mtproto"] {
        assert!(nothing[field].is_null(), "{field}");
    }
    assert_eq!(nothing["nodeId"], 1);
    let mut send = async |xray: Option<XrayStats>, mtproto: &str| {
        let report = ReportNodeStatsRequest {
            system: Some(system()),
            xray,
            mtproto_json: mtproto.to_owned(),
            ..ReportNodeStatsRequest::default()
        };
        let answer = agent.client.report_node_stats(agent.request(report)).await;
        assert!(answer.expect("it is answered").get_ref().ok);
        world.admin().get(status).await
    };
    let xray = |uptime_seconds| {
        Some(XrayStats {
            running: true,
            uptime_seconds,
        })
    };
    let shown = send(xray(Some(77)), r#"{"tg":{"connections":3,"status":"running"}}"#).await;
    assert_eq!(
        shown["system"],
        json!({
            "uptimeSeconds": 86_400, "cpuPercent": 12.5, "cpuCores": 4, "ramUsed": 1_i64 << 30, "ramTotal": 4_i64 << 30,
            "diskUsed": 10_i64 << 30, "diskTotal": 40_i64 << 30, "netRxPerSec": 1000, "netTxPerSec": 2000,
            "netRxTotal": i64::MAX, "netTxTotal": 3,
        })
    );
    assert_eq!(shown["xray"], json!({"running": true, "uptimeSeconds": 77}));
    assert_eq!(shown["mtproto"], json!({"tg": {"connections": 3, "status": "running"}}));
    assert_eq!(shown["source"], "memory");
    assert!(shown["receivedAt"].is_string() && shown["ageSeconds"].is_i64());
    assert_eq!(
        send(xray(Some(0)), "").await["xray"],
        json!({"running": true, "uptimeSeconds": null}),
        "0 means absent"
    );
    for bad in ["", "not json", "[1]", "5", "null", "{", &"[".repeat(100_000)] {
        let shown = send(None, bad).await;
        assert!(shown["mtproto"].is_null() && shown["xray"].is_null(), "{}", bad.len());
    }
    world.end();
}

#[tokio::test]
async fn online_users_are_a_full_set() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let mut agent = world.agent(&node).await;
    let ip = |ip: &str, last_seen: &str| OnlineIp {
        ip: ip.to_owned(),
        last_seen: last_seen.to_owned(),
    };
    let user = |user_id: i64, node_protocol_id: i64, ips: Vec<OnlineIp>| OnlineUser {
        user_id,
        node_protocol_id,
        ips,
    };
    let mut send = async |users: Vec<OnlineUser>| {
        let report = ReportOnlineUsersRequest {
            users,
            ..ReportOnlineUsersRequest::default()
        };
        let answer = agent.client.report_online_users(agent.request(report)).await;
        assert!(answer.expect("it is answered").get_ref().ok);
    };
    send(vec![
        user(
            1,
            11,
            vec![
                ip("203.0.113.1", "1764000000000"),
                ip("::ffff:203.0.113.2", "2025-11-24T16:00:00Z"),
                ip("nonsense", ""),
            ],
        ),
        user(
            2,
            12,
            vec![
                ip("2001:db8::1", ""),
                ip("203.0.113.3", "9999-01-01T00:00:00Z"),
                ip("", "1"),
            ],
        ),
        user(1, 12, vec![]),
        user(-5, -5, vec![ip("203.0.113.4", "-1")]),
    ])
    .await;
    let admin = world.admin();
    let online = admin.get("/admin/online").await;
    assert_eq!(online["items"].as_array().map(Vec::len), Some(4));
    let first = &online["items"][1];
    assert_eq!(
        (&first["nodeId"], &first["userId"], &first["nodeProtocolId"]),
        (&json!(1), &json!(1), &json!(11))
    );
    assert_eq!(
        first["ips"],
        json!([
            {"ip": "203.0.113.1", "lastSeen": "2025-11-24T16:00:00Z"},
            {"ip": "203.0.113.2", "lastSeen": "2025-11-24T16:00:00Z"},
        ])
    );
    assert_eq!(world.node(1).await["onlineUsers"], 3);
    for (query, count) in [
        ("?user=1", 2),
        ("?protocol=12", 2),
        ("?user=1&protocol=12", 1),
        ("?node=1", 4),
        ("?node=2", 0),
        ("?user=99", 0),
    ] {
        let online = admin.get(&format!("/admin/online{query}")).await;
        assert_eq!(online["items"].as_array().map(Vec::len), Some(count), "{query}");
    }
    send(vec![user(2, 12, vec![])]).await;
    assert_eq!(
        admin.get("/admin/online").await["items"].as_array().map(Vec::len),
        Some(1)
    );
    send(vec![]).await;
    assert_eq!(admin.get("/admin/online").await["items"], json!([]));
    assert_eq!(world.node(1).await["onlineUsers"], 0);
    world.end();
}

#[tokio::test]
async fn packed_calls_health_and_reflection() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let agent = world.agent(&node).await;
    for packing in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut client = agent.client.clone().send_compressed(packing).accept_compressed(packing);
        let config = client
            .get_latest_config(agent.request(GetLatestConfigRequest::default()))
            .await
            .expect("it is answered");
        let offered = config
            .metadata()
            .get("grpc-encoding")
            .map(|it| it.to_str().expect("text").to_owned());
        assert_eq!(
            offered.as_deref(),
            Some(if packing == CompressionEncoding::Gzip {
                "gzip"
            } else {
                "zstd"
            })
        );
        assert!(config.get_ref().services_json.starts_with('{'));
    }
    let endpoint: tonic::transport::Endpoint = format!("http://127.0.0.1:{}", world.core.ports.grpc)
        .parse()
        .expect("a URL");
    let channel = endpoint.connect_lazy();
    let mut health = HealthClient::new(channel.clone());
    for service in ["", "nodeservice.NodeService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(request).await.expect("it is answered").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    let request = HealthCheckRequest {
        service: "nothing.Here".to_owned(),
    };
    assert_eq!(
        health.check(request).await.expect_err("there is none").code(),
        tonic::Code::NotFound
    );

    let mut reflection = ServerReflectionClient::new(channel);
    let mut ask = async |question: MessageRequest| {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        };
        let mut answers = reflection
            .server_reflection_info(tokio_stream::once(request))
            .await
            .expect("it answers")
            .into_inner();
        answers
            .message()
            .await
            .expect("it answers")
            .expect("one answer")
            .message_response
    };
    let Some(MessageResponse::ListServicesResponse(list)) = ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(
        names.contains(&"nodeservice.NodeService") && names.contains(&"grpc.health.v1.Health"),
        "{names:?}"
    );
    let symbol = MessageRequest::FileContainingSymbol("nodeservice.NodeService".to_owned());
    assert!(matches!(
        ask(symbol).await,
        Some(MessageResponse::FileDescriptorResponse(_))
    ));
    world.end();
}
