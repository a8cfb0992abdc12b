//! Bytes: what an agent sends, what of it counts, and why the rest does not.

use std::time::Duration;

use compact_str::CompactString;
use serde::Serialize;

use super::{
    ProtocolId, SubscriptionId, Time, UserId,
    entry::{ItemHash, Rejected},
    suspect::Suspicion,
};

/// The most bytes that one entry may carry (16 TiB): more is an agent's error, not traffic.
pub const MAX_BYTES: i64 = 1 << 44;

/// How far back a report may date its bytes: as long as the minutes are kept.
pub const OLDEST: Duration = Duration::from_hours(35 * 24);

/// How far ahead of Core's clock a report may date its bytes.
pub const AHEAD: Duration = Duration::from_mins(5);

/// An entry of a usage report as it was decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageItem {
    /// Whose traffic.
    pub user_id: i64,
    /// On which subscription.
    pub subscription_id: Option<i64>,
    /// Through which inbound.
    pub node_protocol_id: i64,
    /// From the user.
    pub bytes_up: i64,
    /// To the user.
    pub bytes_down: i64,
    /// RFC 3339; in place, for there are hundreds in a report.
    pub recorded_at: CompactString,
}

impl UsageItem {
    /// Feeds the identity of the request.
    pub fn feed(&self, hash: &mut ItemHash) {
        hash.int(self.user_id);
        hash.int(self.subscription_id.unwrap_or(0));
        hash.int(self.node_protocol_id);
        hash.int(self.bytes_up);
        hash.int(self.bytes_down);
        hash.text(&self.recorded_at);
    }
}

/// An item of an outbound-usage report as it was decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundItem {
    /// The outbound.
    pub tag: String,
    /// Sent since the last report.
    pub bytes_up: i64,
    /// Received since the last report.
    pub bytes_down: i64,
}

impl OutboundItem {
    /// Feeds the identity of the request.
    pub fn feed(&self, hash: &mut ItemHash) {
        hash.text(&self.tag);
        hash.int(self.bytes_up);
        hash.int(self.bytes_down);
    }
}

/// Bytes that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// Whose; may be unknown to Core.
    pub user: UserId,
    /// On which subscription; may be unknown to Core.
    pub subscription: Option<SubscriptionId>,
    /// Through which inbound of the node.
    pub protocol: ProtocolId,
    /// When.
    pub minute: Time,
    /// From the user, 0 to 2^44.
    pub bytes_up: i64,
    /// To the user, 0 to 2^44.
    pub bytes_down: i64,
    /// Why they count only if an admin says so.
    pub suspect: Option<Suspicion>,
}

impl UsageRow {
    /// Both ways.
    pub const fn bytes(&self) -> i64 {
        self.bytes_up.saturating_add(self.bytes_down)
    }
}

/// Bytes that count on an outbound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundRow {
    /// The outbound.
    pub tag: String,
    /// Sent, 0 to 2^44.
    pub bytes_up: i64,
    /// Received, 0 to 2^44.
    pub bytes_down: i64,
}

/// A report after the check.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked<Row> {
    /// What counts, in the order sent.
    pub rows: Vec<Row>,
    /// What does not, with reasons.
    pub rejected: Vec<Rejected>,
    /// A time could not be read or was out of range, and the time of receipt was taken instead.
    pub clock_skew: bool,
}

impl<Row> Checked<Row> {
    /// Checks each item by itself: `check` gives the row or the reason against it.
    pub fn each<'a, Item: Serialize>(
        list: &str,
        items: &'a [Item],
        mut check: impl FnMut(&'a Item) -> Result<Row, String>,
    ) -> Self {
        let mut checked = Self {
            rows: Vec::with_capacity(items.len()),
            rejected: Vec::new(),
            clock_skew: false,
        };
        for (index, item) in items.iter().enumerate() {
            match check(item) {
                Ok(row) => checked.rows.push(row),
                Err(why) => checked.rejected.push(Rejected {
                    reason: format!("{list}[{index}]: {why}"),
                    item_json: serde_json::to_string(item).unwrap_or_default(),
                }),
            }
        }
        checked
    }
}

/// Checks the entries of a usage report. `is_ours` says whether an inbound is or ever was the node's.
pub fn check_usage(items: &[UsageItem], now: Time, is_ours: impl Fn(ProtocolId) -> bool) -> Checked<UsageRow> {
    let mut skewed = false;
    // An agent counts all users at one moment: their entries mostly name the same, and to read it is half of the check.
    let mut last = None;
    let mut moment_of = |text| match last {
        Some((known, moment)) if known == text => moment,
        _ => last.insert((text, moment(text, now))).1,
    };
    let mut checked = Checked::each("entries", items, |item| {
        bytes_in_range("bytesUp", item.bytes_up)?;
        bytes_in_range("bytesDown", item.bytes_down)?;
        id_in_range("userId", item.user_id)?;
        id_in_range("subscriptionId", item.subscription_id.unwrap_or(0))?;
        if !is_ours(ProtocolId(item.node_protocol_id)) {
            return Err(format!(
                "nodeProtocolId {} was never an inbound of this node",
                item.node_protocol_id
            ));
        }
        let (at, skew) = moment_of(item.recorded_at.as_str());
        skewed |= skew;
        Ok(UsageRow {
            user: UserId(item.user_id),
            subscription: item.subscription_id.map(SubscriptionId),
            protocol: ProtocolId(item.node_protocol_id),
            minute: at.minute(),
            bytes_up: item.bytes_up,
            bytes_down: item.bytes_down,
            suspect: None,
        })
    });
    checked.clock_skew = skewed;
    checked
}

/// Checks the items of an outbound-usage report. `is_ours` says whether a tag is or ever was the node's.
pub fn check_outbound_usage(items: &[OutboundItem], is_ours: impl Fn(&str) -> bool) -> Checked<OutboundRow> {
    Checked::each("items", items, |item| {
        bytes_in_range("bytesUp", item.bytes_up)?;
        bytes_in_range("bytesDown", item.bytes_down)?;
        if !is_ours(&item.tag) {
            return Err("tag is not an outbound of this node".to_owned());
        }
        Ok(OutboundRow {
            tag: item.tag.clone(),
            bytes_up: item.bytes_up,
            bytes_down: item.bytes_down,
        })
    })
}

/// The moment that a report names, or the moment of receipt where that can't be used; the flag says which.
pub fn moment(text: &str, now: Time) -> (Time, bool) {
    match Time::parse_rfc3339(text) {
        Some(at) if at >= now.minus(OLDEST) && at <= now.plus(AHEAD) => (at, false),
        _ => (now, true),
    }
}

pub(super) fn id_in_range(field: &str, id: i64) -> Result<(), String> {
    if id < 0 {
        Err(format!("{field} is negative"))
    } else {
        Ok(())
    }
}

fn bytes_in_range(field: &str, bytes: i64) -> Result<(), String> {
    match bytes {
        ..0 => Err(format!("{field} is negative")),
        0..=MAX_BYTES => Ok(()),
        _ => Err(format!("{field} is above 2^44")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item() -> UsageItem {
        UsageItem {
            user_id: 1,
            subscription_id: Some(2),
            node_protocol_id: 3,
            bytes_up: 4,
            bytes_down: 5,
            recorded_at: "2026-11-24T12:00:30Z".into(),
        }
    }

    fn noon() -> Time {
        Time::parse_rfc3339("2026-11-24T12:00:00Z").unwrap()
    }

    #[test]
    fn a_bad_entry_goes_alone() {
        let entries = [
            item(),
            UsageItem { bytes_up: -1, ..item() },
            UsageItem {
                bytes_down: MAX_BYTES + 1,
                ..item()
            },
            UsageItem { user_id: -1, ..item() },
            UsageItem {
                subscription_id: Some(-1),
                ..item()
            },
            UsageItem {
                node_protocol_id: 4,
                ..item()
            },
            UsageItem {
                bytes_up: MAX_BYTES,
                ..item()
            },
        ];
        let checked = check_usage(&entries, noon(), |protocol| protocol == ProtocolId(3));
        assert_eq!(checked.rows.len(), 2);
        let reasons: Vec<_> = checked.rejected.iter().map(|it| it.reason.as_str()).collect();
        assert_eq!(
            reasons,
            [
                "entries[1]: bytesUp is negative",
                "entries[2]: bytesDown is above 2^44",
                "entries[3]: userId is negative",
                "entries[4]: subscriptionId is negative",
                "entries[5]: nodeProtocolId 4 was never an inbound of this node",
            ]
        );
        assert!(!checked.clock_skew);
    }

    #[test]
    fn bytes_are_never_refused_for_their_time() {
        for (text, minute, skew) in [
            ("2026-11-24T11:59:59Z", "2026-11-24T11:59:00Z", false),
            ("2026-11-24T12:05:00Z", "2026-11-24T12:05:00Z", false),
            ("2026-11-24T12:05:01Z", "2026-11-24T12:00:00Z", true),
            ("2026-10-20T12:00:00Z", "2026-10-20T12:00:00Z", false),
            ("2026-10-20T11:59:59Z", "2026-11-24T12:00:00Z", true),
            ("yesterday", "2026-11-24T12:00:00Z", true),
        ] {
            let checked = check_usage(
                &[UsageItem {
                    recorded_at: text.into(),
                    ..item()
                }],
                noon(),
                |_| true,
            );
            assert_eq!(checked.rows[0].minute.to_string(), minute, "{text}");
            assert_eq!(checked.clock_skew, skew, "{text}");
        }
    }

    #[test]
    fn an_unknown_outbound_goes_alone() {
        let items = ["direct", "nowhere"].map(|tag| OutboundItem {
            tag: tag.to_owned(),
            bytes_up: 1,
            bytes_down: 2,
        });
        let checked = check_outbound_usage(&items, |tag| tag == "direct");
        assert_eq!(checked.rows.len(), 1);
        assert_eq!(
            checked.rejected[0].reason,
            "items[1]: tag is not an outbound of this node"
        );
    }
}
