//! What a node's machine and engines look like.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Time;

/// A snapshot, as the node last sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct StatsSnapshot {
    /// When Core took it.
    pub received_at: Time,
    /// The machine.
    pub system: SystemStats,
    /// Xray; none if the node said nothing of it.
    pub xray: Option<XrayStats>,
    /// telemt: a status a tag; none if the node said nothing readable of it.
    pub mtproto: Option<Map<String, Value>>,
}

/// The machine. Sizes in bytes, rates in bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub struct SystemStats {
    pub uptime_seconds: i64,
    pub cpu_percent: f64,
    pub cpu_cores: i32,
    pub ram_used: i64,
    pub ram_total: i64,
    pub disk_used: i64,
    pub disk_total: i64,
    pub net_rx_per_sec: i64,
    pub net_tx_per_sec: i64,
    pub net_rx_total: i64,
    pub net_tx_total: i64,
}

/// Xray.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct XrayStats {
    /// Whether it runs.
    pub running: bool,
    /// For how long.
    pub uptime_seconds: Option<i64>,
}
