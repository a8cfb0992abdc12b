//! What a node's machine and engines look like.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{NodeId, Time};

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

/// The machine of a node in one minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StatsSample {
    /// The node.
    pub node: NodeId,
    /// The beginning of the minute.
    pub at: Time,
    /// Its machine, as the node last said in that minute.
    pub system: SystemStats,
}

impl StatsSample {
    /// One sample a node and minute, in their order: the last word wins. A share that is no number is none.
    pub fn fold(samples: &[Self]) -> Vec<Self> {
        let mut folded = BTreeMap::new();
        for sample in samples {
            let mut sample = *sample;
            if !sample.system.cpu_percent.is_finite() {
                sample.system.cpu_percent = 0.0;
            }
            folded.insert((sample.node, sample.at), sample);
        }
        folded.into_values().collect()
    }
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
