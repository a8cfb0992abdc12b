//! How the rows of the catalogue are read, one function a table.

use std::{
    error::Error as _,
    net::{IpAddr, Ipv4Addr},
};

use tokio_postgres::{Error, Row, types::WrongType};

use super::{
    fault::Fault,
    values::{Json, Text},
};
use crate::{
    model::{
        catalog::{
            Link, NodeBalancer, NodeOutbound, NodeProtocol, NodeProtocolLink, NodeRoutingRule, Subscription,
            SubscriptionLink, User,
        },
        catalog_change::{CatalogRow, RowRef},
    },
    store::table::Table,
};

/// Reads a row. A panel writes these tables too: a value that can't be read costs its own row (`None`), not the fleet.
pub(super) fn legible<T>(
    table: &'static str,
    row: &Row,
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Option<T>, Fault> {
    match read(row) {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_value(&error) => {
            let id: Option<i64> = row.try_get(0).ok();
            metrics::counter!("core_store_unreadable_rows_total", "table" => table).increment(1);
            tracing::warn!(table, id, %error, "a catalogue row can't be read and is left out");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether it is one row's value that can't be read. A column that is missing, or of another type, would cost all rows: that is no row's fault.
fn is_value(error: &Error) -> bool {
    error.to_string().starts_with("error deserializing column")
        && !error.source().is_some_and(<dyn std::error::Error>::is::<WrongType>)
}

/// The rows that can be read.
pub(super) fn all_legible<T>(
    table: &'static str,
    rows: &[Row],
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, Fault> {
    let mut good = Vec::with_capacity(rows.len());
    for row in rows {
        good.extend(legible(table, row, &read)?);
    }
    Ok(good)
}

/// A row of a table that admins change.
pub(super) fn of(table: &Table, row: &Row) -> Result<CatalogRow, Error> {
    match (table.reference)(0) {
        RowRef::User(_) => user(row).map(CatalogRow::User),
        RowRef::Subscription(_) => subscription(row).map(CatalogRow::Subscription),
        RowRef::Link(_) => link(row).map(CatalogRow::Link),
        RowRef::SubscriptionLink(_) => subscription_link(row).map(CatalogRow::SubscriptionLink),
        RowRef::Protocol(_) => protocol(row).map(CatalogRow::Protocol),
        RowRef::Outbound(_) => outbound(row).map(CatalogRow::Outbound),
        RowRef::Rule(_) => rule(row).map(CatalogRow::Rule),
        RowRef::Balancer(_) => balancer(row).map(CatalogRow::Balancer),
    }
}

/// A row of `users`.
pub(super) fn user(row: &Row) -> Result<User, Error> {
    Ok(User {
        id: row.try_get("id")?,
        uuid: row.try_get("uuid")?,
        name: row.try_get("name")?,
        status: row.try_get::<_, Text<_>>("status")?.0,
    })
}

/// A row of `subscriptions`.
pub(super) fn subscription(row: &Row) -> Result<Subscription, Error> {
    Ok(Subscription {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        status: row.try_get::<_, Text<_>>("status")?.0,
        starts_at: row.try_get("starts_at")?,
        expires_at: row.try_get("expires_at")?,
        traffic_limit_bytes: row.try_get("traffic_limit_bytes")?,
        reset_strategy: row.try_get::<_, Text<_>>("reset_strategy")?.0,
        max_ips: row.try_get("max_ips")?,
        rate_up_bps: row.try_get("rate_up_bps")?,
        rate_down_bps: row.try_get("rate_down_bps")?,
    })
}

/// A row of `links`.
pub(super) fn link(row: &Row) -> Result<Link, Error> {
    Ok(Link {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        name: row.try_get("name")?,
        enabled: row.try_get("enabled")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}

/// A row of `subscription_links`.
pub(super) fn subscription_link(row: &Row) -> Result<SubscriptionLink, Error> {
    Ok(SubscriptionLink {
        id: row.try_get("id")?,
        uuid: row.try_get("uuid")?,
        link_id: row.try_get("link_id")?,
        subscription_id: row.try_get("subscription_id")?,
        enabled: row.try_get("enabled")?,
    })
}

/// An inbound is never left out here: its bytes count even if it can't serve. One whose address can't be read gets the port 0,
/// which no config takes.
pub(super) fn protocol(row: &Row) -> Result<NodeProtocol, Error> {
    let listen = row.try_get::<_, &str>("listen")?.parse::<IpAddr>();
    let port = if listen.is_ok() { row.try_get("port")? } else { 0 };
    Ok(NodeProtocol {
        id: row.try_get("id")?,
        node_id: row.try_get("node_id")?,
        protocol: row.try_get::<_, Text<_>>("protocol")?.0,
        tag: row.try_get("tag")?,
        enabled: row.try_get("enabled")?,
        listen: listen.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
        port,
        network: row.try_get("network")?,
        security: row.try_get("security")?,
        flow: row.try_get("flow")?,
        settings: row.try_get::<_, Json>("settings")?.0,
        stream_settings: row.try_get::<_, Json>("stream_settings")?.0,
        sniffing: row.try_get::<_, Json>("sniffing")?.0,
        public_host: row.try_get("public_host")?,
        public_port: row.try_get("public_port")?,
        position: row.try_get("position")?,
        deleted_at: row.try_get("deleted_at")?,
    })
}

/// A row of `node_protocol_links`, with its place in `wireguard_slots`.
pub(super) fn protocol_link(row: &Row) -> Result<NodeProtocolLink, Error> {
    Ok(NodeProtocolLink {
        proto_id: row.try_get("proto_id")?,
        ls_id: row.try_get("ls_id")?,
        slot: row.try_get("slot")?,
    })
}

/// A row of `node_outbounds`.
pub(super) fn outbound(row: &Row) -> Result<NodeOutbound, Error> {
    Ok(NodeOutbound {
        id: row.try_get("id")?,
        node_id: row.try_get("node_id")?,
        tag: row.try_get("tag")?,
        protocol: row.try_get("protocol")?,
        config: row.try_get::<_, Json>("config")?.0,
        position: row.try_get("position")?,
        enabled: row.try_get("enabled")?,
        deleted_at: row.try_get("deleted_at")?,
    })
}

/// A row of `node_balancers`.
pub(super) fn balancer(row: &Row) -> Result<NodeBalancer, Error> {
    Ok(NodeBalancer {
        id: row.try_get("id")?,
        node_id: row.try_get("node_id")?,
        tag: row.try_get("tag")?,
        config: row.try_get::<_, Json>("config")?.0,
    })
}

/// A row of `node_routing_rules`.
pub(super) fn rule(row: &Row) -> Result<NodeRoutingRule, Error> {
    Ok(NodeRoutingRule {
        id: row.try_get("id")?,
        node_id: row.try_get("node_id")?,
        position: row.try_get("position")?,
        rule: row.try_get::<_, Json>("rule")?.0,
        outbound_id: row.try_get("outbound_id")?,
        balancer_tag: row.try_get("balancer_tag")?,
        enabled: row.try_get("enabled")?,
    })
}
