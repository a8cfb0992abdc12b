//! Users who come and go, as an agent tells it.

use std::net::IpAddr;

use serde::Serialize;

use super::{
    Time, UserId,
    entry::ItemHash,
    presence::parse_ip,
    usage::{Checked, id_in_range, moment},
};

/// An event as it was decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionItem {
    /// Who.
    pub user_id: i64,
    /// A protocol's name; an unknown one is kept as sent.
    pub protocol: String,
    /// An event's name; an unknown one is kept as sent.
    pub event_type: String,
    /// RFC 3339.
    pub occurred_at: String,
    /// From where.
    pub ip_address: Option<String>,
}

impl SessionItem {
    /// Feeds the identity of the request.
    pub fn feed(&self, hash: &mut ItemHash) {
        hash.int(self.user_id);
        hash.text(&self.protocol);
        hash.text(&self.event_type);
        hash.text(&self.occurred_at);
        hash.text(self.ip_address.as_deref().unwrap_or(""));
    }
}

/// An event that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Who.
    pub user: UserId,
    /// In lower case where it is one of ours, else as sent.
    pub protocol: String,
    /// In lower case where it is one of ours, else as sent.
    pub event_type: String,
    /// When.
    pub occurred_at: Time,
    /// From where.
    pub ip: Option<IpAddr>,
}

/// Checks the events of a report; the time follows the rule of usage.
pub fn check_session_events(items: &[SessionItem], now: Time) -> Checked<SessionRow> {
    let mut skewed = false;
    let mut checked = Checked::each("events", items, |item| {
        id_in_range("userId", item.user_id)?;
        let ip = match item.ip_address.as_deref() {
            None | Some("") => None,
            Some(text) => Some(parse_ip(text).ok_or("ipAddress is not an IP address")?),
        };
        let (occurred_at, skew) = moment(&item.occurred_at, now);
        skewed |= skew;
        Ok(SessionRow {
            user: UserId(item.user_id),
            protocol: known_in_lower_case(
                &item.protocol,
                super::catalog::VpnProtocol::ALL.iter().map(|it| it.as_str()),
            ),
            event_type: known_in_lower_case(&item.event_type, ["online", "offline"].into_iter()),
            occurred_at,
            ip,
        })
    });
    checked.clock_skew = skewed;
    checked
}

fn known_in_lower_case(text: &str, mut known: impl Iterator<Item = &'static str>) -> String {
    known
        .find(|name| name.eq_ignore_ascii_case(text))
        .unwrap_or(text)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lowered_and_strangers_kept() {
        let event = |protocol: &str, kind: &str, ip: &str| SessionItem {
            user_id: 7,
            protocol: protocol.to_owned(),
            event_type: kind.to_owned(),
            occurred_at: "2026-11-24T12:00:00Z".to_owned(),
            ip_address: Some(ip.to_owned()),
        };
        let events = [
            event("VLESS", "Online", "::ffff:10.0.0.1"),
            event("Tunnel9", "ping", ""),
            event("vless", "online", "host"),
        ];
        let checked = check_session_events(&events, Time::parse_rfc3339("2026-11-24T12:00:00Z").unwrap());
        assert_eq!(
            (checked.rows[0].protocol.as_str(), checked.rows[0].event_type.as_str()),
            ("vless", "online")
        );
        assert_eq!(checked.rows[0].ip, Some("10.0.0.1".parse().unwrap()));
        assert_eq!(
            (checked.rows[1].protocol.as_str(), checked.rows[1].event_type.as_str()),
            ("Tunnel9", "ping")
        );
        assert_eq!(checked.rows[1].ip, None);
        assert_eq!(checked.rejected[0].reason, "events[2]: ipAddress is not an IP address");
    }
}
