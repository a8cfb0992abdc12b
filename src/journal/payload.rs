//! What a record says: [`Entry`] to protobuf and back.

use std::{net::IpAddr, time::Duration};

use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};

use super::{
    columns::{self, VARINT_MAX},
    record,
};
use crate::{
    model::{
        NodeId, Time, UserId,
        entry::{Entry, Identity, NodeFailure, Payload, Rejected, Report},
        session::SessionRow,
        usage::{OutboundRow, UsageRow},
    },
    proto::journal as wire,
};

/// The field of `wire::Entry` that has them.
const USAGE_COLUMNS: u32 = 8;

/// An entry in bytes, with room for a record's head before it.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let head = wire::Entry {
        node_id: entry.node.0,
        received_at: entry.received_at.millis(),
        payload: None,
    };
    let payload = match &entry.payload {
        Payload::Usage(report) => return encode_usage(&head, report, entry.received_at),
        Payload::OutboundUsage(report) => wire::entry::Payload::OutboundUsage(wire::OutboundUsage {
            identity: Some(identity_to_wire(report.identity)),
            rows: report.rows.iter().map(outbound_to_wire).collect(),
            rejected: report.rejected.iter().map(rejected_to_wire).collect(),
        }),
        Payload::SessionEvents(report) => wire::entry::Payload::SessionEvents(wire::SessionEvents {
            identity: Some(identity_to_wire(report.identity)),
            rows: report.rows.iter().map(session_to_wire).collect(),
            rejected: report.rejected.iter().map(rejected_to_wire).collect(),
        }),
        Payload::ConfigApplied { revision } => {
            wire::entry::Payload::ConfigApplied(wire::ConfigApplied { revision: *revision })
        }
        Payload::NodeError(failure) => wire::entry::Payload::NodeError(wire::NodeError {
            revision: failure.revision,
            message: failure.message.clone(),
            code: failure.code.clone().unwrap_or_default(),
            details_json: failure.details_json.clone().unwrap_or_default(),
        }),
    };
    let payload = Some(payload);
    frame(&wire::Entry { payload, ..head }, 0)
}

/// Most of what is written is usage.
fn encode_usage(head: &wire::Entry, report: &Report<UsageRow>, received_at: Time) -> Vec<u8> {
    let about = wire::UsageColumns {
        identity: Some(identity_to_wire(report.identity)),
        rejected: report.rejected.iter().map(rejected_to_wire).collect(),
        ..wire::UsageColumns::default()
    };
    let mut usage = about.encode_to_vec();
    columns::write(&report.rows, received_at, &mut usage);
    let mut frame = frame(head, 2 * VARINT_MAX + usage.len());
    encode_key(USAGE_COLUMNS, WireType::LengthDelimited, &mut frame);
    encode_varint(usage.len() as u64, &mut frame);
    frame.extend_from_slice(&usage);
    frame
}

/// Room for a record's head, this message, and room for so much more.
fn frame(message: &wire::Entry, more: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(record::HEAD + message.encoded_len() + more);
    frame.resize(record::HEAD, 0);
    message.encode_raw(&mut frame);
    frame
}

/// The entry in a record; none if this version of Core can't read it.
pub(super) fn decode(payload: &[u8]) -> Option<Entry> {
    let message = wire::Entry::decode(payload).ok()?;
    let received_at = Time::from_millis(message.received_at);
    Some(Entry {
        node: NodeId(message.node_id),
        received_at,
        payload: payload_from_wire(message.payload?, received_at)?,
    })
}

/// How many rows an entry brings to the store, at least one.
pub(super) fn rows(entry: &Entry) -> usize {
    let rows = match &entry.payload {
        Payload::Usage(report) => report.rows.len() + report.rejected.len(),
        Payload::OutboundUsage(report) => report.rows.len() + report.rejected.len(),
        Payload::SessionEvents(report) => report.rows.len() + report.rejected.len(),
        Payload::ConfigApplied { .. } | Payload::NodeError(_) => 1,
    };
    rows.max(1)
}

fn payload_from_wire(payload: wire::entry::Payload, received_at: Time) -> Option<Payload> {
    Some(match payload {
        wire::entry::Payload::Usage(report) => Payload::Usage(Report {
            identity: identity_from_wire(&report.identity?)?,
            rows: report.rows.iter().map(columns::from_row).collect::<Option<_>>()?,
            rejected: rejected_from_wire(report.rejected),
        }),
        wire::entry::Payload::UsageColumns(report) => Payload::Usage(Report {
            identity: identity_from_wire(report.identity.as_ref()?)?,
            rows: columns::from_wire(&report, received_at)?,
            rejected: rejected_from_wire(report.rejected),
        }),
        wire::entry::Payload::OutboundUsage(report) => Payload::OutboundUsage(Report {
            identity: identity_from_wire(&report.identity?)?,
            rows: report.rows.into_iter().map(outbound_from_wire).collect(),
            rejected: rejected_from_wire(report.rejected),
        }),
        wire::entry::Payload::SessionEvents(report) => Payload::SessionEvents(Report {
            identity: identity_from_wire(&report.identity?)?,
            rows: report.rows.into_iter().map(session_from_wire).collect::<Option<_>>()?,
            rejected: rejected_from_wire(report.rejected),
        }),
        wire::entry::Payload::ConfigApplied(applied) => Payload::ConfigApplied {
            revision: applied.revision,
        },
        wire::entry::Payload::NodeError(failure) => Payload::NodeError(NodeFailure {
            revision: failure.revision,
            message: failure.message,
            code: filled(failure.code),
            details_json: filled(failure.details_json),
        }),
    })
}

fn identity_to_wire(identity: Identity) -> wire::Identity {
    wire::Identity {
        hash: identity.hash.to_vec(),
        window: i64::try_from(identity.window.as_millis()).unwrap_or(i64::MAX),
    }
}

fn identity_from_wire(identity: &wire::Identity) -> Option<Identity> {
    Some(Identity {
        hash: identity.hash.as_slice().try_into().ok()?,
        window: Duration::from_millis(identity.window.try_into().ok()?),
    })
}

fn outbound_to_wire(row: &OutboundRow) -> wire::OutboundRow {
    wire::OutboundRow {
        tag: row.tag.clone(),
        bytes_up: row.bytes_up,
        bytes_down: row.bytes_down,
    }
}

fn outbound_from_wire(row: wire::OutboundRow) -> OutboundRow {
    OutboundRow {
        tag: row.tag,
        bytes_up: row.bytes_up,
        bytes_down: row.bytes_down,
    }
}

fn session_to_wire(row: &SessionRow) -> wire::SessionRow {
    wire::SessionRow {
        user_id: row.user.0,
        protocol: row.protocol.clone(),
        event_type: row.event_type.clone(),
        occurred_at: row.occurred_at.millis(),
        ip_address: row.ip.map(|ip| ip.to_string()).unwrap_or_default(),
    }
}

fn session_from_wire(row: wire::SessionRow) -> Option<SessionRow> {
    let ip: Option<IpAddr> = match row.ip_address.as_str() {
        "" => None,
        text => Some(text.parse().ok()?),
    };
    Some(SessionRow {
        user: UserId(row.user_id),
        protocol: row.protocol,
        event_type: row.event_type,
        occurred_at: Time::from_millis(row.occurred_at),
        ip,
    })
}

fn rejected_to_wire(rejected: &Rejected) -> wire::RejectedItem {
    wire::RejectedItem {
        reason: rejected.reason.clone(),
        item_json: rejected.item_json.clone(),
    }
}

fn rejected_from_wire(rejected: Vec<wire::RejectedItem>) -> Vec<Rejected> {
    let kept = rejected.into_iter().map(|item| Rejected {
        reason: item.reason,
        item_json: item.item_json,
    });
    kept.collect()
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::model::{ProtocolId, SubscriptionId, suspect::Suspicion};

    fn time() -> impl Strategy<Value = Time> {
        any::<i64>().prop_map(Time::from_millis)
    }

    fn usage_row() -> impl Strategy<Value = UsageRow> {
        let subscription = option::of((1..=i64::MAX).prop_map(SubscriptionId));
        let suspect = option::of(prop::sample::select(Suspicion::ALL));
        (any::<[i64; 4]>(), subscription, time(), suspect).prop_map(|(numbers, subscription, minute, suspect)| {
            UsageRow {
                user: UserId(numbers[0]),
                subscription,
                protocol: ProtocolId(numbers[1]),
                minute,
                bytes_up: numbers[2],
                bytes_down: numbers[3],
                suspect,
            }
        })
    }

    fn outbound_row() -> impl Strategy<Value = OutboundRow> {
        (".*", any::<[i64; 2]>()).prop_map(|(tag, [bytes_up, bytes_down])| OutboundRow {
            tag,
            bytes_up,
            bytes_down,
        })
    }

    fn session_row() -> impl Strategy<Value = SessionRow> {
        (any::<i64>(), ".*", ".*", time(), any::<Option<IpAddr>>()).prop_map(
            |(user, protocol, event_type, occurred_at, ip)| SessionRow {
                user: UserId(user),
                protocol,
                event_type,
                occurred_at,
                ip,
            },
        )
    }

    fn report<Row: std::fmt::Debug>(row: impl Strategy<Value = Row>) -> impl Strategy<Value = Report<Row>> {
        let rejected = (".*", ".*").prop_map(|(reason, item_json)| Rejected { reason, item_json });
        let millis = 0..=u64::try_from(i64::MAX).unwrap();
        (any::<[u8; 32]>(), millis, vec(row, 0..4), vec(rejected, 0..3)).prop_map(|(hash, window, rows, rejected)| {
            Report {
                identity: Identity {
                    hash,
                    window: Duration::from_millis(window),
                },
                rows,
                rejected,
            }
        })
    }

    fn payload() -> impl Strategy<Value = Payload> {
        let text = || option::of(".+");
        prop_oneof![
            report(usage_row()).prop_map(Payload::Usage),
            report(outbound_row()).prop_map(Payload::OutboundUsage),
            report(session_row()).prop_map(Payload::SessionEvents),
            any::<i64>().prop_map(|revision| Payload::ConfigApplied { revision }),
            (any::<i64>(), ".*", text(), text()).prop_map(|(revision, message, code, details_json)| {
                Payload::NodeError(NodeFailure {
                    revision,
                    message,
                    code,
                    details_json,
                })
            }),
        ]
    }

    proptest! {
        #[test]
        fn every_entry_comes_back(node in any::<i64>(), received_at in time(), payload in payload()) {
            let entry = Entry { node: NodeId(node), received_at, payload };
            let frame = encode(&entry);
            prop_assert!(frame.len() > record::HEAD, "a payload is never empty");
            let message = wire::Entry::decode(&frame[record::HEAD..]).unwrap();
            prop_assert_eq!(message.encode_to_vec(), &frame[record::HEAD..], "as prost would write it");
            prop_assert_eq!(decode(&frame[record::HEAD..]), Some(entry));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
            decode(&bytes);
        }
    }

    #[test]
    fn what_is_no_entry_is_none() {
        assert_eq!(decode(b""), None, "no payload");
        let nameless = wire::Entry {
            payload: Some(wire::entry::Payload::Usage(wire::Usage::default())),
            ..wire::Entry::default()
        };
        assert_eq!(decode(&nameless.encode_to_vec()), None, "no identity");
    }
}
