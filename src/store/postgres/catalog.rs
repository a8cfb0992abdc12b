//! Reads the catalogue and the fleet.

use tokio_postgres::{Error, Row};

use super::{fault::Fault, keys, line::Line, nodes, quotas, rows};
use crate::{model::catalog::Catalog, store::Fleet};

/// Everything that Core holds in memory; the caller's transaction makes it one moment.
pub(super) async fn fleet(line: &Line) -> Result<Fleet, Fault> {
    Ok(Fleet {
        catalog_seq: seq(line).await?,
        nodes: nodes::all(line).await?,
        keys: keys::alive(line).await?,
        catalog: catalog(line).await?,
        quotas: quotas::limited(line).await?,
    })
}

/// The last change that is committed. Of the rows, not of their sequence: that runs ahead of what can be seen. The last row is never pruned.
pub(super) async fn seq(line: &Line) -> Result<i64, Fault> {
    let row = line.query_one("SELECT max(seq) FROM catalog_changes", &[]).await?;
    Ok(row.try_get::<_, Option<i64>>(0)?.unwrap_or(0))
}

async fn catalog(line: &Line) -> Result<Catalog, Fault> {
    let by_id = "ORDER BY id";
    Ok(Catalog {
        users: readable(line, "users", by_id, rows::user).await?,
        subscriptions: readable(line, "subscriptions", by_id, rows::subscription).await?,
        links: readable(line, "links", by_id, rows::link).await?,
        subscription_links: readable(line, "subscription_links", by_id, rows::subscription_link).await?,
        node_protocols: readable(line, "node_protocols", by_id, rows::protocol).await?,
        node_protocol_links: readable(
            line,
            "node_protocol_links",
            "LEFT JOIN wireguard_slots USING (proto_id, ls_id) ORDER BY proto_id, ls_id",
            rows::protocol_link,
        )
        .await?,
        node_outbounds: readable(line, "node_outbounds", by_id, rows::outbound).await?,
        node_balancers: readable(line, "node_balancers", by_id, rows::balancer).await?,
        node_routing_rules: readable(line, "node_routing_rules", by_id, rows::rule).await?,
    })
}

/// The rows of a table that can be read.
async fn readable<T>(
    line: &Line,
    table: &'static str,
    which: &str,
    read: fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, Fault> {
    let found = line.query(&format!("SELECT * FROM {table} {which}"), &[]).await?;
    rows::all_legible(table, &found, read)
}
