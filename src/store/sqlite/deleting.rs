//! Deletes a row of the catalogue, and what can't be without it. What was counted stays.

use rusqlite::{Connection, params};
use serde_json::{Map, Value};

use super::fault::Fault;
use crate::model::{Time, catalog_change::RowRef};

/// What goes with a row: how the audit log calls it, and the statement. In the order in which nothing refers to what is gone.
type With = (&'static str, &'static str);

const WITH_USER: [With; 4] = [
    (
        "memberships",
        "DELETE FROM node_protocol_links WHERE ls_id IN (\
         SELECT id FROM subscription_links WHERE link_id IN (SELECT id FROM links WHERE user_id = ?1) \
         UNION SELECT id FROM subscription_links WHERE subscription_id IN (SELECT id FROM subscriptions WHERE user_id = ?1))",
    ),
    (
        "subscriptionLinks",
        "DELETE FROM subscription_links WHERE id IN (\
         SELECT id FROM subscription_links WHERE link_id IN (SELECT id FROM links WHERE user_id = ?1) \
         UNION SELECT id FROM subscription_links WHERE subscription_id IN (SELECT id FROM subscriptions WHERE user_id = ?1))",
    ),
    ("links", "DELETE FROM links WHERE user_id = ?1"),
    ("subscriptions", "DELETE FROM subscriptions WHERE user_id = ?1"),
];

const WITH_SUBSCRIPTION: [With; 2] = [
    (
        "memberships",
        "DELETE FROM node_protocol_links \
         WHERE ls_id IN (SELECT id FROM subscription_links WHERE subscription_id = ?1)",
    ),
    (
        "subscriptionLinks",
        "DELETE FROM subscription_links WHERE subscription_id = ?1",
    ),
];

const WITH_LINK: [With; 2] = [
    (
        "memberships",
        "DELETE FROM node_protocol_links WHERE ls_id IN (SELECT id FROM subscription_links WHERE link_id = ?1)",
    ),
    ("subscriptionLinks", "DELETE FROM subscription_links WHERE link_id = ?1"),
];

const WITH_SUBSCRIPTION_LINK: [With; 1] = [("memberships", "DELETE FROM node_protocol_links WHERE ls_id = ?1")];

const WITH_PROTOCOL: [With; 1] = [("memberships", "DELETE FROM node_protocol_links WHERE proto_id = ?1")];

/// Deletes the row; gives how many rows of which kind went with it.
pub(super) fn delete(transaction: &Connection, row: RowRef, at: Time) -> Result<Map<String, Value>, Fault> {
    let (with, sql): (&[With], &str) = match row {
        RowRef::User(_) => (&WITH_USER, "DELETE FROM users WHERE id = ?1"),
        RowRef::Subscription(_) => (&WITH_SUBSCRIPTION, "DELETE FROM subscriptions WHERE id = ?1"),
        RowRef::Link(_) => (&WITH_LINK, "DELETE FROM links WHERE id = ?1"),
        RowRef::SubscriptionLink(_) => (&WITH_SUBSCRIPTION_LINK, "DELETE FROM subscription_links WHERE id = ?1"),
        RowRef::Protocol(_) => (
            &WITH_PROTOCOL,
            "UPDATE node_protocols SET deleted_at = ?2 WHERE id = ?1",
        ),
        RowRef::Outbound(_) => (&[], "UPDATE node_outbounds SET deleted_at = ?2 WHERE id = ?1"),
        RowRef::Rule(_) => (&[], "DELETE FROM node_routing_rules WHERE id = ?1"),
        RowRef::Balancer(_) => (&[], "DELETE FROM node_balancers WHERE id = ?1"),
    };
    let mut counts = Map::new();
    for (what, sql) in with {
        let gone = transaction.prepare_cached(sql)?.execute([row.id()])?;
        if gone > 0 {
            counts.insert((*what).to_owned(), gone.into());
        }
    }
    let mut statement = transaction.prepare_cached(sql)?;
    match row {
        RowRef::Protocol(_) | RowRef::Outbound(_) => statement.execute(params![row.id(), at])?,
        _ => statement.execute([row.id()])?,
    };
    Ok(counts)
}
