//! Every RPC: the bytes of a request, in a frame, over a connection, to the handler, by a node that has its key.

use http::HeaderMap;
use prost::Message;
use vpn_core::proto::nodeservice::{
    ConfirmConfigAppliedRequest, GetLatestConfigRequest, HeartbeatRequest, OnlineIp, OnlineUser, OutboundUsageItem,
    ReportNodeStatsRequest, ReportOnlineUsersRequest, ReportOutboundUsageRequest, ReportUsageRequest, SystemStats,
    XrayStats,
};

use super::{
    calls::{Grpc, KEY, judged},
    engine::{self, Plan, Target, Verdict},
    mutate::Kind,
    world::{self, World},
};
use crate::harness::rpc::entry;

struct Rpc {
    method: &'static str,
    world: Option<World>,
    line: Grpc,
    shown: HeaderMap,
}

impl Target for Rpc {
    const AT_ONCE: usize = 32;
    const WORLD: usize = 40_000;

    async fn renew(&mut self) {
        let world = world::another(&mut self.world).await;
        self.line = Grpc::new(world.ports.grpc);
        self.shown.insert(KEY, world.key.parse().unwrap());
    }

    async fn attempt(&self, input: &[u8]) -> Verdict {
        judged(&self.line.call(self.method, &self.shown, input).await?)
    }

    async fn end(&mut self) {
        world::end(&mut self.world).await;
    }
}

fn run(name: &'static str, method: &'static str, seeds: &[impl Message]) {
    let target = Rpc {
        method,
        world: None,
        line: Grpc::new(0),
        shown: HeaderMap::new(),
    };
    let plan = Plan {
        name,
        kind: Kind::Proto,
        seeds: seeds.iter().map(Message::encode_to_vec).collect(),
    };
    engine::run(plan, target);
}

#[test]
fn rpc_heartbeat() {
    let beat = |revision, ip: Option<&str>| HeartbeatRequest {
        auth_key: String::new(),
        revision,
        ip: ip.map(str::to_owned),
    };
    let seeds = [
        beat(None, None),
        beat(Some(1), Some("192.0.2.7")),
        beat(Some(99), Some("2001:db8::1")),
    ];
    run("rpc_heartbeat", "Heartbeat", &seeds);
}

#[test]
fn rpc_report_usage() {
    let report = |entries| ReportUsageRequest {
        auth_key: String::new(),
        entries,
    };
    let seeds = [
        report(vec![]),
        report(vec![entry(1, 11, 100, 200)]),
        report(vec![
            entry(1, 11, 1, 1),
            entry(2, 12, 1 << 30, 0),
            entry(9, 21, 5, 5),
            entry(1, 13, 0, 0),
        ]),
    ];
    run("rpc_report_usage", "ReportUsage", &seeds);
}

#[test]
fn rpc_report_outbound_usage() {
    let item = |tag: &str| OutboundUsageItem {
        tag: tag.to_owned(),
        bytes_up: 10,
        bytes_down: 1 << 40,
    };
    let seeds = [["direct", "exit-1"], ["block", "nowhere"]].map(|tags| ReportOutboundUsageRequest {
        auth_key: String::new(),
        items: tags.map(item).into(),
    });
    run("rpc_report_outbound_usage", "ReportOutboundUsage", &seeds);
}

#[test]
fn rpc_get_latest_config() {
    let auth_key = "core_node_1_x".to_owned();
    let seeds = [GetLatestConfigRequest::default(), GetLatestConfigRequest { auth_key }];
    run("rpc_get_latest_config", "GetLatestConfig", &seeds);
}

#[test]
fn rpc_confirm_config_applied() {
    let seeds = [0, 1, 2].map(|revision| ConfirmConfigAppliedRequest {
        auth_key: String::new(),
        revision,
    });
    run("rpc_confirm_config_applied", "ConfirmConfigApplied", &seeds);
}

#[test]
fn rpc_report_node_stats() {
    let stats = |mtproto: &str, uptime_seconds| ReportNodeStatsRequest {
        auth_key: String::new(),
        system: Some(SystemStats {
            uptime_seconds: 90_000,
            cpu_percent: 12.5,
            cpu_cores: 4,
            ram_used: 1 << 30,
            ram_total: 1 << 32,
            disk_used: 1 << 35,
            disk_total: 1 << 38,
            net_rx_per_sec: 1_000,
            net_tx_per_sec: 2_000,
            net_rx_total: 1 << 40,
            net_tx_total: 1 << 41,
        }),
        xray: Some(XrayStats {
            running: true,
            uptime_seconds,
        }),
        mtproto_json: mtproto.to_owned(),
    };
    let seeds = [
        stats("", None),
        stats(r#"{"connections":{"total":5,"list":[1,2.5,null,"x"]}}"#, Some(77)),
    ];
    run("rpc_report_node_stats", "ReportNodeStats", &seeds);
}

#[test]
fn rpc_report_online_users() {
    let ip = |ip: &str, last_seen: &str| OnlineIp {
        ip: ip.to_owned(),
        last_seen: last_seen.to_owned(),
    };
    let user = |user_id, node_protocol_id, ips| OnlineUser {
        user_id,
        node_protocol_id,
        ips,
    };
    let report = |users| ReportOnlineUsersRequest {
        auth_key: String::new(),
        users,
    };
    let known = vec![
        ip("198.51.100.7", "2026-11-24T12:00:00Z"),
        ip("2001:db8::7", "1763985600000"),
        ip("x", ""),
    ];
    let seeds = [
        report(vec![]),
        report(vec![user(1, 11, known), user(2, 12, vec![]), user(77, 5, vec![])]),
    ];
    run("rpc_report_online_users", "ReportOnlineUsers", &seeds);
}
