//! Who is connected to a node now.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;

use super::{NodeId, ProtocolId, Time, UserId};

/// So long after a report the users in it are online.
pub const ONLINE_FOR: Duration = Duration::from_secs(20);

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

impl OnlineSet {
    /// How many different users are in it.
    pub fn distinct_users(&self) -> usize {
        self.users.iter().map(|user| user.user_id).collect::<HashSet<_>>().len()
    }
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

/// A user was seen at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Who.
    pub user: UserId,
    /// Where.
    pub ip: IpAddr,
    /// First.
    pub first_seen_at: Time,
    /// Last.
    pub last_seen_at: Time,
}

impl Sighting {
    /// One sighting a user and address, in their order: first seen when any says so first, last when any says so last. An IPv4 address mapped into
    /// IPv6 is the IPv4 address.
    pub fn fold(seen: &[Self]) -> Vec<Self> {
        let mut folded: BTreeMap<(UserId, IpAddr), Self> = BTreeMap::new();
        for seen in seen {
            let ip = seen.ip.to_canonical();
            folded
                .entry((seen.user, ip))
                .and_modify(|there| {
                    there.first_seen_at = there.first_seen_at.min(seen.first_seen_at);
                    there.last_seen_at = there.last_seen_at.max(seen.last_seen_at);
                })
                .or_insert(Self { ip, ..*seen });
        }
        folded.into_values().collect()
    }
}

/// An address that a user was seen at, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserIp {
    /// Who.
    pub user_id: UserId,
    /// Where.
    pub ip: IpAddr,
    /// First.
    pub first_seen_at: Time,
    /// Last.
    pub last_seen_at: Time,
    /// What a provider said of the address; none if none was asked yet.
    pub info: Option<Value>,
}

/// Which addresses are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookUp {
    /// All of which nothing is known, or nothing since then.
    All {
        /// What was fetched before this moment is old.
        fetched_before: Time,
    },
    /// All of which nothing is known, and those where somebody was seen for the first time since then, if nobody asked since.
    Fresh {
        /// Only what was first seen after this moment.
        first_seen_after: Time,
    },
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
    fn sightings_are_folded_in_the_order_of_users_and_addresses() {
        let sighting = |user, ip: &str, first, last| Sighting {
            user: UserId(user),
            ip: ip.parse().unwrap(),
            first_seen_at: Time::from_millis(first),
            last_seen_at: Time::from_millis(last),
        };
        let seen = [
            sighting(2, "192.0.2.1", 5, 6),
            sighting(1, "2001:db8::1", 1, 1),
            sighting(1, "192.0.2.200", 7, 7),
            sighting(1, "::ffff:192.0.2.99", 4, 5),
            sighting(1, "192.0.2.99", 3, 4),
            sighting(2, "192.0.2.1", 6, 9),
        ];
        let folded = [
            sighting(1, "192.0.2.99", 3, 5),
            sighting(1, "192.0.2.200", 7, 7),
            sighting(1, "2001:db8::1", 1, 1),
            sighting(2, "192.0.2.1", 5, 9),
        ];
        assert_eq!(Sighting::fold(&seen), folded);
        assert_eq!(Sighting::fold(&[]), []);
    }

    #[test]
    fn mapped_addresses_are_stripped() {
        assert_eq!(parse_ip("::ffff:192.0.2.1"), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(parse_ip("2001:db8::1"), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(parse_ip("192.0.2.1:80"), None);
    }
}
