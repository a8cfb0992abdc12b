//! From what came over gRPC to what Core talks about. In an optional field 0 and "" mean absent.

use tonic::Status;

use crate::{
    model::{
        ProtocolId, Time, UserId, json,
        presence::{OnlineIp, OnlineUser, last_seen, parse_ip},
        stats::{SystemStats, XrayStats},
        usage::{OutboundItem, UsageItem},
    },
    node::{Heartbeat, OutboundReport, ReportOnline, ReportStats, UsageReport},
    proto::nodeservice as wire,
};

/// A heartbeat. A bad address is ignored and counted.
pub fn heartbeat(request: &wire::HeartbeatRequest) -> Heartbeat {
    let text = request.ip.as_deref().filter(|text| !text.is_empty());
    let ip = text.and_then(parse_ip);
    if text.is_some() && ip.is_none() {
        metrics::counter!("core_bad_ips_total", "call" => "heartbeat").increment(1);
    }
    Heartbeat {
        revision: request.revision.unwrap_or(0),
        ip,
    }
}

/// A usage report.
pub fn usage(key: Option<&str>, entries: Vec<wire::UsageEntry>) -> UsageReport {
    let item = |entry: wire::UsageEntry| UsageItem {
        user_id: entry.user_id,
        subscription_id: entry.subscription_id.filter(|id| *id != 0),
        node_protocol_id: entry.node_protocol_id,
        bytes_up: entry.bytes_up,
        bytes_down: entry.bytes_down,
        recorded_at: entry.recorded_at,
    };
    UsageReport::new(key, entries.into_iter().map(item).collect())
}

/// An outbound-usage report.
pub fn outbound_usage(key: Option<&str>, items: Vec<wire::OutboundUsageItem>) -> OutboundReport {
    let item = |item: wire::OutboundUsageItem| OutboundItem {
        tag: item.tag,
        bytes_up: item.bytes_up,
        bytes_down: item.bytes_down,
    };
    OutboundReport::new(key, items.into_iter().map(item).collect())
}

/// A snapshot of the machine. What is no JSON object in `mtproto_json`, or too much of one, is nothing, and counted.
pub fn stats(request: &wire::ReportNodeStatsRequest) -> Result<ReportStats, Status> {
    let system = request
        .system
        .as_ref()
        .ok_or_else(|| Status::invalid_argument("system is required"))?;
    let mtproto = json::bounded(request.mtproto_json.as_bytes(), json::Room::TREE)
        .is_ok()
        .then(|| serde_json::from_str(&request.mtproto_json).ok())
        .flatten();
    if mtproto.is_none() && !request.mtproto_json.is_empty() {
        metrics::counter!("core_bad_mtproto_stats_total").increment(1);
    }
    let xray = request.xray.as_ref().map(|xray| XrayStats {
        running: xray.running,
        uptime_seconds: xray.uptime_seconds.filter(|seconds| *seconds != 0),
    });
    Ok(ReportStats {
        system: system_stats(system),
        xray,
        mtproto,
    })
}

fn system_stats(system: &wire::SystemStats) -> SystemStats {
    SystemStats {
        uptime_seconds: system.uptime_seconds,
        cpu_percent: system.cpu_percent,
        cpu_cores: system.cpu_cores,
        ram_used: system.ram_used,
        ram_total: system.ram_total,
        disk_used: system.disk_used,
        disk_total: system.disk_total,
        net_rx_per_sec: system.net_rx_per_sec,
        net_tx_per_sec: system.net_tx_per_sec,
        net_rx_total: system.net_rx_total,
        net_tx_total: system.net_tx_total,
    }
}

/// The full set of connected users. A bad address is skipped and counted; its user stays.
pub fn online(users: Vec<wire::OnlineUser>, now: Time) -> ReportOnline {
    let user = |user: wire::OnlineUser| OnlineUser {
        user_id: UserId(user.user_id),
        node_protocol_id: ProtocolId(user.node_protocol_id),
        ips: user.ips.iter().filter_map(|ip| online_ip(ip, now)).collect(),
    };
    ReportOnline {
        users: users.into_iter().map(user).collect(),
    }
}

fn online_ip(ip: &wire::OnlineIp, now: Time) -> Option<OnlineIp> {
    let address = parse_ip(&ip.ip);
    if address.is_none() {
        metrics::counter!("core_bad_ips_total", "call" => "online").increment(1);
    }
    Some(OnlineIp {
        ip: address?,
        last_seen: last_seen(&ip.last_seen, now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_empty_are_absent() {
        let beat = heartbeat(&wire::HeartbeatRequest {
            auth_key: String::new(),
            revision: None,
            ip: Some(String::new()),
        });
        assert_eq!((beat.revision, beat.ip), (0, None));
        let entry = wire::UsageEntry {
            subscription_id: Some(0),
            ..wire::UsageEntry::default()
        };
        assert_eq!(usage(None, vec![entry]).items[0].subscription_id, None);
        let request = |mtproto: &str| wire::ReportNodeStatsRequest {
            system: Some(wire::SystemStats::default()),
            mtproto_json: mtproto.to_owned(),
            ..wire::ReportNodeStatsRequest::default()
        };
        assert_eq!(stats(&request("not json")).unwrap().mtproto, None);
        assert_eq!(stats(&request("")).unwrap().mtproto, None);
        assert_eq!(stats(&request(r#"{"a":{}}"#)).unwrap().mtproto.unwrap().len(), 1);
        let large = format!(r#"{{"a":[{}0]}}"#, "0,".repeat(1_000_000));
        assert_eq!(stats(&request(&large)).unwrap().mtproto, None);
    }

    #[test]
    fn both_wires_give_one_identity() {
        let entry = wire::UsageEntry {
            user_id: 1,
            subscription_id: Some(0),
            ..wire::UsageEntry::default()
        };
        let item = UsageItem {
            user_id: 1,
            subscription_id: None,
            node_protocol_id: 0,
            bytes_up: 0,
            bytes_down: 0,
            recorded_at: "".into(),
        };
        assert_eq!(
            usage(None, vec![entry]).identity,
            UsageReport::new(None, vec![item]).identity
        );
    }

    #[test]
    fn a_bad_address_goes_alone() {
        let ip = |ip: &str| wire::OnlineIp {
            ip: ip.to_owned(),
            last_seen: "5".to_owned(),
        };
        let user = wire::OnlineUser {
            user_id: 1,
            node_protocol_id: 2,
            ips: vec![ip("x"), ip("::ffff:192.0.2.1")],
        };
        let online = online(vec![user], Time::from_millis(9));
        assert_eq!(
            online.users[0].ips,
            [OnlineIp {
                ip: "192.0.2.1".parse().unwrap(),
                last_seen: Time::from_millis(5)
            }]
        );
    }
}
