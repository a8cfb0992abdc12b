//! What Core makes durable before it answers: one entry a request, complete in itself.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    NodeId, SubscriptionId, Time, named,
    session::SessionRow,
    usage::{OutboundRow, UsageRow},
};

/// For how long a usage or session-events request is known again.
pub const REPEAT_WINDOW: Duration = Duration::from_hours(24);

/// For how long an outbound-usage request without a key is known again: it carries no time, so an equal one later is another.
pub const KEYLESS_OUTBOUND_WINDOW: Duration = Duration::from_secs(30);

/// The most items that one request may hold.
pub const MAX_ITEMS: usize = 50_000;

/// One acknowledged request.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Who sent it.
    pub node: NodeId,
    /// When Core took it.
    pub received_at: Time,
    /// What it said.
    pub payload: Payload,
}

/// What a request said.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Bytes per user and minute.
    Usage(Report<UsageRow>),
    /// Bytes per outbound.
    OutboundUsage(Report<OutboundRow>),
    /// Users who came and went.
    SessionEvents(Report<SessionRow>),
    /// The node runs this revision.
    ConfigApplied {
        /// The revision.
        revision: i64,
    },
    /// The node could not do something.
    NodeError(NodeFailure),
}

/// A report after the check: what counts, and what was put aside.
#[derive(Debug, Clone, PartialEq)]
pub struct Report<Row> {
    /// Who sent what, so that a repeat is known.
    pub identity: Identity,
    /// What counts, in the order sent.
    pub rows: Vec<Row>,
    /// What was put aside.
    pub rejected: Vec<Rejected>,
}

impl Report<UsageRow> {
    /// What counts at once.
    pub fn counted(&self) -> impl Iterator<Item = &UsageRow> {
        self.rows.iter().filter(|row| row.suspect.is_none())
    }

    /// The suspect rows: how many there are, and the bytes of each subscription.
    pub fn suspects(&self) -> (u64, BTreeMap<Option<SubscriptionId>, i64>) {
        let (mut rows, mut sums) = (0, BTreeMap::new());
        for row in self.rows.iter().filter(|row| row.suspect.is_some()) {
            rows += 1;
            let sum: &mut i64 = sums.entry(row.subscription).or_default();
            *sum = sum.saturating_add(row.bytes());
        }
        (rows, sums)
    }
}

/// How a repeat of a request is known. Together with the node and the kind of call it is unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// SHA-256 of the sender's own key, or of the decoded items in order.
    pub hash: [u8; 32],
    /// For how long.
    pub window: Duration,
}

impl Identity {
    /// The identity that the sender gave the request itself (`x-idempotency-key`).
    pub fn of_key(key: &str) -> Self {
        Self {
            hash: Sha256::new().chain_update(b"key:").chain_update(key).finalize().into(),
            window: REPEAT_WINDOW,
        }
    }

    /// The identity of a request by what it says; `feed` gives the decoded items in order.
    pub fn of_items(window: Duration, feed: impl FnOnce(&mut ItemHash)) -> Self {
        let mut fed = ItemHash::default();
        feed(&mut fed);
        Self {
            hash: Sha256::new_with_prefix(b"items:")
                .chain_update(fed.bytes)
                .finalize()
                .into(),
            window,
        }
    }
}

/// Takes the fields of decoded items, so that the same items give the same hash whatever wire they came over. What is hashed is as short as it can
/// be while no two lists of items come to the same: hashing was a tenth of what a report costs.
#[derive(Default)]
pub struct ItemHash {
    bytes: Vec<u8>,
    /// Where the last text stands.
    last: Range<usize>,
}

impl ItemHash {
    /// A number: seven bits a byte, the lowest first.
    pub fn int(&mut self, value: i64) {
        let mut left = value.cast_unsigned();
        while left >= 0x80 {
            self.bytes.push(left.to_le_bytes()[0] | 0x80);
            left >>= 7;
        }
        self.bytes.push(left.to_le_bytes()[0]);
    }

    /// A text behind its length and one, so that neighbours can't run together; 0 is the text before once more.
    pub fn text(&mut self, value: &str) {
        if !value.is_empty() && self.bytes.get(self.last.clone()) == Some(value.as_bytes()) {
            return self.int(0);
        }
        self.int(i64::try_from(value.len()).unwrap_or(i64::MAX).saturating_add(1));
        self.last = self.bytes.len()..self.bytes.len() + value.len();
        self.bytes.extend_from_slice(value.as_bytes());
    }
}

/// An item that was decoded but can't be counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// Why, beginning with the item's path: `entries[3]: bytesUp is negative`.
    pub reason: String,
    /// The item as it was sent, as JSON.
    pub item_json: String,
}

/// What a node says went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFailure {
    /// The revision that was desired when it came.
    pub revision: i64,
    /// At most 4 KiB.
    pub message: String,
    /// Its short name.
    pub code: Option<String>,
    /// At most 64 KiB of JSON.
    pub details_json: Option<String>,
}

named! {
    /// The kinds of request that are made durable. A repeat matters with the first three only.
    ReportKind {
        /// Usage.
        Usage = "usage",
        /// Outbound usage.
        OutboundUsage = "outbound-usage",
        /// Session events.
        SessionEvents = "session-events",
        /// A confirmation of a config.
        ConfigApplied = "config-applied",
        /// An error of a node.
        NodeError = "error",
    }
}

impl Payload {
    /// What makes a repeat of this request known; none where a repeat does no harm.
    pub fn identity(&self) -> Option<(ReportKind, Identity)> {
        match self {
            Self::Usage(report) => Some((ReportKind::Usage, report.identity)),
            Self::OutboundUsage(report) => Some((ReportKind::OutboundUsage, report.identity)),
            Self::SessionEvents(report) => Some((ReportKind::SessionEvents, report.identity)),
            Self::ConfigApplied { .. } | Self::NodeError(_) => None,
        }
    }
}
