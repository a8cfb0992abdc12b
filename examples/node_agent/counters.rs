//! From an engine's counters to what is reported: differences, never totals, and never by resetting the counter. A reset whose answer
//! is lost loses bytes; a difference does not.

use std::collections::{BTreeMap, HashMap};

use vpn_core::{
    clock::Clock,
    proto::nodeservice::{OutboundUsageItem, UsageEntry},
};

use super::payers::Payer;

/// What one engine process has counted so far.
#[derive(Debug, Default)]
pub struct Counters {
    last: HashMap<String, i64>,
}

impl Counters {
    /// What was added since the last time. A counter that went back began anew, so that all of it is new.
    pub fn difference(&mut self, name: &str, value: i64) -> i64 {
        let last = match self.last.get_mut(name) {
            Some(last) => std::mem::replace(last, value),
            None => self.last.insert(name.to_owned(), value).unwrap_or_default(),
        };
        if value < last { value } else { value - last }
    }
}

/// Bytes that were read from an engine and are in no report yet.
#[derive(Debug, Default)]
pub struct Tally {
    clients: BTreeMap<Payer, Bytes>,
    outbounds: BTreeMap<String, Bytes>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Bytes {
    up: i64,
    down: i64,
}

impl Bytes {
    fn add(&mut self, up: i64, down: i64) {
        self.up = self.up.saturating_add(up);
        self.down = self.down.saturating_add(down);
    }
}

/// What is reported.
#[derive(Debug, Default)]
pub struct Usage {
    /// Per user, subscription and inbound.
    pub entries: Vec<UsageEntry>,
    /// Per outbound.
    pub outbounds: Vec<OutboundUsageItem>,
}

impl Usage {
    /// Both.
    pub fn join(mut self, other: Self) -> Self {
        self.entries.extend(other.entries);
        self.outbounds.extend(other.outbounds);
        self
    }
}

impl Tally {
    /// Counts bytes of a client.
    pub fn client(&mut self, payer: Payer, up: i64, down: i64) {
        self.clients.entry(payer).or_default().add(up, down);
    }

    /// Counts bytes of an outbound.
    pub fn outbound(&mut self, tag: &str, up: i64, down: i64) {
        self.outbounds.entry(tag.to_owned()).or_default().add(up, down);
    }

    /// Everything so far, without those who moved nothing.
    pub fn take(&mut self) -> Usage {
        let now = Clock::system().now().to_string();
        let moved = |bytes: &Bytes| bytes.up > 0 || bytes.down > 0;
        let clients = std::mem::take(&mut self.clients).into_iter();
        let outbounds = std::mem::take(&mut self.outbounds).into_iter();
        Usage {
            entries: clients
                .filter(|(_, bytes)| moved(bytes))
                .map(|(payer, bytes)| UsageEntry {
                    user_id: payer.user,
                    subscription_id: payer.subscription,
                    node_protocol_id: payer.protocol,
                    bytes_up: bytes.up,
                    bytes_down: bytes.down,
                    recorded_at: now.as_str().into(),
                })
                .collect(),
            outbounds: outbounds
                .filter(|(_, bytes)| moved(bytes))
                .map(|(tag, bytes)| OutboundUsageItem {
                    tag,
                    bytes_up: bytes.up,
                    bytes_down: bytes.down,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_what_came_since() {
        let mut counters = Counters::default();
        let read: Vec<i64> = [100, 100, 250, 30, 40]
            .map(|value| counters.difference("a", value))
            .to_vec();
        assert_eq!(read, [100, 0, 150, 30, 10]);
        assert_eq!(counters.difference("b", 7), 7);
    }

    #[test]
    fn a_tally_adds_up_and_leaves_out_the_silent() {
        let mut tally = Tally::default();
        let payer = |user| Payer {
            user,
            subscription: None,
            protocol: 11,
        };
        tally.client(payer(1), 5, 0);
        tally.client(payer(1), 5, 7);
        tally.client(payer(2), 0, 0);
        tally.outbound("direct", 0, 0);
        let usage = tally.take();
        assert_eq!(usage.entries.len(), 1);
        assert_eq!((usage.entries[0].bytes_up, usage.entries[0].bytes_down), (10, 7));
        assert!(usage.outbounds.is_empty() && tally.take().entries.is_empty());
    }
}
