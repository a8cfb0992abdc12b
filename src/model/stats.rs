//! What a node's machine and engines look like.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{NodeId, Time};

/// A snapshot, as the node last sent it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
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
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
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

/// How the machine was at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StatsPoint {
    /// When.
    pub at: Time,
    /// How.
    #[serde(flatten)]
    pub system: SystemStats,
}

/// Xray.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XrayStats {
    /// Whether it runs.
    pub running: bool,
    /// For how long.
    pub uptime_seconds: Option<i64>,
}

impl StatsSnapshot {
    /// As it is kept in Redis, under the names that admins see.
    pub fn to_json(&self, node: NodeId) -> Value {
        json!({
            "nodeId": node,
            "receivedAt": self.received_at,
            "system": self.system,
            "xray": self.xray,
            "mtproto": self.mtproto,
        })
    }
}

/// Reads what was kept of a node; none if it can't be read.
pub fn parse_stats(json: &str) -> Option<StatsSnapshot> {
    serde_json::from_str(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_comes_back_as_it_was_kept() {
        let whole = StatsSnapshot {
            received_at: Time::from_millis(1_764_000_000_123),
            system: SystemStats {
                uptime_seconds: 7,
                cpu_percent: 12.5,
                cpu_cores: 2,
                ram_used: i64::MAX,
                ..SystemStats::default()
            },
            xray: Some(XrayStats {
                running: true,
                uptime_seconds: None,
            }),
            mtproto: Map::from_iter([("tag".to_owned(), json!({"up": 1}))]).into(),
        };
        let bare = StatsSnapshot {
            xray: None,
            mtproto: None,
            ..whole.clone()
        };
        for snapshot in [whole, bare] {
            let json = snapshot.to_json(NodeId(3));
            assert_eq!((&json["nodeId"], &json["system"]["cpuCores"]), (&json!(3), &json!(2)));
            assert_eq!(parse_stats(&json.to_string()), Some(snapshot));
        }
        for bad in ["", "{}", "[]", "null", r#"{"receivedAt":"now","system":{}}"#] {
            assert_eq!(parse_stats(bad), None, "{bad}");
        }
    }
}
