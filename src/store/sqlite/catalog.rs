//! Reads the catalogue and the fleet.

use std::net::{IpAddr, Ipv4Addr};

use rusqlite::{Connection, Error, OptionalExtension as _, Row};

use super::{
    fault::Fault,
    keys, nodes,
    values::{Json, Text},
};
use crate::{
    model::catalog::{
        Catalog, Link, NodeBalancer, NodeOutbound, NodeProtocol, NodeProtocolLink, NodeRoutingRule, Subscription,
        SubscriptionLink, User,
    },
    store::Fleet,
};

/// Everything that Core holds in memory; the caller's transaction makes it one moment.
pub(super) fn fleet(connection: &Connection) -> Result<Fleet, Fault> {
    Ok(Fleet {
        catalog_seq: seq(connection)?,
        nodes: nodes::all(connection)?,
        keys: keys::alive(connection)?,
        catalog: catalog(connection)?,
    })
}

/// The last change. The sequence outlives the rows, which are pruned.
pub(super) fn seq(connection: &Connection) -> Result<i64, Fault> {
    let mut statement = connection.prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'catalog_changes'")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?.unwrap_or(0))
}

fn catalog(connection: &Connection) -> Result<Catalog, Fault> {
    let by_id = "ORDER BY id";
    Ok(Catalog {
        users: readable(connection, "users", by_id, user)?,
        subscriptions: readable(connection, "subscriptions", by_id, subscription)?,
        links: readable(connection, "links", by_id, link)?,
        subscription_links: readable(connection, "subscription_links", by_id, subscription_link)?,
        node_protocols: readable(connection, "node_protocols", by_id, node_protocol)?,
        node_protocol_links: readable(
            connection,
            "node_protocol_links",
            "LEFT JOIN wireguard_slots USING (proto_id, ls_id) ORDER BY proto_id, ls_id",
            node_protocol_link,
        )?,
        node_outbounds: readable(connection, "node_outbounds", by_id, node_outbound)?,
        node_balancers: readable(connection, "node_balancers", by_id, node_balancer)?,
        node_routing_rules: readable(connection, "node_routing_rules", by_id, node_routing_rule)?,
    })
}

/// The rows of a table. A panel writes these tables too: a value that can't be read costs its own row, not the fleet.
fn readable<T>(
    connection: &Connection,
    table: &'static str,
    which: &str,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(&format!("SELECT * FROM {table} {which}"))?;
    let mut rows = statement.query([])?;
    let mut good = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(value) => good.push(value),
            Err(error @ (Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..))) => {
                let id: Option<i64> = row.get(0).ok();
                metrics::counter!("core_store_unreadable_rows_total", "table" => table).increment(1);
                tracing::warn!(table, id, %error, "a catalogue row can't be read and is left out");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(good)
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get("id")?,
        uuid: row.get::<_, Text<_>>("uuid")?.0,
        name: row.get("name")?,
        status: row.get::<_, Text<_>>("status")?.0,
    })
}

fn subscription(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    Ok(Subscription {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        status: row.get::<_, Text<_>>("status")?.0,
        starts_at: row.get("starts_at")?,
        expires_at: row.get("expires_at")?,
        traffic_limit_bytes: row.get("traffic_limit_bytes")?,
        reset_strategy: row.get::<_, Text<_>>("reset_strategy")?.0,
        max_ips: row.get("max_ips")?,
        rate_up_bps: row.get("rate_up_bps")?,
        rate_down_bps: row.get("rate_down_bps")?,
    })
}

fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    Ok(Link {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        name: row.get("name")?,
        enabled: row.get("enabled")?,
        revoked_at: row.get("revoked_at")?,
    })
}

fn subscription_link(row: &Row<'_>) -> rusqlite::Result<SubscriptionLink> {
    Ok(SubscriptionLink {
        id: row.get("id")?,
        uuid: row.get::<_, Text<_>>("uuid")?.0,
        link_id: row.get("link_id")?,
        subscription_id: row.get("subscription_id")?,
        enabled: row.get("enabled")?,
    })
}

/// An inbound is never left out here: its bytes count even if it can't serve. One whose address can't be read gets the port 0,
/// which no config takes.
fn node_protocol(row: &Row<'_>) -> rusqlite::Result<NodeProtocol> {
    let listen = row.get::<_, String>("listen")?.parse::<IpAddr>();
    let port = if listen.is_ok() { row.get("port")? } else { 0 };
    Ok(NodeProtocol {
        id: row.get("id")?,
        node_id: row.get("node_id")?,
        protocol: row.get::<_, Text<_>>("protocol")?.0,
        tag: row.get("tag")?,
        enabled: row.get("enabled")?,
        listen: listen.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
        port,
        network: row.get("network")?,
        security: row.get("security")?,
        flow: row.get("flow")?,
        settings: row.get::<_, Json>("settings")?.0,
        stream_settings: row.get::<_, Json>("stream_settings")?.0,
        sniffing: row.get::<_, Json>("sniffing")?.0,
        public_host: row.get("public_host")?,
        public_port: row.get("public_port")?,
        position: row.get("position")?,
        deleted_at: row.get("deleted_at")?,
    })
}

fn node_protocol_link(row: &Row<'_>) -> rusqlite::Result<NodeProtocolLink> {
    Ok(NodeProtocolLink {
        proto_id: row.get("proto_id")?,
        ls_id: row.get("ls_id")?,
        slot: row.get("slot")?,
    })
}

fn node_outbound(row: &Row<'_>) -> rusqlite::Result<NodeOutbound> {
    Ok(NodeOutbound {
        id: row.get("id")?,
        node_id: row.get("node_id")?,
        tag: row.get("tag")?,
        protocol: row.get("protocol")?,
        config: row.get::<_, Json>("config")?.0,
        position: row.get("position")?,
        enabled: row.get("enabled")?,
        deleted_at: row.get("deleted_at")?,
    })
}

fn node_balancer(row: &Row<'_>) -> rusqlite::Result<NodeBalancer> {
    Ok(NodeBalancer {
        id: row.get("id")?,
        node_id: row.get("node_id")?,
        tag: row.get("tag")?,
        config: row.get::<_, Json>("config")?.0,
    })
}

fn node_routing_rule(row: &Row<'_>) -> rusqlite::Result<NodeRoutingRule> {
    Ok(NodeRoutingRule {
        id: row.get("id")?,
        node_id: row.get("node_id")?,
        position: row.get("position")?,
        rule: row.get::<_, Json>("rule")?.0,
        outbound_id: row.get("outbound_id")?,
        balancer_tag: row.get("balancer_tag")?,
        enabled: row.get("enabled")?,
    })
}
