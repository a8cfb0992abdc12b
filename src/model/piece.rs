//! The smallest things of entries that a store can take or refuse by themselves, so that one bad row costs itself only.

use compact_str::ToCompactString as _;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    NodeId, Time,
    entry::{Entry, NodeFailure, Payload, Rejected, ReportKind},
    fold::{Aside, SyncReport},
    session::{SessionItem, SessionRow},
    usage::{OutboundItem, OutboundRow, UsageItem, UsageRow},
};

/// One row, or one word, of an entry: of which node, when Core took it, and what it is.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields of an entry, and what the variant's name says")]
pub enum Piece {
    /// Bytes of a user.
    Usage {
        node: NodeId,
        received_at: Time,
        row: UsageRow,
    },
    /// Bytes of an outbound.
    Outbound {
        node: NodeId,
        received_at: Time,
        row: OutboundRow,
    },
    /// A user who came or went.
    Session {
        node: NodeId,
        received_at: Time,
        row: SessionRow,
    },
    /// An item that was put aside when it came.
    Rejected {
        node: NodeId,
        received_at: Time,
        kind: ReportKind,
        item: Rejected,
    },
    /// What went wrong on a node.
    Failure {
        node: NodeId,
        received_at: Time,
        failure: NodeFailure,
    },
    /// What a node said of its config.
    Sync {
        node: NodeId,
        received_at: Time,
        report: SyncReport,
    },
}

/// All pieces of these entries, in the order of the journal.
pub fn pieces(entries: impl IntoIterator<Item = Entry>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for entry in entries {
        entry.take_apart(|piece| pieces.push(piece));
    }
    pieces
}

impl Entry {
    /// Gives its pieces, in order.
    pub fn take_apart(self, mut take: impl FnMut(Piece)) {
        let Self {
            node,
            received_at,
            payload,
        } = self;
        let (kind, rejected) = match payload {
            Payload::Usage(report) => {
                let piece = |row| Piece::Usage { node, received_at, row };
                report.rows.into_iter().map(piece).for_each(&mut take);
                (ReportKind::Usage, report.rejected)
            }
            Payload::OutboundUsage(report) => {
                let piece = |row| Piece::Outbound { node, received_at, row };
                report.rows.into_iter().map(piece).for_each(&mut take);
                (ReportKind::OutboundUsage, report.rejected)
            }
            Payload::SessionEvents(report) => {
                let piece = |row| Piece::Session { node, received_at, row };
                report.rows.into_iter().map(piece).for_each(&mut take);
                (ReportKind::SessionEvents, report.rejected)
            }
            Payload::ConfigApplied { revision } => {
                let report = SyncReport::Applied(revision);
                return take(Piece::Sync {
                    node,
                    received_at,
                    report,
                });
            }
            Payload::NodeError(failure) => {
                let report = SyncReport::Failed;
                take(Piece::Sync {
                    node,
                    received_at,
                    report,
                });
                return take(Piece::Failure {
                    node,
                    received_at,
                    failure,
                });
            }
        };
        let piece = |item| Piece::Rejected {
            node,
            received_at,
            kind,
            item,
        };
        rejected.into_iter().map(piece).for_each(take);
    }
}

impl Piece {
    /// What is kept of it when the store refuses it with these words.
    pub fn put_aside(self, words: &str) -> Aside {
        let reason = words.to_owned();
        let (node, kind, at, item_json) = match self {
            Self::Usage { node, received_at, row } => (node, ReportKind::Usage, received_at, text(&usage_item(&row))),
            Self::Outbound { node, received_at, row } => {
                let item = OutboundItem {
                    tag: row.tag,
                    bytes_up: row.bytes_up,
                    bytes_down: row.bytes_down,
                };
                (node, ReportKind::OutboundUsage, received_at, text(&item))
            }
            Self::Session { node, received_at, row } => {
                (node, ReportKind::SessionEvents, received_at, text(&session_item(row)))
            }
            Self::Rejected {
                node,
                received_at,
                kind,
                item,
            } => {
                let reason = format!("{reason} (put aside for: {})", item.reason);
                return (node, kind, received_at, Rejected { reason, ..item });
            }
            Self::Failure {
                node,
                received_at,
                failure,
            } => (node, ReportKind::NodeError, received_at, text(&failure_item(&failure))),
            Self::Sync {
                node,
                received_at,
                report,
            } => match report {
                SyncReport::Applied(revision) => {
                    let item = json!({ "revision": revision });
                    (node, ReportKind::ConfigApplied, received_at, item.to_string())
                }
                SyncReport::Failed => {
                    let item = json!({ "syncStatus": "failed" });
                    (node, ReportKind::NodeError, received_at, item.to_string())
                }
            },
        };
        (node, kind, at, Rejected { reason, item_json })
    }
}

fn usage_item(row: &UsageRow) -> UsageItem {
    UsageItem {
        user_id: row.user.0,
        subscription_id: row.subscription.map(|id| id.0),
        node_protocol_id: row.protocol.0,
        bytes_up: row.bytes_up,
        bytes_down: row.bytes_down,
        recorded_at: row.minute.to_compact_string(),
    }
}

fn session_item(row: SessionRow) -> SessionItem {
    SessionItem {
        user_id: row.user.0,
        protocol: row.protocol,
        event_type: row.event_type,
        occurred_at: row.occurred_at.to_string(),
        ip_address: row.ip.map(|ip| ip.to_string()),
    }
}

fn failure_item(failure: &NodeFailure) -> Value {
    let details = failure.details_json.as_deref();
    json!({
        "message": failure.message,
        "code": failure.code,
        "details": details.map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))),
        "revision": failure.revision,
    })
}

fn text(item: &impl Serialize) -> String {
    serde_json::to_string(item).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        ProtocolId, SubscriptionId, UserId,
        entry::{Identity, Report},
        fold::Fold,
    };

    fn noon() -> Time {
        Time::parse_rfc3339("2026-11-24T12:00:00Z").unwrap()
    }

    fn entry(payload: Payload) -> Entry {
        Entry {
            node: NodeId(7),
            received_at: noon(),
            payload,
        }
    }

    fn report<Row>(rows: Vec<Row>, rejected: &[&str]) -> Report<Row> {
        let item = |reason: &&str| Rejected {
            reason: (*reason).to_owned(),
            item_json: "{}".to_owned(),
        };
        Report {
            identity: Identity::of_key("k"),
            rows,
            rejected: rejected.iter().map(item).collect(),
        }
    }

    fn usage(user: i64) -> UsageRow {
        UsageRow {
            user: UserId(user),
            subscription: (user != 2).then_some(SubscriptionId(5)),
            protocol: ProtocolId(3),
            minute: noon(),
            bytes_up: 10,
            bytes_down: 20,
            suspect: None,
        }
    }

    /// One entry of each kind.
    fn everything() -> Vec<Entry> {
        let outbound = OutboundRow {
            tag: "direct".to_owned(),
            bytes_up: 1,
            bytes_down: 2,
        };
        let session = SessionRow {
            user: UserId(1),
            protocol: "vless".to_owned(),
            event_type: "online".to_owned(),
            occurred_at: noon(),
            ip: Some("192.0.2.1".parse().unwrap()),
        };
        let failure = NodeFailure {
            revision: 4,
            message: "port in use".to_owned(),
            code: Some("E1".to_owned()),
            details_json: Some(r#"{"port":443}"#.to_owned()),
        };
        vec![
            entry(Payload::Usage(report(vec![usage(1), usage(2)], &["entries[2]: bad"]))),
            entry(Payload::OutboundUsage(report(vec![outbound], &[]))),
            entry(Payload::SessionEvents(report(vec![session], &[]))),
            entry(Payload::ConfigApplied { revision: 4 }),
            entry(Payload::NodeError(failure)),
        ]
    }

    #[test]
    fn pieces_keep_the_order_of_the_journal() {
        let names: Vec<_> = pieces(everything())
            .iter()
            .map(|piece| match piece {
                Piece::Usage { row, .. } => format!("usage {}", row.user),
                Piece::Outbound { .. } => "outbound".to_owned(),
                Piece::Session { .. } => "session".to_owned(),
                Piece::Rejected { item, .. } => item.reason.clone(),
                Piece::Failure { .. } => "failure".to_owned(),
                Piece::Sync { report, .. } => format!("{report:?}"),
            })
            .collect();
        assert_eq!(
            names,
            [
                "usage 1",
                "usage 2",
                "entries[2]: bad",
                "outbound",
                "session",
                "Applied(4)",
                "Failed",
                "failure"
            ]
        );
    }

    #[test]
    fn pieces_come_to_what_their_entries_come_to() {
        let (mut whole, mut by_piece) = (Fold::default(), Fold::default());
        everything().into_iter().for_each(|entry| whole.add(entry));
        pieces(everything())
            .into_iter()
            .for_each(|piece| by_piece.add_piece(piece));
        assert_eq!(whole, by_piece);
        assert_eq!((whole.usage.len(), whole.rejected.len(), whole.errors.len()), (2, 1, 1));
    }

    #[test]
    fn what_is_put_aside_reads_as_it_was_sent() {
        let aside: Vec<_> = pieces(everything())
            .into_iter()
            .map(|piece| piece.put_aside("no"))
            .map(|(node, kind, at, item)| {
                assert_eq!((node, at), (NodeId(7), noon()));
                let value: Value = serde_json::from_str(&item.item_json).unwrap();
                (kind.as_str(), item.reason, value)
            })
            .collect();
        let bytes = json!({
            "userId": 1, "subscriptionId": 5, "nodeProtocolId": 3, "bytesUp": 10, "bytesDown": 20,
            "recordedAt": "2026-11-24T12:00:00Z",
        });
        assert_eq!(aside[0], ("usage", "no".to_owned(), bytes));
        assert_eq!(aside[1].2["subscriptionId"], Value::Null);
        assert_eq!(aside[2].1, "no (put aside for: entries[2]: bad)");
        let outbound = json!({ "tag": "direct", "bytesUp": 1, "bytesDown": 2 });
        assert_eq!(aside[3], ("outbound-usage", "no".to_owned(), outbound));
        let session = json!({
            "userId": 1, "protocol": "vless", "eventType": "online", "occurredAt": "2026-11-24T12:00:00Z",
            "ipAddress": "192.0.2.1",
        });
        assert_eq!(aside[4], ("session-events", "no".to_owned(), session));
        assert_eq!(aside[5], ("config-applied", "no".to_owned(), json!({ "revision": 4 })));
        assert_eq!(aside[6].0, "error");
        let failure = json!({ "message": "port in use", "code": "E1", "details": { "port": 443 }, "revision": 4 });
        assert_eq!(aside[7], ("error", "no".to_owned(), failure));
    }
}
