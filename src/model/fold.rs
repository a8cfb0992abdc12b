//! What a batch of entries comes to: one row a key, one sum a counter. Pure, so that the same entries always come to the same.

use std::collections::BTreeMap;

use super::{
    NodeId, ProtocolId, SubscriptionId, Time, UserId,
    entry::{Entry, NodeFailure, Rejected, ReportKind},
    piece::Piece,
    session::SessionRow,
    suspect::SuspectRow,
    usage::UsageRow,
};

/// What a row of `usage_minutes` is about. In this order rows go to the store: a user's side by side, as its indexes have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the columns of its name")]
pub struct UsageKey {
    pub user: UserId,
    pub node: NodeId,
    pub protocol: ProtocolId,
    pub subscription: Option<SubscriptionId>,
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

/// An item that was put aside: who sent it, in which call, when Core took it, and why it does not count.
pub type Aside = (NodeId, ReportKind, Time, Rejected);

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
    /// Rows for `usage_suspect`, with when Core took them; nothing else knows of them.
    pub suspect: Vec<(NodeId, Time, UsageRow)>,
    /// Rows for `usage_rejected` and `events_rejected`.
    pub rejected: Vec<Aside>,
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
        entry.take_apart(|piece| self.add_piece(piece));
    }

    /// What these pieces come to.
    pub fn of(pieces: &[Piece]) -> Self {
        let mut fold = Self::default();
        pieces.iter().for_each(|piece| fold.add_piece(piece.clone()));
        fold
    }

    /// Adds a piece of an entry. Pieces come in the order of the journal.
    pub fn add_piece(&mut self, piece: Piece) {
        match piece {
            Piece::Usage { node, received_at, row } if row.suspect.is_some() => {
                self.suspect.push((node, received_at, row));
            }
            Piece::Usage { node, row, .. } => self.add_usage(node, &row),
            Piece::Outbound { node, row, .. } => {
                let sum = self.outbounds.entry((node, row.tag)).or_default();
                sum.add(row.bytes_up, row.bytes_down);
            }
            Piece::Session { node, row, .. } => self.sessions.push((node, row)),
            Piece::Rejected {
                node,
                received_at,
                kind,
                item,
            } => self.rejected.push((node, kind, received_at, item)),
            Piece::Failure {
                node,
                received_at,
                failure,
            } => self.errors.push((node, received_at, failure)),
            Piece::Sync {
                node,
                received_at,
                report,
            } => {
                self.sync.insert(node, (received_at, report));
            }
        }
    }

    /// What suspect bytes come to when an admin accepts them: the same as if they had never been suspect.
    pub fn of_accepted(row: &SuspectRow) -> Self {
        let mut fold = Self::default();
        let usage = UsageRow {
            user: row.user_id,
            subscription: row.subscription_id,
            protocol: row.node_protocol_id,
            minute: row.minute,
            bytes_up: row.bytes_up,
            bytes_down: row.bytes_down,
            suspect: None,
        };
        fold.add_usage(row.node_id, &usage);
        fold
    }

    fn add_usage(&mut self, node: NodeId, row: &UsageRow) {
        let (up, down) = (row.bytes_up, row.bytes_down);
        let key = UsageKey {
            user: row.user,
            node,
            protocol: row.protocol,
            subscription: row.subscription,
            minute: row.minute,
        };
        self.usage.entry(key).or_default().add(up, down);
        self.protocols.entry(row.protocol).or_default().add(up, down);
        if let Some(subscription) = row.subscription {
            self.subscriptions.entry(subscription).or_default().add(up, down);
        }
    }

    /// The usage summed by hour, UTC, in order; `minute` of a key is the first of its hour.
    pub fn per_hour(&self) -> Vec<(UsageKey, Bytes)> {
        self.per(Time::hour)
    }

    /// The usage summed by day, UTC, in order; `minute` of a key is the first of its day.
    pub fn per_day(&self) -> Vec<(UsageKey, Bytes)> {
        self.per(Time::day)
    }

    /// The minutes of a key stand side by side, so that equal steps do, too.
    fn per(&self, step: impl Fn(Time) -> Time) -> Vec<(UsageKey, Bytes)> {
        let mut sums: Vec<(UsageKey, Bytes)> = Vec::new();
        for (key, bytes) in &self.usage {
            let key = UsageKey {
                minute: step(key.minute),
                ..*key
            };
            match sums.last_mut() {
                Some((last, sum)) if *last == key => {
                    sum.up += bytes.up;
                    sum.down += bytes.down;
                }
                _ => sums.push((key, *bytes)),
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        entry::{Identity, Payload, Report},
        usage::UsageRow,
    };

    fn usage(user: i64, up: i64) -> Entry {
        usage_at(60_000, user, up)
    }

    fn usage_at(minute: i64, user: i64, up: i64) -> Entry {
        let row = UsageRow {
            user: UserId(user),
            subscription: Some(SubscriptionId(9)),
            protocol: ProtocolId(3),
            minute: Time::from_millis(minute),
            bytes_up: up,
            bytes_down: 2 * up,
            suspect: None,
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
    fn hours_and_days_are_sums_of_minutes() {
        const HOUR: i64 = 3_600_000;
        let mut fold = Fold::default();
        for (minute, user, up) in [
            (0, 1, 1),
            (HOUR - 60_000, 1, 2),
            (HOUR, 1, 4),
            (24 * HOUR - 60_000, 1, 8),
            (24 * HOUR, 1, 16),
            (0, 2, i64::MAX / 2),
            (60_000, 2, i64::MAX / 2),
        ] {
            fold.add(usage_at(minute, user, up));
        }
        let said = |sums: Vec<(UsageKey, Bytes)>| -> Vec<_> {
            let row = |(key, bytes): &(UsageKey, Bytes)| (key.user.0, key.minute.millis() / HOUR, bytes.saturated());
            sums.iter().map(row).collect()
        };
        let held = (i64::MAX - 1, i64::MAX);
        assert_eq!(
            said(fold.per_hour()),
            [
                (1, 0, (3, 6)),
                (1, 1, (4, 8)),
                (1, 23, (8, 16)),
                (1, 24, (16, 32)),
                (2, 0, held)
            ]
        );
        assert_eq!(
            said(fold.per_day()),
            [(1, 0, (15, 30)), (1, 24, (16, 32)), (2, 0, held)]
        );
    }

    #[test]
    fn sums_saturate() {
        let mut bytes = Bytes::default();
        bytes.add(i64::MAX, 1);
        bytes.add(i64::MAX, 1);
        assert_eq!(bytes.saturated(), (i64::MAX, 2));
    }
}
