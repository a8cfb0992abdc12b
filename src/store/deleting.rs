//! What goes with a row of the catalogue that is deleted, in the order in which nothing refers to what is gone. What was counted stays.
//!
//! The statements are SQL that every store reads: `$1` is the id, and `[` and `]` stand around the ids that a query gives. Each store says in its
//! own words that a value is one of them.

use crate::model::catalog_change::RowRef;

/// What goes with a row: how the audit log calls it, and the statement.
pub(super) type With = (&'static str, &'static str);

/// How a row is deleted.
pub(super) struct Deletion {
    /// What goes before it.
    pub(super) with: &'static [With],
    /// The row itself.
    pub(super) last: Last,
}

/// What becomes of a row that is deleted.
#[derive(Clone, Copy)]
pub(super) enum Last {
    /// It goes.
    Gone(&'static str),
    /// It stays, deleted at `$1`; here `$2` is the id.
    Marked(&'static str),
}

const WITH_USER: [With; 4] = [
    (
        "memberships",
        "DELETE FROM node_protocol_links WHERE ls_id [\
         SELECT id FROM subscription_links WHERE link_id [SELECT id FROM links WHERE user_id = $1] \
         UNION SELECT id FROM subscription_links WHERE subscription_id [SELECT id FROM subscriptions WHERE user_id = $1]]",
    ),
    (
        "subscriptionLinks",
        "DELETE FROM subscription_links WHERE id [\
         SELECT id FROM subscription_links WHERE link_id [SELECT id FROM links WHERE user_id = $1] \
         UNION SELECT id FROM subscription_links WHERE subscription_id [SELECT id FROM subscriptions WHERE user_id = $1]]",
    ),
    ("links", "DELETE FROM links WHERE user_id = $1"),
    ("subscriptions", "DELETE FROM subscriptions WHERE user_id = $1"),
];

const WITH_SUBSCRIPTION: [With; 2] = [
    (
        "memberships",
        "DELETE FROM node_protocol_links \
         WHERE ls_id [SELECT id FROM subscription_links WHERE subscription_id = $1]",
    ),
    (
        "subscriptionLinks",
        "DELETE FROM subscription_links WHERE subscription_id = $1",
    ),
];

const WITH_LINK: [With; 2] = [
    (
        "memberships",
        "DELETE FROM node_protocol_links WHERE ls_id [SELECT id FROM subscription_links WHERE link_id = $1]",
    ),
    ("subscriptionLinks", "DELETE FROM subscription_links WHERE link_id = $1"),
];

const WITH_SUBSCRIPTION_LINK: [With; 1] = [("memberships", "DELETE FROM node_protocol_links WHERE ls_id = $1")];

const WITH_PROTOCOL: [With; 1] = [("memberships", "DELETE FROM node_protocol_links WHERE proto_id = $1")];

impl Deletion {
    /// How this row is deleted.
    pub(super) const fn of(row: RowRef) -> Self {
        let (with, last): (&[With], _) = match row {
            RowRef::User(_) => (&WITH_USER, Last::Gone("DELETE FROM users WHERE id = $1")),
            RowRef::Subscription(_) => (
                &WITH_SUBSCRIPTION,
                Last::Gone("DELETE FROM subscriptions WHERE id = $1"),
            ),
            RowRef::Link(_) => (&WITH_LINK, Last::Gone("DELETE FROM links WHERE id = $1")),
            RowRef::SubscriptionLink(_) => (
                &WITH_SUBSCRIPTION_LINK,
                Last::Gone("DELETE FROM subscription_links WHERE id = $1"),
            ),
            RowRef::Protocol(_) => (
                &WITH_PROTOCOL,
                Last::Marked("UPDATE node_protocols SET deleted_at = $1 WHERE id = $2"),
            ),
            RowRef::Outbound(_) => (
                &[],
                Last::Marked("UPDATE node_outbounds SET deleted_at = $1 WHERE id = $2"),
            ),
            RowRef::Rule(_) => (&[], Last::Gone("DELETE FROM node_routing_rules WHERE id = $1")),
            RowRef::Balancer(_) => (&[], Last::Gone("DELETE FROM node_balancers WHERE id = $1")),
        };
        Self { with, last }
    }
}
