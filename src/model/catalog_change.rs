//! Changes of the catalogue, as admins make them: rows put, deleted, joined.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    LinkId, LsId, NodeId, OutboundId, ProtocolId, SubscriptionId, UserId,
    catalog::{
        Catalog, Link, NodeBalancer, NodeOutbound, NodeProtocol, NodeRoutingRule, Subscription, SubscriptionLink, User,
    },
};

/// A row of any table that admins change.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each is a row of the table of its name")]
pub enum CatalogRow {
    User(User),
    Subscription(Subscription),
    Link(Link),
    SubscriptionLink(SubscriptionLink),
    Protocol(NodeProtocol),
    Outbound(NodeOutbound),
    Rule(NodeRoutingRule),
    Balancer(NodeBalancer),
}

/// Which row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is a row of the table of its name")]
pub enum RowRef {
    User(UserId),
    Subscription(SubscriptionId),
    Link(LinkId),
    SubscriptionLink(LsId),
    Protocol(ProtocolId),
    Outbound(OutboundId),
    Rule(i64),
    Balancer(i64),
}

/// Which rows: those of one owner, or all of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says whose rows of which table")]
pub enum RowsOf {
    Users,
    SubscriptionsOfUser(UserId),
    LinksOfUser(UserId),
    SubscriptionLinksOfLink(LinkId),
    ProtocolsOfNode(NodeId),
    OutboundsOfNode(NodeId),
    RulesOfNode(NodeId),
    BalancersOfNode(NodeId),
}

/// What a row says, in one hash: two rows with the same tag say the same. Counters are not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowTag(pub [u8; 32]);

/// One change. A list of them is made in order, all or none.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all changes of a long list are rows")]
pub enum CatalogChange {
    /// Puts a row in place. An id above 0 is a row that is there; an id below 0 is a new row, which later changes of the same list may refer to by
    /// that id (`userId: -1`); 0 is a new row that none refers to.
    Put {
        /// The row as it shall be.
        row: CatalogRow,
        /// Only if the row that is there says this.
        if_match: Option<RowTag>,
    },
    /// Deletes a row, and what can't be without it. Inbounds and outbounds stay as deleted rows: they count for ever.
    Delete {
        /// Which.
        row: RowRef,
        /// Only if the row that is there says this.
        if_match: Option<RowTag>,
    },
    /// Lets these credentials use an inbound.
    Join {
        /// The inbound.
        protocol: ProtocolId,
        /// The credentials; ids below 0 as in `Put`.
        links: Vec<LsId>,
    },
    /// Takes these credentials off an inbound.
    Leave {
        /// The inbound.
        protocol: ProtocolId,
        /// The credentials.
        links: Vec<LsId>,
    },
}

/// A row as the store has it: what Core holds of it, and what only lists show (counters, `createdAt`), in camelCase.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRow {
    /// The row.
    pub row: CatalogRow,
    /// What else the table has.
    pub besides: serde_json::Map<String, Value>,
}

impl CatalogRow {
    /// Which row it is.
    pub const fn reference(&self) -> RowRef {
        match self {
            Self::User(row) => RowRef::User(row.id),
            Self::Subscription(row) => RowRef::Subscription(row.id),
            Self::Link(row) => RowRef::Link(row.id),
            Self::SubscriptionLink(row) => RowRef::SubscriptionLink(row.id),
            Self::Protocol(row) => RowRef::Protocol(row.id),
            Self::Outbound(row) => RowRef::Outbound(row.id),
            Self::Rule(row) => RowRef::Rule(row.id),
            Self::Balancer(row) => RowRef::Balancer(row.id),
        }
    }

    /// Gives it another id.
    pub fn set_id(&mut self, id: i64) {
        match self {
            Self::User(row) => row.id = UserId(id),
            Self::Subscription(row) => row.id = SubscriptionId(id),
            Self::Link(row) => row.id = LinkId(id),
            Self::SubscriptionLink(row) => row.id = LsId(id),
            Self::Protocol(row) => row.id = ProtocolId(id),
            Self::Outbound(row) => row.id = OutboundId(id),
            Self::Rule(row) => row.id = id,
            Self::Balancer(row) => row.id = id,
        }
    }

    /// The node that it belongs to.
    pub const fn node_id(&self) -> Option<NodeId> {
        match self {
            Self::Protocol(row) => Some(row.node_id),
            Self::Outbound(row) => Some(row.node_id),
            Self::Rule(row) => Some(row.node_id),
            Self::Balancer(row) => Some(row.node_id),
            Self::User(_) | Self::Subscription(_) | Self::Link(_) | Self::SubscriptionLink(_) => None,
        }
    }

    /// Whether it was deleted, and only counts.
    pub const fn is_deleted(&self) -> bool {
        match self {
            Self::Protocol(row) => row.deleted_at.is_some(),
            Self::Outbound(row) => row.deleted_at.is_some(),
            _ => false,
        }
    }

    /// The row as JSON: the columns in camelCase.
    pub fn to_json(&self) -> Value {
        let json = match self {
            Self::User(row) => serde_json::to_value(row),
            Self::Subscription(row) => serde_json::to_value(row),
            Self::Link(row) => serde_json::to_value(row),
            Self::SubscriptionLink(row) => serde_json::to_value(row),
            Self::Protocol(row) => serde_json::to_value(row),
            Self::Outbound(row) => serde_json::to_value(row),
            Self::Rule(row) => serde_json::to_value(row),
            Self::Balancer(row) => serde_json::to_value(row),
        };
        json.unwrap_or_default()
    }

    /// What the row says, in one hash.
    pub fn tag(&self) -> RowTag {
        RowTag(Sha256::digest(self.to_json().to_string()).into())
    }
}

impl Catalog {
    /// Adds a row to its table.
    pub fn push(&mut self, row: CatalogRow) {
        match row {
            CatalogRow::User(row) => self.users.push(row),
            CatalogRow::Subscription(row) => self.subscriptions.push(row),
            CatalogRow::Link(row) => self.links.push(row),
            CatalogRow::SubscriptionLink(row) => self.subscription_links.push(row),
            CatalogRow::Protocol(row) => self.node_protocols.push(row),
            CatalogRow::Outbound(row) => self.node_outbounds.push(row),
            CatalogRow::Rule(row) => self.node_routing_rules.push(row),
            CatalogRow::Balancer(row) => self.node_balancers.push(row),
        }
    }
}

impl RowRef {
    /// The id in its table.
    pub const fn id(self) -> i64 {
        match self {
            Self::User(id) => id.0,
            Self::Subscription(id) => id.0,
            Self::Link(id) => id.0,
            Self::SubscriptionLink(id) => id.0,
            Self::Protocol(id) => id.0,
            Self::Outbound(id) => id.0,
            Self::Rule(id) | Self::Balancer(id) => id,
        }
    }

    /// The table, as paths and messages name it.
    pub const fn what(self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Subscription(_) => "subscription",
            Self::Link(_) => "link",
            Self::SubscriptionLink(_) => "subscription link",
            Self::Protocol(_) => "protocol",
            Self::Outbound(_) => "outbound",
            Self::Rule(_) => "routing rule",
            Self::Balancer(_) => "balancer",
        }
    }
}
