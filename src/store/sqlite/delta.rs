//! What changed of the catalogue since a reader last looked.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::{catalog, fault::Fault, keys, nodes, quotas, rows, table};
use crate::{
    model::{ProtocolId, catalog::NodeProtocolLink},
    store::{CatalogDelta, table::Table},
};

/// Changed rows that are worth being read one by one (about 5 us each): past that a reader loads everything.
const CHANGED_ROWS_MAX: u32 = 20_000;

/// What changed; see [`crate::store::Store::load_changes`]. The caller's transaction makes it one moment.
pub(super) fn since(connection: &Connection, since: i64) -> Result<CatalogDelta, Fault> {
    let seq = catalog::seq(connection)?;
    let mut delta = CatalogDelta {
        seq,
        ..CatalogDelta::default()
    };
    if since == seq {
        return Ok(delta);
    }
    let Some(changed) = changed(connection, since, seq)? else {
        delta.too_much = true;
        return Ok(delta);
    };
    for (table, ids) in changed {
        match table.as_str() {
            "nodes" | "node_keys" => {
                if delta.fleet.is_none() {
                    delta.fleet = Some((nodes::all(connection)?, keys::alive(connection)?));
                }
            }
            "node_protocol_links" => {
                for protocol in ids {
                    members(connection, protocol, &mut delta.rows.node_protocol_links)?;
                    delta.memberships.push(ProtocolId(protocol));
                }
            }
            name => {
                if let Some(table) = Table::named(name) {
                    read_again(connection, table, ids, &mut delta)?;
                }
            }
        }
    }
    delta.quotas = quotas::of(connection, delta.rows.subscriptions.iter().map(|row| row.id))?;
    Ok(delta)
}

/// The changed rows by table; `None` = more than are worth it, or some are no longer known.
fn changed(connection: &Connection, since: i64, seq: i64) -> Result<Option<BTreeMap<String, BTreeSet<i64>>>, Fault> {
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT min(seq) FROM catalog_changes")?
        .query_row([], |row| row.get(0))?;
    // A reader that is ahead of the store followed another one: it was set back.
    if since > seq || oldest.is_none_or(|oldest| oldest > since.saturating_add(1)) {
        return Ok(None);
    }
    let mut statement =
        connection.prepare_cached("SELECT DISTINCT table_name, row_id FROM catalog_changes WHERE seq > ?1 LIMIT ?2")?;
    let mut found = statement.query(params![since, CHANGED_ROWS_MAX + 1])?;
    let mut changed: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let mut count = 0;
    while let Some(row) = found.next()? {
        count += 1;
        if count > CHANGED_ROWS_MAX {
            return Ok(None);
        }
        changed.entry(row.get(0)?).or_default().insert(row.get(1)?);
    }
    Ok(Some(changed))
}

/// The rows of a table as they now are. One that can't be read any more is gone: whoever loads everything does not get it either.
fn read_again(
    connection: &Connection,
    table: &Table,
    ids: BTreeSet<i64>,
    delta: &mut CatalogDelta,
) -> Result<(), Fault> {
    for id in ids {
        let row = (table.reference)(id);
        match table::any(connection, row)? {
            Some(row) => delta.rows.push(row),
            None => delta.gone.push(row),
        }
    }
    Ok(())
}

fn members(connection: &Connection, protocol: i64, into: &mut Vec<NodeProtocolLink>) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM node_protocol_links LEFT JOIN wireguard_slots USING (proto_id, ls_id) \
         WHERE proto_id = ?1 ORDER BY ls_id",
    )?;
    for member in statement.query_map([protocol], rows::protocol_link)? {
        into.push(member?);
    }
    Ok(())
}
