//! Calls as bytes, made before the clock runs.

use bytes::{BufMut as _, Bytes, BytesMut};
use clap::ValueEnum;
use prost::Message;
use vpn_core::{
    clock::Clock,
    proto::nodeservice::{
        GetLatestConfigRequest, HeartbeatRequest, OnlineIp, OnlineUser, OutboundUsageItem, ReportNodeStatsRequest,
        ReportOnlineUsersRequest, ReportOutboundUsageRequest, ReportUsageRequest, SystemStats, UsageEntry, XrayStats,
    },
};

use super::harness::catalogue::{exit, protocol};

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    Heartbeat,
    Usage,
    OutboundUsage,
    Stats,
    Online,
    Config,
}

impl Kind {
    /// The method's path.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Heartbeat => "/nodeservice.NodeService/Heartbeat",
            Self::Usage => "/nodeservice.NodeService/ReportUsage",
            Self::OutboundUsage => "/nodeservice.NodeService/ReportOutboundUsage",
            Self::Stats => "/nodeservice.NodeService/ReportNodeStats",
            Self::Online => "/nodeservice.NodeService/ReportOnlineUsers",
            Self::Config => "/nodeservice.NodeService/GetLatestConfig",
        }
    }
}

/// A call of a node. What it says is made for this one call where Core knows repeats.
pub fn call(kind: Kind, node: i64, users: i64, number: i64) -> Bytes {
    match kind {
        Kind::Heartbeat => framed(&HeartbeatRequest {
            revision: Some(1),
            ..HeartbeatRequest::default()
        }),
        Kind::Usage => framed(&usage(node, users, number)),
        Kind::OutboundUsage => framed(&ReportOutboundUsageRequest {
            items: vec![OutboundUsageItem {
                tag: exit(node),
                bytes_up: number,
                bytes_down: 1 + number,
            }],
            ..ReportOutboundUsageRequest::default()
        }),
        Kind::Stats => framed(&stats(number)),
        Kind::Online => framed(&online(node, users)),
        Kind::Config => framed(&GetLatestConfigRequest::default()),
    }
}

fn usage(node: i64, users: i64, number: i64) -> ReportUsageRequest {
    let now = Clock::system().now().to_string();
    let entry = |user: i64| UsageEntry {
        user_id: user,
        subscription_id: Some(user),
        node_protocol_id: protocol(node),
        bytes_up: 1_000 + number,
        bytes_down: 1_000_000 + user,
        recorded_at: now.as_str().into(),
    };
    ReportUsageRequest {
        entries: (1..=users).map(entry).collect(),
        ..ReportUsageRequest::default()
    }
}

fn stats(number: i64) -> ReportNodeStatsRequest {
    ReportNodeStatsRequest {
        system: Some(SystemStats {
            uptime_seconds: number,
            cpu_percent: 12.5,
            cpu_cores: 2,
            ram_used: 1 << 30,
            ram_total: 4 << 30,
            disk_used: 10 << 30,
            disk_total: 40 << 30,
            net_rx_per_sec: 1_000_000,
            net_tx_per_sec: 1_000_000,
            ..SystemStats::default()
        }),
        xray: Some(XrayStats {
            running: true,
            uptime_seconds: Some(number),
        }),
        ..ReportNodeStatsRequest::default()
    }
}

/// Each from two addresses.
fn online(node: i64, users: i64) -> ReportOnlineUsersRequest {
    let now = Clock::system().now().to_string();
    let ip = |user: i64, last: i64| OnlineIp {
        ip: format!("198.51.{}.{}", user / 120, 1 + 2 * (user % 120) + last),
        last_seen: now.clone(),
    };
    let user = |user: i64| OnlineUser {
        user_id: user,
        node_protocol_id: protocol(node),
        ips: vec![ip(user, 0), ip(user, 1)],
    };
    ReportOnlineUsersRequest {
        users: (1..=users).map(user).collect(),
        ..ReportOnlineUsersRequest::default()
    }
}

/// The message in its gRPC frame.
fn framed(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.encoded_len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut frame).unwrap();
    frame.freeze()
}
