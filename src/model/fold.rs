//! What a batch of entries comes to: one row a key, one sum a counter. Pure, so that the same entries always come to the same.

use std::collections::BTreeMap;

use super::{
    NodeId, ProtocolId, SubscriptionId, Time, UserId,
    entry::{Entry, NodeFailure, Payload, Rejected, ReportKind},
    session::SessionRow,
};

/// What a row of `usage_minutes` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the columns of its name")]
pub struct UsageKey {
    pub node: NodeId,
    pub user: UserId,
    pub subscription: Option<SubscriptionId>,
    pub protocol: ProtocolId,
    pub minute: Time,
}

/// Bytes both ways. Sums are wide, so that no batch can overflow them; a row holds them at most to 2^63-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bytes {
    /// From the user.
    pub up: i128,
    /// To the user.
    pub down: i128,
}

impl Bytes {
    /// Adds these.
    pub fn add(&mut self, up: i64, down: i64) {
        self.up += i128::from(up);
        self.down += i128::from(down);
    }

    /// As the columns hold them.
    pub fn saturated(self) -> (i64, i64) {
        let hold = |sum: i128| i64::try_from(sum).unwrap_or(i64::MAX);
        (hold(self.up), hold(self.down))
    }
}

/// What a batch comes to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fold {
    /// Rows for `usage_minutes`.
    pub usage: BTreeMap<UsageKey, Bytes>,
    /// Growth of `subscriptions.traffic_bytes_*`.
    pub subscriptions: BTreeMap<SubscriptionId, Bytes>,
    /// Growth of `node_protocols.traffic_bytes_*`.
    pub protocols: BTreeMap<ProtocolId, Bytes>,
    /// Growth of `node_outbounds.traffic_bytes_*`.
    pub outbounds: BTreeMap<(NodeId, String), Bytes>,
    /// Rows for `session_events`.
    pub sessions: Vec<(NodeId, SessionRow)>,
    /// Rows for `usage_rejected` and `events_rejected`.
    pub rejected: Vec<(NodeId, ReportKind, Time, Rejected)>,
    /// Rows for `node_errors`.
    pub errors: Vec<(NodeId, Time, NodeFailure)>,
    /// What each node last said of its config.
    pub sync: BTreeMap<NodeId, (Time, SyncReport)>,
}

/// What a node said of its config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncReport {
    /// It runs this revision.
    Applied(i64),
    /// It could not.
    Failed,
}

impl Fold {
    /// Adds an entry. Entries come in the order of the journal.
    pub fn add(&mut self, entry: Entry) {
        let Entry {
            node,
            received_at,
            payload,
        } = entry;
        match payload {
            Payload::Usage(report) => {
                for row in report.rows {
                    let (user, subscription, protocol, minute) = (row.user, row.subscription, row.protocol, row.minute);
                    let key = UsageKey {
                        node,
                        user,
                        subscription,
                        protocol,
                        minute,
                    };
                    self.usage.entry(key).or_default().add(row.bytes_up, row.bytes_down);
                    self.protocols
                        .entry(protocol)
                        .or_default()
                        .add(row.bytes_up, row.bytes_down);
                    if let Some(subscription) = subscription {
                        self.subscriptions
                            .entry(subscription)
                            .or_default()
                            .add(row.bytes_up, row.bytes_down);
                    }
                }
                self.put_aside(node, ReportKind::Usage, received_at, report.rejected);
            }
            Payload::OutboundUsage(report) => {
                for row in report.rows {
                    self.outbounds
                        .entry((node, row.tag))
                        .or_default()
                        .add(row.bytes_up, row.bytes_down);
                }
                self.put_aside(node, ReportKind::OutboundUsage, received_at, report.rejected);
            }
            Payload::SessionEvents(report) => {
                self.sessions.extend(report.rows.into_iter().map(|row| (node, row)));
                self.put_aside(node, ReportKind::SessionEvents, received_at, report.rejected);
            }
            Payload::ConfigApplied { revision } => {
                self.sync.insert(node, (received_at, SyncReport::Applied(revision)));
            }
            Payload::NodeError(failure) => {
                self.sync.insert(node, (received_at, SyncReport::Failed));
                self.errors.push((node, received_at, failure));
            }
        }
    }

    fn put_aside(&mut self, node: NodeId, kind: ReportKind, at: Time, rejected: Vec<Rejected>) {
        self.rejected
            .extend(rejected.into_iter().map(|item| (node, kind, at, item)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        entry::{Identity, Report},
        usage::UsageRow,
    };

    fn usage(user: i64, up: i64) -> Entry {
        let row = UsageRow {
            user: UserId(user),
            subscription: Some(SubscriptionId(9)),
            protocol: ProtocolId(3),
            minute: Time::from_millis(60_000),
            bytes_up: up,
            bytes_down: 2 * up,
        };
        let report = Report {
            identity: Identity::of_key("k"),
            rows: vec![row],
            rejected: Vec::new(),
        };
        Entry {
            node: NodeId(1),
            received_at: Time::from_millis(70_000),
            payload: Payload::Usage(report),
        }
    }

    #[test]
    fn equal_keys_come_to_one_row() {
        let mut fold = Fold::default();
        for entry in [usage(1, 10), usage(2, 1), usage(1, 5)] {
            fold.add(entry);
        }
        assert_eq!(fold.usage.len(), 2);
        assert_eq!(fold.usage.values().next(), Some(&Bytes { up: 15, down: 30 }));
        assert_eq!(fold.subscriptions[&SubscriptionId(9)], Bytes { up: 16, down: 32 });
        assert_eq!(fold.protocols[&ProtocolId(3)], Bytes { up: 16, down: 32 });
    }

    #[test]
    fn sums_saturate() {
        let mut bytes = Bytes::default();
        bytes.add(i64::MAX, 1);
        bytes.add(i64::MAX, 1);
        assert_eq!(bytes.saturated(), (i64::MAX, 2));
    }
}
