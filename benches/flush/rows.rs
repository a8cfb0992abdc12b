//! The rows that everybody writes: the same for all, none of whose keys comes twice.

use std::time::Duration;

use vpn_core::{
    clock::Clock,
    model::{
        NodeId, ProtocolId, SubscriptionId, Time, UserId,
        entry::{Entry, Identity, Payload, Report},
        usage::UsageRow,
    },
};

pub const NODES: i64 = 50;
pub const PEOPLE: i64 = 10_000;

/// Rows of a batch, and of a report.
pub const BATCH: i64 = 50_000;
pub const REPORT: i64 = 100;

/// The first minute; a batch has one minute to itself, and all are of one day.
pub fn start() -> Time {
    Clock::system().now().day()
}

/// The reports of a batch: the nodes take turns, and each has the users of its part in no order.
pub fn batch(number: i64) -> Vec<Entry> {
    let minute = start().plus(Duration::from_mins(number.unsigned_abs()));
    (0..BATCH / REPORT).map(|place| report(number, place, minute)).collect()
}

fn report(batch: i64, place: i64, minute: Time) -> Entry {
    let (node, turn) = (place % NODES + 1, place / NODES);
    let rows = (0..REPORT).map(|row| {
        // 7,919 is prime to the number of users: neighbours in a report lie far apart.
        let id = (node * 1_009 + (turn * REPORT + row + batch) * 7_919) % PEOPLE + 1;
        UsageRow {
            user: UserId(id),
            subscription: Some(SubscriptionId(id)),
            protocol: ProtocolId(node),
            minute,
            bytes_up: 1_000 + row,
            bytes_down: 50_000 + batch,
            suspect: None,
        }
    });
    let report = Report {
        identity: Identity::of_key(&format!("{batch}/{place}")),
        rows: rows.collect(),
        rejected: Vec::new(),
    };
    Entry {
        node: NodeId(node),
        received_at: minute.plus(Duration::from_secs(30)),
        payload: Payload::Usage(report),
    }
}

/// The rows of a batch, in order, each with its node.
pub fn of(entries: &[Entry]) -> impl Iterator<Item = (NodeId, &UsageRow)> {
    entries.iter().flat_map(|entry| {
        let rows = match &entry.payload {
            Payload::Usage(report) => report.rows.as_slice(),
            _ => &[],
        };
        rows.iter().map(|row| (entry.node, row))
    })
}
