//! Who is connected to a node now.

use std::net::IpAddr;

use serde::Serialize;

use super::{NodeId, ProtocolId, Time, UserId};

/// Everybody who was connected to a node, as it said in one report. A report is shared by all who hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlineSet {
    /// The node.
    pub node: NodeId,
    /// When Core took the report.
    pub at: Time,
    /// The full set, without those who left since.
    pub users: Vec<OnlineUser>,
}

/// A user on an inbound of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnlineUser {
    /// Who.
    pub user_id: UserId,
    /// Through which inbound.
    pub node_protocol_id: ProtocolId,
    /// From where.
    pub ips: Vec<OnlineIp>,
}

/// An address that a user is connected from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnlineIp {
    /// The address.
    pub ip: IpAddr,
    /// When the agent last saw it, never after the report.
    pub last_seen: Time,
}

/// Reads an address as agents write it: an IPv4 address mapped into IPv6 is the IPv4 address.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// The `last_seen` of an online report: RFC 3339 or decimal epoch milliseconds; what can't be read is the time of receipt, and
/// nothing is later than that.
pub fn last_seen(text: &str, now: Time) -> Time {
    text.parse::<i64>()
        .ok()
        .map(Time::from_millis)
        .or_else(|| Time::parse_rfc3339(text))
        .map_or(now, |at| at.min(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_seen_is_never_in_the_future() {
        let now = Time::from_millis(1_000_000);
        assert_eq!(last_seen("999000", now), Time::from_millis(999_000));
        assert_eq!(last_seen("1970-01-01T00:16:39Z", now), Time::from_millis(999_000));
        for text in ["1000001", "", "soon", "2026-01-01T00:00:00Z"] {
            assert_eq!(last_seen(text, now), now, "{text}");
        }
    }

    #[test]
    fn mapped_addresses_are_stripped() {
        assert_eq!(parse_ip("::ffff:192.0.2.1"), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(parse_ip("2001:db8::1"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(parse_ip("192.0.2.1:80"), None);
    }
}
