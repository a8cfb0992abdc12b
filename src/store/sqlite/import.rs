//! `catalog import`: rows by id, new or in place of what was there, all or nothing.

use std::fmt;

use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::{
    admin::audit,
    codes::{insert_reserved_outbounds, is_reserved_outbound},
    fault::Fault,
    nodes,
    values::Text,
};
use crate::{
    model::{
        NodeId, OutboundId, Time,
        catalog::{
            CatalogImport, ImportedNode, Link, NodeBalancer, NodeOutbound, NodeProtocol, NodeProtocolLink,
            NodeRoutingRule, Subscription, SubscriptionLink, User,
        },
    },
    store::Change,
};

/// Ids above this do not fit the names that engines know a user by (64 letters for four ids).
const MAX_ID: i64 = 1 << 45;

/// Which row of the import is looked at; errors name it.
#[derive(Clone, Copy)]
struct Place {
    list: &'static str,
    index: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.list, self.index)
    }
}

/// One row of one list, about to be written.
struct Writer<'a> {
    transaction: &'a Connection,
    place: Place,
    at: Time,
}

/// Writes the rows of an import; what refers to a row comes after it.
pub(super) fn import(transaction: &Connection, import: &CatalogImport, by: &Change) -> Result<(), Fault> {
    let writer = |list| {
        move |index| Writer {
            transaction,
            place: Place { list, index },
            at: by.at,
        }
    };
    let catalog = &import.catalog;
    let new_nodes = each(&import.nodes, writer("nodes"), Writer::node)?;
    each(&catalog.users, writer("users"), Writer::user)?;
    each(&catalog.subscriptions, writer("subscriptions"), Writer::subscription)?;
    each(&catalog.links, writer("links"), Writer::link)?;
    each(
        &catalog.subscription_links,
        writer("subscriptionLinks"),
        Writer::subscription_link,
    )?;
    each(&catalog.node_protocols, writer("nodeProtocols"), Writer::protocol)?;
    each(&catalog.node_outbounds, writer("nodeOutbounds"), Writer::outbound)?;
    // After the file's own outbounds, so that these ids can't be in the way of theirs.
    for node in new_nodes.into_iter().flatten() {
        insert_reserved_outbounds(transaction, node)?;
    }
    each(&catalog.node_balancers, writer("nodeBalancers"), Writer::balancer)?;
    each(&catalog.node_routing_rules, writer("nodeRoutingRules"), Writer::rule)?;
    each(
        &catalog.node_protocol_links,
        writer("nodeProtocolLinks"),
        Writer::protocol_link,
    )?;
    audit(transaction, by, "catalog.import", None, &counts(import))
}

fn each<'a, Row, Done>(
    rows: &[Row],
    writer: impl Fn(usize) -> Writer<'a>,
    write: impl Fn(&Writer<'a>, &Row) -> Result<Done, Fault>,
) -> Result<Vec<Done>, Fault> {
    rows.iter()
        .enumerate()
        .map(|(index, row)| write(&writer(index), row))
        .collect()
}

fn counts(import: &CatalogImport) -> serde_json::Value {
    let catalog = &import.catalog;
    serde_json::json!({
        "nodes": import.nodes.len(),
        "users": catalog.users.len(),
        "subscriptions": catalog.subscriptions.len(),
        "links": catalog.links.len(),
        "subscriptionLinks": catalog.subscription_links.len(),
        "nodeProtocols": catalog.node_protocols.len(),
        "nodeProtocolLinks": catalog.node_protocol_links.len(),
        "nodeOutbounds": catalog.node_outbounds.len(),
        "nodeBalancers": catalog.node_balancers.len(),
        "nodeRoutingRules": catalog.node_routing_rules.len(),
    })
}

impl Writer<'_> {
    /// The id of the node if it is new.
    fn node(&self, row: &ImportedNode) -> Result<Option<NodeId>, Fault> {
        self.check_id(row.id.0)?;
        let is_new = !nodes::is_there(self.transaction, row.id)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/import_node.sql"),
            params![
                row.id,
                row.name,
                Text(row.ip),
                row.port,
                row.region,
                row.domain,
                self.at
            ],
        )?;
        Ok(is_new.then_some(row.id))
    }

    fn user(&self, row: &User) -> Result<(), Fault> {
        self.check_id(row.id.0)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/import_user.sql"),
            params![row.id, Text(row.uuid), row.name, Text(row.status), self.at],
        )
    }

    fn subscription(&self, row: &Subscription) -> Result<(), Fault> {
        self.check_id(row.id.0)?;
        self.must_exist("userId", "users", row.user_id.0)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/import_subscription.sql"),
            params![
                row.id,
                row.user_id,
                Text(row.status),
                row.starts_at,
                row.expires_at,
                row.traffic_limit_bytes,
                Text(row.reset_strategy),
                row.max_ips,
                row.rate_up_bps,
                row.rate_down_bps,
                self.at
            ],
        )
    }

    fn link(&self, row: &Link) -> Result<(), Fault> {
        self.check_id(row.id.0)?;
        self.must_exist("userId", "users", row.user_id.0)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/import_link.sql"),
            params![row.id, row.user_id, row.name, row.enabled, row.revoked_at, self.at],
        )
    }

    fn subscription_link(&self, row: &SubscriptionLink) -> Result<(), Fault> {
        self.check_id(row.id.0)?;
        self.must_exist("linkId", "links", row.link_id.0)?;
        if let Some(subscription) = row.subscription_id {
            self.must_exist("subscriptionId", "subscriptions", subscription.0)?;
        }
        self.write(
            include_str!("../../../sql/queries/sqlite/import_subscription_link.sql"),
            params![
                row.id,
                Text(row.uuid),
                row.link_id,
                row.subscription_id,
                row.enabled,
                self.at
            ],
        )
    }

    fn protocol(&self, row: &NodeProtocol) -> Result<(), Fault> {
        self.check_id(row.id.0)?;
        self.must_exist("nodeId", "nodes", row.node_id.0)?;
        self.must_stay("node_protocols", row.id.0, row.node_id)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/import_protocol.sql"),
            params![
                row.id,
                row.node_id,
                Text(row.protocol),
                row.tag,
                row.enabled,
                Text(row.listen),
                row.port,
                row.network,
                row.security,
                row.flow,
                Text(&row.settings),
                Text(&row.stream_settings),
                Text(&row.sniffing),
                row.public_host,
                row.public_port,
                row.position,
                row.deleted_at
            ],
        )
    }

    fn outbound(&self, row: &NodeOutbound) -> Result<(), Fault> {
        self.check_id(row.id.0)?;
        self.must_exist("nodeId", "nodes", row.node_id.0)?;
        self.must_stay("node_outbounds", row.id.0, row.node_id)?;
        self.must_not_replace_reserved(row.id, &row.tag)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/import_outbound.sql"),
            params![
                row.id,
                row.node_id,
                row.tag,
                row.protocol,
                Text(&row.config),
                row.position,
                row.enabled,
                row.deleted_at
            ],
        )
    }

    fn rule(&self, row: &NodeRoutingRule) -> Result<(), Fault> {
        self.check_id(row.id)?;
        self.must_exist("nodeId", "nodes", row.node_id.0)?;
        self.must_stay("node_routing_rules", row.id, row.node_id)?;
        if row.outbound_id.is_some() == row.balancer_tag.is_some() {
            return Err(self.refused("outboundId", "or balancerTag must be given, and not both".to_owned()));
        }
        if let Some(outbound) = row.outbound_id
            && self.node_of("node_outbounds", outbound.0)? != Some(row.node_id)
        {
            let message = format!("{outbound} is not an outbound of node {}", row.node_id);
            return Err(self.refused("outboundId", message));
        }
        self.write(
            include_str!("../../../sql/queries/sqlite/import_rule.sql"),
            params![
                row.id,
                row.node_id,
                row.position,
                Text(&row.rule),
                row.outbound_id,
                row.balancer_tag,
                row.enabled
            ],
        )
    }

    fn balancer(&self, row: &NodeBalancer) -> Result<(), Fault> {
        self.check_id(row.id)?;
        self.must_exist("nodeId", "nodes", row.node_id.0)?;
        self.must_stay("node_balancers", row.id, row.node_id)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/import_balancer.sql"),
            params![row.id, row.node_id, row.tag, Text(&row.config)],
        )
    }

    fn protocol_link(&self, row: &NodeProtocolLink) -> Result<(), Fault> {
        self.must_exist("protoId", "node_protocols", row.proto_id.0)?;
        self.must_exist("lsId", "subscription_links", row.ls_id.0)?;
        self.write(
            "INSERT INTO node_protocol_links (proto_id, ls_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![row.proto_id, row.ls_id],
        )
    }

    fn write(&self, sql: &str, parameters: impl Params) -> Result<(), Fault> {
        self.transaction
            .prepare_cached(sql)?
            .execute(parameters)
            .map_err(|error| Fault::from(error).blame(&self.place.to_string()))?;
        Ok(())
    }

    fn check_id(&self, id: i64) -> Result<(), Fault> {
        if (1..=MAX_ID).contains(&id) {
            Ok(())
        } else {
            Err(self.refused("id", format!("must be from 1 to {MAX_ID}")))
        }
    }

    fn must_exist(&self, field: &str, table: &str, id: i64) -> Result<(), Fault> {
        let found = self
            .transaction
            .prepare_cached(&format!("SELECT 1 FROM {table} WHERE id = ?1"))?
            .exists([id])?;
        if found {
            Ok(())
        } else {
            Err(self.refused(field, format!("{id} is not in {table}")))
        }
    }

    /// What belongs to a node counts for it for ever: a row never changes its node.
    fn must_stay(&self, table: &str, id: i64, node: NodeId) -> Result<(), Fault> {
        match self.node_of(table, id)? {
            Some(there) if there != node => Err(self.refused("id", format!("{id} is a row of node {there}"))),
            _ => Ok(()),
        }
    }

    /// `direct` and `block` count under their tags; a file that was not written for this store could hit their ids.
    fn must_not_replace_reserved(&self, id: OutboundId, tag: &str) -> Result<(), Fault> {
        let there: Option<String> = self
            .transaction
            .prepare_cached("SELECT tag FROM node_outbounds WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        match there {
            Some(there) if there != tag && is_reserved_outbound(&there) => {
                Err(self.refused("id", format!("{id} is this node's outbound {there:?}")))
            }
            _ => Ok(()),
        }
    }

    fn node_of(&self, table: &str, id: i64) -> Result<Option<NodeId>, Fault> {
        Ok(self
            .transaction
            .prepare_cached(&format!("SELECT node_id FROM {table} WHERE id = ?1"))?
            .query_row([id], |row| row.get(0))
            .optional()?)
    }

    fn refused(&self, field: &str, message: String) -> Fault {
        Fault::refused(format!("{}.{field}", self.place), message)
    }
}
