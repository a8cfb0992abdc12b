//! Writes one row of the catalogue: its id, what it refers to, and what a row may never do are checked here, whoever writes it.

use std::fmt;

use rusqlite::{Connection, OptionalExtension as _, Params, params};

use super::{codes::is_reserved_outbound, fault::Fault, nodes, values::Text};
use crate::model::{
    NodeId, OutboundId, Time,
    catalog::{
        ImportedNode, Link, NodeBalancer, NodeOutbound, NodeProtocol, NodeProtocolLink, NodeRoutingRule, Subscription,
        SubscriptionLink, User,
    },
};

/// Ids above this do not fit the names that engines know a user by (64 letters for four ids).
const MAX_ID: i64 = 1 << 45;

/// Which row of which list of the caller's is looked at; errors name it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The list.
    pub(super) list: &'static str,
    /// Its place in the list.
    pub(super) index: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.list, self.index)
    }
}

/// One row of one list, about to be written.
pub(super) struct Writer<'a> {
    /// Where it is written.
    pub(super) transaction: &'a Connection,
    /// Which row it is.
    pub(super) place: Place,
    /// Now.
    pub(super) at: Time,
    /// Whether the store gives the id; if not, the row has it.
    pub(super) is_new: bool,
}

impl Writer<'_> {
    /// Checks and writes a node; gives its id if it is new.
    pub(super) fn node(&self, row: &ImportedNode) -> Result<Option<NodeId>, Fault> {
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

    /// Checks and writes a row of its table.
    pub(super) fn user(&self, row: &User) -> Result<(), Fault> {
        let id = self.id(row.id.0)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/user_put.sql"),
            params![id, Text(row.uuid), row.name, Text(row.status), self.at],
        )
    }

    /// Checks and writes a row of its table.
    pub(super) fn subscription(&self, row: &Subscription) -> Result<(), Fault> {
        let id = self.id(row.id.0)?;
        self.must_exist("userId", "users", row.user_id.0)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/subscription_put.sql"),
            params![
                id,
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

    /// Checks and writes a row of its table.
    pub(super) fn link(&self, row: &Link) -> Result<(), Fault> {
        let id = self.id(row.id.0)?;
        self.must_exist("userId", "users", row.user_id.0)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/link_put.sql"),
            params![id, row.user_id, row.name, row.enabled, row.revoked_at, self.at],
        )
    }

    /// Checks and writes a row of its table.
    pub(super) fn subscription_link(&self, row: &SubscriptionLink) -> Result<(), Fault> {
        let id = self.id(row.id.0)?;
        self.must_exist("linkId", "links", row.link_id.0)?;
        if let Some(subscription) = row.subscription_id {
            self.must_exist("subscriptionId", "subscriptions", subscription.0)?;
        }
        self.write(
            include_str!("../../../sql/queries/sqlite/subscription_link_put.sql"),
            params![
                id,
                Text(row.uuid),
                row.link_id,
                row.subscription_id,
                row.enabled,
                self.at
            ],
        )
    }

    /// Checks and writes a row of its table.
    pub(super) fn protocol(&self, row: &NodeProtocol) -> Result<(), Fault> {
        let id = self.id(row.id.0)?;
        self.must_exist("nodeId", "nodes", row.node_id.0)?;
        self.must_stay("node_protocols", row.id.0, row.node_id)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/protocol_put.sql"),
            params![
                id,
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

    /// Checks and writes a row of its table.
    pub(super) fn outbound(&self, row: &NodeOutbound) -> Result<(), Fault> {
        let id = self.id(row.id.0)?;
        self.must_exist("nodeId", "nodes", row.node_id.0)?;
        self.must_stay("node_outbounds", row.id.0, row.node_id)?;
        self.must_not_replace_reserved(row.id, &row.tag)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/outbound_put.sql"),
            params![
                id,
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

    /// Checks and writes a row of its table.
    pub(super) fn rule(&self, row: &NodeRoutingRule) -> Result<(), Fault> {
        let id = self.id(row.id)?;
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
            include_str!("../../../sql/queries/sqlite/rule_put.sql"),
            params![
                id,
                row.node_id,
                row.position,
                Text(&row.rule),
                row.outbound_id,
                row.balancer_tag,
                row.enabled
            ],
        )
    }

    /// Checks and writes a row of its table.
    pub(super) fn balancer(&self, row: &NodeBalancer) -> Result<(), Fault> {
        let id = self.id(row.id)?;
        self.must_exist("nodeId", "nodes", row.node_id.0)?;
        self.must_stay("node_balancers", row.id, row.node_id)?;
        self.write(
            include_str!("../../../sql/queries/sqlite/balancer_put.sql"),
            params![id, row.node_id, row.tag, Text(&row.config)],
        )
    }

    /// Checks and writes a row of its table.
    pub(super) fn protocol_link(&self, row: &NodeProtocolLink) -> Result<(), Fault> {
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

    /// The id as it is written: none = the store gives one.
    fn id(&self, id: i64) -> Result<Option<i64>, Fault> {
        if self.is_new {
            return Ok(None);
        }
        self.check_id(id)?;
        Ok(Some(id))
    }

    /// Ids that do not fit are never written.
    pub(super) fn check_id(&self, id: i64) -> Result<(), Fault> {
        if (1..=MAX_ID).contains(&id) {
            Ok(())
        } else {
            Err(self.refused("id", format!("must be from 1 to {MAX_ID}")))
        }
    }

    /// A foreign key, said in the words of the caller.
    pub(super) fn must_exist(&self, field: &str, table: &str, id: i64) -> Result<(), Fault> {
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

    /// What is wrong with a field of this row.
    pub(super) fn refused(&self, field: &str, message: String) -> Fault {
        Fault::refused(format!("{}.{field}", self.place), message)
    }
}
