//! A node as the store and the admin know it.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    CodeId, KeyId, NodeId, ProtocolId, SubscriptionId, Time,
    clients::Clients,
    named,
    node_config::{ConfigHash, NodeConfig},
    secrets::SecretHash,
    suspect::Suspicion,
    usage::UsageRow,
};

named! {
    /// Whether a node is there.
    NodeStatus {
        /// Registered, not yet seen.
        Pending = "pending",
        /// Calls.
        Online = "online",
        /// Has not called for too long.
        Offline = "offline",
        /// Vanished together with most of the fleet: the fault may be ours.
        Unknown = "unknown",
        /// Could not do what its config says.
        Error = "error",
    }
}

named! {
    /// Whether a node runs the config that it should.
    SyncStatus {
        /// Not yet.
        Pending = "pending",
        /// Yes.
        Synced = "synced",
        /// It said that it can't.
        Failed = "failed",
    }
}

/// A row of `nodes`.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRecord {
    /// Identity, never used again.
    pub id: NodeId,
    /// Unique among the nodes.
    pub name: String,
    /// Where the agent is reached.
    pub ip: IpAddr,
    /// The agent's own HTTP port.
    pub port: u16,
    /// Free text.
    pub region: String,
    /// For links that show a name instead of an address.
    pub domain: Option<String>,
    /// A disabled node gets a config without clients.
    pub enabled: bool,
    /// What a byte on this node counts for a quota.
    pub traffic_multiplier: f64,
    /// The revision of the config that it should run.
    pub revision: i64,
    /// The hash of that config's content; none before the first rendering.
    pub config_hash: Option<ConfigHash>,
    /// What was last known of its life.
    pub state: StoredState,
    /// When it registered.
    pub created_at: Time,
    /// Grows with every change an admin makes.
    pub version: i64,
}

/// The part of a node's row that follows the live node, at most 10 s behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredState {
    /// See [`NodeStatus`].
    pub status: NodeStatus,
    /// See [`SyncStatus`].
    pub sync_status: SyncStatus,
    /// The revision that the node last confirmed; 0 = none.
    pub applied_revision: i64,
    /// The last authenticated call.
    pub last_seen_at: Option<Time>,
}

impl StoredState {
    /// A node that has not called yet.
    pub const NEW: Self = Self {
        status: NodeStatus::Pending,
        sync_status: SyncStatus::Pending,
        applied_revision: 0,
        last_seen_at: None,
    };
}

/// All that Core must know of a node to serve it: handed from the catalogue to the node, and kept in the snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Seed {
    /// The node's row. Its revision, hash and state are those of the moment when the seed was made.
    pub record: Arc<NodeRecord>,
    /// What the node may report usage for.
    pub own: Own,
    /// The config that it should run.
    pub config: Arc<NodeConfig>,
}

/// What is or ever was a node's, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Own {
    protocols: Box<[ProtocolId]>,
    outbound_tags: Box<[Box<str>]>,
    /// Whose bytes it may report; `None` = that is not known, and nobody is suspected.
    #[serde(default)]
    pub clients: Option<Arc<Clients>>,
}

impl Own {
    /// Sorts these.
    pub fn new(protocols: impl IntoIterator<Item = ProtocolId>, tags: impl IntoIterator<Item = Box<str>>) -> Self {
        let protocols: BTreeSet<_> = protocols.into_iter().collect();
        let outbound_tags: BTreeSet<_> = tags.into_iter().collect();
        Self {
            protocols: protocols.into_iter().collect(),
            outbound_tags: outbound_tags.into_iter().collect(),
            clients: None,
        }
    }

    /// With these clients.
    #[must_use]
    pub fn with_clients(self, clients: Arc<Clients>) -> Self {
        Self {
            clients: Some(clients),
            ..self
        }
    }

    /// What is wrong with these bytes; `exists` says whether there is a subscription.
    pub fn suspicion(
        &self,
        row: &UsageRow,
        now: Time,
        exists: impl FnOnce(SubscriptionId) -> bool,
    ) -> Option<Suspicion> {
        let (clients, subscription) = (self.clients.as_ref()?, row.subscription?);
        clients.suspicion((subscription, row.user), now, || exists(subscription))
    }

    /// Whether an inbound is or was the node's.
    pub fn has_protocol(&self, protocol: ProtocolId) -> bool {
        self.protocols.binary_search(&protocol).is_ok()
    }

    /// Whether an outbound with this tag is or was the node's.
    pub fn has_outbound(&self, tag: &str) -> bool {
        self.outbound_tags.binary_search_by(|own| (**own).cmp(tag)).is_ok()
    }
}

/// What a node says of itself when it registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: IpAddr,
    /// Its agent's HTTP port.
    pub port: u16,
    /// Its region.
    pub region: String,
    /// Its domain.
    pub domain: Option<String>,
}

/// A registration, ready for the store's one transaction. The key carries the node's id, so it is made inside, by
/// `issue_key`.
pub struct Registration<'a> {
    /// The hash of the code that was shown.
    pub code: SecretHash,
    /// What the node says of itself.
    pub identity: NodeIdentity,
    /// Now.
    pub at: Time,
    /// Makes the key for the node's id and gives its hash; the text stays with the caller.
    pub issue_key: &'a (dyn Fn(NodeId) -> SecretHash + Send + Sync),
}

/// What became of a registration.
#[derive(Debug, Clone, PartialEq)]
pub enum RegisterOutcome {
    /// The node is there, with a new key. `died` are keys that this took the life of.
    Registered {
        /// The node as it now is.
        node: Box<NodeRecord>,
        /// The new key.
        key: NodeKey,
        /// Keys that are dead from now on.
        died: Vec<SecretHash>,
    },
    /// No such code, or used, or expired: never said which.
    BadCode,
    /// Another node has the name; the code stays unused.
    NameTaken,
}

/// A key that a node signs in with: only its hash is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeKey {
    /// Grows with time: an older key has the smaller id.
    pub id: KeyId,
    /// Whose.
    pub node_id: NodeId,
    /// SHA-256 of the whole text.
    pub hash: SecretHash,
    /// When it was made.
    pub created_at: Time,
    /// When it was first shown.
    pub first_used_at: Option<Time>,
    /// When it died.
    pub revoked_at: Option<Time>,
}

/// An admin's change of a node; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePatch {
    /// A new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A new address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// A new agent port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// A new region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A new domain; `Some(None)` clears it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Option<String>>,
    /// On or off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// A new multiplier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_multiplier: Option<f64>,
}

/// An error that a node reported, as the store keeps it (the last 100 a node).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeErrorRow {
    /// Grows with time.
    pub id: i64,
    /// Whose.
    pub node_id: NodeId,
    /// The revision that was desired then.
    pub revision: i64,
    /// What the node said, at most 4 KiB.
    pub message: String,
    /// Its code.
    pub code: Option<String>,
    /// Its details, at most 64 KiB of JSON.
    pub details: Option<serde_json::Value>,
    /// When Core heard of it.
    pub at: Time,
}

/// A registration code, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationCode {
    /// Identity.
    pub id: CodeId,
    /// What the admin calls it.
    pub name: Option<String>,
    /// The node that gets a new key with it; none = it makes a new node.
    pub node_id: Option<NodeId>,
    /// When it was made.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Time,
    /// How often it can still be used.
    pub uses_left: i64,
}

/// A registration code to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCode {
    /// The hash of its secret.
    pub hash: SecretHash,
    /// What the admin calls it.
    pub name: Option<String>,
    /// The node that it is for.
    pub node_id: Option<NodeId>,
    /// Now.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Time,
    /// How often it can be used; at least 1.
    pub uses: i64,
}
