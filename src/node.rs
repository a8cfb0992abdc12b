//! Nodes: one actor each. `state` decides, `actor` serialises, `registry` is the door.

pub mod actor;
pub mod fleet;
pub mod keys;
pub mod liveness;
pub mod registry;
pub mod ring;
pub mod slot;
pub mod state;
pub mod vitals;

use std::{net::IpAddr, sync::Arc};

use crate::{
    clock::Clock,
    events::Events,
    journal::{AppendError, Journal},
    model::{
        NodeId, SubscriptionId,
        entry::{Entry, Identity, KEYLESS_OUTBOUND_WINDOW, REPEAT_WINDOW},
        presence::{OnlineSet, OnlineUser},
        session::SessionItem,
        stats::{StatsSnapshot, SystemStats, XrayStats},
        usage::{OutboundItem, UsageItem},
    },
};

/// "I live, and run this": the most frequent call.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    /// The revision that the node runs; 0 = none.
    pub revision: i64,
    /// Its address, if it says so.
    pub ip: Option<IpAddr>,
}

/// A usage report as it was decoded.
#[derive(Debug, Clone)]
pub struct UsageReport {
    /// How a repeat is known.
    pub identity: Identity,
    /// What it says.
    pub items: Vec<UsageItem>,
}

impl UsageReport {
    /// A report under the sender's own key, or else under what it says.
    pub fn new(key: Option<&str>, items: Vec<UsageItem>) -> Self {
        let of_items = || Identity::of_items(REPEAT_WINDOW, |hash| items.iter().for_each(|item| item.feed(hash)));
        Self {
            identity: key.map_or_else(of_items, Identity::of_key),
            items,
        }
    }
}

/// An outbound-usage report as it was decoded.
#[derive(Debug, Clone)]
pub struct OutboundReport {
    /// How a repeat is known.
    pub identity: Identity,
    /// What it says.
    pub items: Vec<OutboundItem>,
}

impl OutboundReport {
    /// A report under the sender's own key, or else, for a short while, under what it says.
    pub fn new(key: Option<&str>, items: Vec<OutboundItem>) -> Self {
        let of_items = || {
            Identity::of_items(KEYLESS_OUTBOUND_WINDOW, |hash| {
                items.iter().for_each(|item| item.feed(hash));
            })
        };
        Self {
            identity: key.map_or_else(of_items, Identity::of_key),
            items,
        }
    }
}

/// A session-events report as it was decoded.
#[derive(Debug, Clone)]
pub struct SessionReport {
    /// How a repeat is known.
    pub identity: Identity,
    /// What it says.
    pub items: Vec<SessionItem>,
}

impl SessionReport {
    /// A report under the sender's own key, or else under what it says.
    pub fn new(key: Option<&str>, items: Vec<SessionItem>) -> Self {
        let of_items = || Identity::of_items(REPEAT_WINDOW, |hash| items.iter().for_each(|item| item.feed(hash)));
        Self {
            identity: key.map_or_else(of_items, Identity::of_key),
            items,
        }
    }
}

/// "I run this revision now."
#[derive(Debug, Clone, Copy)]
pub struct ConfirmApplied {
    /// The revision.
    pub revision: i64,
}

/// "I could not."
#[derive(Debug, Clone)]
pub struct ReportError {
    /// What went wrong, at most 4 KiB.
    pub message: String,
    /// Its short name.
    pub code: Option<String>,
    /// At most 64 KiB of JSON.
    pub details_json: Option<String>,
}

/// The longest error message and its short name that are kept, in bytes.
const MESSAGE_MAX: usize = 4 << 10;
const CODE_MAX: usize = 256;

/// The longest details that are kept whole, in bytes of JSON.
pub const DETAILS_MAX: usize = 64 << 10;

impl ReportError {
    /// An error whose texts are cut to what is kept. Details that are too long are kept as the beginning of their text.
    pub fn cut(message: String, code: Option<String>, details_json: Option<String>) -> Self {
        let details_json = details_json.map(|json| {
            if json.len() <= DETAILS_MAX {
                json
            } else {
                serde_json::json!({"cut": beginning(json, DETAILS_MAX / 2)}).to_string()
            }
        });
        let code = code.filter(|it| !it.is_empty()).map(|it| beginning(it, CODE_MAX));
        Self {
            message: beginning(message, MESSAGE_MAX),
            code,
            details_json,
        }
    }
}

fn beginning(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}

/// What the machine and the engines look like.
#[derive(Debug, Clone)]
pub struct ReportStats {
    /// The machine.
    pub system: SystemStats,
    /// Xray.
    pub xray: Option<XrayStats>,
    /// telemt.
    pub mtproto: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Everybody who is connected now.
#[derive(Debug, Clone)]
pub struct ReportOnline {
    /// The full set.
    pub users: Vec<OnlineUser>,
}

/// What a report came to: it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Items that were put aside.
    pub rejected: usize,
    /// The reasons against the first [`REASONS_MAX`] of them.
    pub reasons: Vec<String>,
}

/// The most reasons that a receipt spells out.
pub const REASONS_MAX: usize = 10;

/// What a node shows of its live side.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveView {
    /// The last snapshot.
    pub stats: Option<Arc<StatsSnapshot>>,
}

/// Hears of every usage report when it is durable: the ledger of quotas. The composition root gives the one that leads there.
pub trait Meter: Send + Sync + 'static {
    /// This was acknowledged by a node with this traffic multiplier.
    fn acknowledged(&self, entry: &Entry, multiplier: f64);
    /// Whether there is such a subscription.
    fn knows(&self, subscription: SubscriptionId) -> bool;
}

/// Hears what nodes say that is never durable: who is connected, how the machines do. It must not hold the node's actor up.
pub trait Audience: Send + Sync + 'static {
    /// A node's full set of connected users.
    fn online(&self, set: &Arc<OnlineSet>);
    /// A node's machine and engines.
    fn stats(&self, node: NodeId, snapshot: &Arc<StatsSnapshot>);
}

/// What the actors of all nodes work with. Cheap to clone.
#[derive(Clone)]
#[allow(missing_docs, reason = "each is what its type says")]
pub struct Surroundings {
    pub journal: Journal,
    pub meter: Arc<dyn Meter>,
    pub audience: Arc<dyn Audience>,
    pub events: Events,
    pub clock: Clock,
}

/// Why a call to a node was not done.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// There is no such node (any more).
    #[error("no such node")]
    Missing,
    /// It has too much to do, or fell and is being raised: the same call may work in a moment.
    #[error("the node's actor did not answer in time")]
    Busy,
    /// What it said could not be made durable: nothing of it was taken.
    #[error("the report can't be made durable now: {0}")]
    NotDurable(#[from] AppendError),
}
