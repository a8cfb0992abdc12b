//! Stands in for Xray and telemt: serves the clients of its config with made-up traffic.

use serde_json::Value;
use vpn_core::{
    clock::Clock,
    proto::nodeservice::{OnlineIp, OnlineUser, ReportNodeStatsRequest, SystemStats, XrayStats},
};

use super::{
    counters::{Tally, Usage},
    engine::NodeConfig,
    payers::Payer,
};

/// See the module.
#[derive(Debug, Default)]
pub struct Simulated {
    revision: i64,
    clients: Vec<Payer>,
    outbounds: Vec<String>,
    ticks: i64,
}

impl Simulated {
    /// Takes the clients out of the config.
    pub fn apply(&mut self, config: &NodeConfig) {
        let names = |inbounds: &[Value], users: &str, name: &str| -> Vec<String> {
            let users = inbounds.iter().filter_map(|it| it.pointer(users)?.as_array()).flatten();
            users
                .filter_map(|user| user[name].as_str().map(str::to_owned))
                .collect()
        };
        let list = |key: &str| config.xray[key].as_array().cloned().unwrap_or_default();
        let mut emails = names(&list("inbounds"), "/settings/clients", "email");
        emails.extend(names(&config.mtproto, "/users", "username"));
        self.clients = emails.iter().filter_map(|email| config.payers.of(email)).collect();
        self.outbounds = list("outbounds")
            .iter()
            .filter_map(|it| it["tag"].as_str().map(str::to_owned))
            .collect();
        self.revision = config.revision;
    }

    /// The bytes since the last time: per client, and per outbound.
    pub fn take_usage(&mut self) -> Usage {
        let mut tally = Tally::default();
        for client in &self.clients {
            let (up, down) = (
                rand::random_range(1_000..1_000_000),
                rand::random_range(10_000..30_000_000),
            );
            tally.client(*client, up, down);
            if let Some(exit) = self.outbounds.last() {
                tally.outbound(exit, up, down);
            }
        }
        tally.take()
    }

    /// Everybody, always.
    pub fn online_users(&self) -> Vec<OnlineUser> {
        let now = Clock::system().now().to_string();
        let online = |client: &Payer| OnlineUser {
            user_id: client.user,
            node_protocol_id: client.protocol,
            ips: vec![OnlineIp {
                ip: format!("198.51.100.{}", client.user.rem_euclid(250) + 1),
                last_seen: now.clone(),
            }],
        };
        self.clients.iter().map(online).collect()
    }

    /// A machine that has little to do.
    pub fn stats(&mut self) -> ReportNodeStatsRequest {
        self.ticks += 1;
        let system = SystemStats {
            uptime_seconds: self.ticks * 2,
            cpu_percent: rand::random_range(1.0..20.0),
            cpu_cores: 2,
            ram_used: 600 << 20,
            ram_total: 2 << 30,
            disk_used: 4 << 30,
            disk_total: 20 << 30,
            ..SystemStats::default()
        };
        let xray = XrayStats {
            running: self.revision > 0,
            uptime_seconds: Some(self.ticks * 2),
        };
        ReportNodeStatsRequest {
            system: Some(system),
            xray: Some(xray),
            ..ReportNodeStatsRequest::default()
        }
    }
}
