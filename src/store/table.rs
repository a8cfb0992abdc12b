//! The tables of the catalogue that admins change: how each is called, and what of it is shown.

use crate::model::{
    LinkId, LsId, OutboundId, ProtocolId, SubscriptionId, UserId,
    catalog_change::{RowRef, RowsOf},
};

/// A table of the catalogue.
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    /// What an audit row calls a row of it.
    pub(super) subject: &'static str,
    /// The reference to the row with this id.
    pub(super) reference: fn(i64) -> RowRef,
    /// Columns that are no part of the row, but shown.
    pub(super) besides: &'static [&'static str],
    /// Which rows are not deleted, in SQL.
    pub(super) alive: &'static str,
}

const COUNTERS: &[&str] = &["traffic_bytes_up", "traffic_bytes_down"];

/// Rows of inbounds and outbounds stay when they are deleted: they count for ever.
const NOT_DELETED: &str = "deleted_at IS NULL";

const ALWAYS: &str = "TRUE";

static USERS: Table = Table {
    name: "users",
    subject: "user",
    reference: |id| RowRef::User(UserId(id)),
    besides: &["created_at", "updated_at"],
    alive: ALWAYS,
};

static SUBSCRIPTIONS: Table = Table {
    name: "subscriptions",
    subject: "subscription",
    reference: |id| RowRef::Subscription(SubscriptionId(id)),
    besides: &[
        "created_at",
        "traffic_bytes_up",
        "traffic_bytes_down",
        "period_bytes",
        "period_started_at",
        "last_reset_at",
    ],
    alive: ALWAYS,
};

static LINKS: Table = Table {
    name: "links",
    subject: "link",
    reference: |id| RowRef::Link(LinkId(id)),
    besides: &["created_at", "token"],
    alive: ALWAYS,
};

static SUBSCRIPTION_LINKS: Table = Table {
    name: "subscription_links",
    subject: "subscription-link",
    reference: |id| RowRef::SubscriptionLink(LsId(id)),
    besides: &["created_at"],
    alive: ALWAYS,
};

static NODE_PROTOCOLS: Table = Table {
    name: "node_protocols",
    subject: "protocol",
    reference: |id| RowRef::Protocol(ProtocolId(id)),
    besides: COUNTERS,
    alive: NOT_DELETED,
};

static NODE_OUTBOUNDS: Table = Table {
    name: "node_outbounds",
    subject: "outbound",
    reference: |id| RowRef::Outbound(OutboundId(id)),
    besides: COUNTERS,
    alive: NOT_DELETED,
};

static NODE_ROUTING_RULES: Table = Table {
    name: "node_routing_rules",
    subject: "rule",
    reference: RowRef::Rule,
    besides: &[],
    alive: ALWAYS,
};

static NODE_BALANCERS: Table = Table {
    name: "node_balancers",
    subject: "balancer",
    reference: RowRef::Balancer,
    besides: &[],
    alive: ALWAYS,
};

impl Table {
    /// The table of a row.
    pub(super) fn of(row: RowRef) -> &'static Self {
        match row {
            RowRef::User(_) => &USERS,
            RowRef::Subscription(_) => &SUBSCRIPTIONS,
            RowRef::Link(_) => &LINKS,
            RowRef::SubscriptionLink(_) => &SUBSCRIPTION_LINKS,
            RowRef::Protocol(_) => &NODE_PROTOCOLS,
            RowRef::Outbound(_) => &NODE_OUTBOUNDS,
            RowRef::Rule(_) => &NODE_ROUTING_RULES,
            RowRef::Balancer(_) => &NODE_BALANCERS,
        }
    }

    /// The table with this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        [
            &USERS,
            &SUBSCRIPTIONS,
            &LINKS,
            &SUBSCRIPTION_LINKS,
            &NODE_PROTOCOLS,
            &NODE_OUTBOUNDS,
            &NODE_ROUTING_RULES,
            &NODE_BALANCERS,
        ]
        .into_iter()
        .find(|table| table.name == name)
    }

    /// The table of some rows, and the column and the id of their owner.
    pub(super) fn with(of: RowsOf) -> (&'static Self, Option<(&'static str, i64)>) {
        match of {
            RowsOf::Users => (&USERS, None),
            RowsOf::SubscriptionsOfUser(user) => (&SUBSCRIPTIONS, Some(("user_id", user.0))),
            RowsOf::LinksOfUser(user) => (&LINKS, Some(("user_id", user.0))),
            RowsOf::SubscriptionLinksOfLink(link) => (&SUBSCRIPTION_LINKS, Some(("link_id", link.0))),
            RowsOf::ProtocolsOfNode(node) => (&NODE_PROTOCOLS, Some(("node_id", node.0))),
            RowsOf::OutboundsOfNode(node) => (&NODE_OUTBOUNDS, Some(("node_id", node.0))),
            RowsOf::RulesOfNode(node) => (&NODE_ROUTING_RULES, Some(("node_id", node.0))),
            RowsOf::BalancersOfNode(node) => (&NODE_BALANCERS, Some(("node_id", node.0))),
        }
    }
}
