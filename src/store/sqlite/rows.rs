//! How the rows of the catalogue are read, one function a table.

use std::net::{IpAddr, Ipv4Addr};

use rusqlite::{Error, Row};

use super::{
    fault::Fault,
    values::{Json, Text},
};
use crate::model::catalog::{
    Link, NodeBalancer, NodeOutbound, NodeProtocol, NodeProtocolLink, NodeRoutingRule, Subscription, SubscriptionLink,
    User,
};

/// Reads a row. A panel writes these tables too: a value that can't be read costs its own row (`None`), not the fleet.
pub(super) fn legible<T>(
    table: &'static str,
    row: &Row<'_>,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, Fault> {
    match read(row) {
        Ok(value) => Ok(Some(value)),
        Err(error @ (Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..))) => {
            let id: Option<i64> = row.get(0).ok();
            metrics::counter!("core_store_unreadable_rows_total", "table" => table).increment(1);
            tracing::warn!(table, id, %error, "a catalogue row can't be read and is left out");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// A row of `users`.
pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get("id")?,
        uuid: row.get::<_, Text<_>>("uuid")?.0,
        name: row.get("name")?,
        status: row.get::<_, Text<_>>("status")?.0,
    })
}

/// A row of `subscriptions`.
pub(super) fn subscription(row: &Row<'_>) -> rusqlite::Result<Subscription> {
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

/// A row of `links`.
pub(super) fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    Ok(Link {
        id: row.get("id")?,
        user_id: row.get("user_id")?,
        name: row.get("name")?,
        enabled: row.get("enabled")?,
        revoked_at: row.get("revoked_at")?,
    })
}

/// A row of `subscription_links`.
pub(super) fn subscription_link(row: &Row<'_>) -> rusqlite::Result<SubscriptionLink> {
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
pub(super) fn protocol(row: &Row<'_>) -> rusqlite::Result<NodeProtocol> {
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

/// A row of `node_protocol_links`, with its place in `wireguard_slots`.
pub(super) fn protocol_link(row: &Row<'_>) -> rusqlite::Result<NodeProtocolLink> {
    Ok(NodeProtocolLink {
        proto_id: row.get("proto_id")?,
        ls_id: row.get("ls_id")?,
        slot: row.get("slot")?,
    })
}

/// A row of `node_outbounds`.
pub(super) fn outbound(row: &Row<'_>) -> rusqlite::Result<NodeOutbound> {
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

/// A row of `node_balancers`.
pub(super) fn balancer(row: &Row<'_>) -> rusqlite::Result<NodeBalancer> {
    Ok(NodeBalancer {
        id: row.get("id")?,
        node_id: row.get("node_id")?,
        tag: row.get("tag")?,
        config: row.get::<_, Json>("config")?.0,
    })
}

/// A row of `node_routing_rules`.
pub(super) fn rule(row: &Row<'_>) -> rusqlite::Result<NodeRoutingRule> {
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
