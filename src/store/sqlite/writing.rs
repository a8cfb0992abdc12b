//! Writes one row of the catalogue. What it may say was checked before: see [`crate::store::row_rules`].

use rusqlite::{Connection, Params, params};

use super::{fault::Fault, values::Text};
use crate::model::{
    Time,
    catalog::{ImportedNode, NodeProtocol, Subscription},
    catalog_change::CatalogRow,
};

/// Writes a row under this id, new or in place of what is there; without one the store gives it.
pub(super) fn put(transaction: &Connection, row: &CatalogRow, id: Option<i64>, at: Time) -> Result<(), Fault> {
    match row {
        CatalogRow::User(row) => write(
            transaction,
            include_str!("../../../sql/queries/sqlite/user_put.sql"),
            params![id, Text(row.uuid), row.name, Text(row.status), at],
        ),
        CatalogRow::Subscription(row) => subscription(transaction, row, id, at),
        CatalogRow::Link(row) => write(
            transaction,
            include_str!("../../../sql/queries/sqlite/link_put.sql"),
            params![id, row.user_id, row.name, row.enabled, row.revoked_at, at],
        ),
        CatalogRow::SubscriptionLink(row) => write(
            transaction,
            include_str!("../../../sql/queries/sqlite/subscription_link_put.sql"),
            params![id, Text(row.uuid), row.link_id, row.subscription_id, row.enabled, at],
        ),
        CatalogRow::Protocol(row) => protocol(transaction, row, id),
        CatalogRow::Outbound(row) => write(
            transaction,
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
        ),
        CatalogRow::Rule(row) => write(
            transaction,
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
        ),
        CatalogRow::Balancer(row) => write(
            transaction,
            include_str!("../../../sql/queries/sqlite/balancer_put.sql"),
            params![id, row.node_id, row.tag, Text(&row.config)],
        ),
    }
}

/// Writes a node, new or in place of what is there.
pub(super) fn put_node(transaction: &Connection, row: &ImportedNode, at: Time) -> Result<(), Fault> {
    write(
        transaction,
        include_str!("../../../sql/queries/sqlite/import_node.sql"),
        params![row.id, row.name, Text(row.ip), row.port, row.region, row.domain, at],
    )
}

fn subscription(transaction: &Connection, row: &Subscription, id: Option<i64>, at: Time) -> Result<(), Fault> {
    write(
        transaction,
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
            at
        ],
    )
}

fn protocol(transaction: &Connection, row: &NodeProtocol, id: Option<i64>) -> Result<(), Fault> {
    write(
        transaction,
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

fn write(transaction: &Connection, sql: &str, parameters: impl Params) -> Result<(), Fault> {
    transaction.prepare_cached(sql)?.execute(parameters)?;
    Ok(())
}
