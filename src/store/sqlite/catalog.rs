//! Reads the catalogue and the fleet.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{fault::Fault, keys, nodes, quotas, rows};
use crate::{model::catalog::Catalog, store::Fleet};

/// Everything that Core holds in memory; the caller's transaction makes it one moment.
pub(super) fn fleet(connection: &Connection) -> Result<Fleet, Fault> {
    Ok(Fleet {
        catalog_seq: seq(connection)?,
        nodes: nodes::all(connection)?,
        keys: keys::alive(connection)?,
        catalog: catalog(connection)?,
        quotas: quotas::limited(connection)?,
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
        users: readable(connection, "users", by_id, rows::user)?,
        subscriptions: readable(connection, "subscriptions", by_id, rows::subscription)?,
        links: readable(connection, "links", by_id, rows::link)?,
        subscription_links: readable(connection, "subscription_links", by_id, rows::subscription_link)?,
        node_protocols: readable(connection, "node_protocols", by_id, rows::protocol)?,
        node_protocol_links: readable(
            connection,
            "node_protocol_links",
            "LEFT JOIN wireguard_slots USING (proto_id, ls_id) ORDER BY proto_id, ls_id",
            rows::protocol_link,
        )?,
        node_outbounds: readable(connection, "node_outbounds", by_id, rows::outbound)?,
        node_balancers: readable(connection, "node_balancers", by_id, rows::balancer)?,
        node_routing_rules: readable(connection, "node_routing_rules", by_id, rows::rule)?,
    })
}

/// The rows of a table that can be read.
fn readable<T>(
    connection: &Connection,
    table: &'static str,
    which: &str,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    let mut statement = connection.prepare_cached(&format!("SELECT * FROM {table} {which}"))?;
    let mut found = statement.query([])?;
    let mut good = Vec::new();
    while let Some(row) = found.next()? {
        good.extend(rows::legible(table, row, &read)?);
    }
    Ok(good)
}
