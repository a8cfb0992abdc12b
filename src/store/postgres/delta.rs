//! What changed of the catalogue since a reader last looked.

use std::collections::{BTreeMap, HashMap};

use super::{catalog, fault::Fault, keys, line::Line, nodes, quotas, rows};
use crate::{
    model::{ProtocolId, SubscriptionId, catalog_change::CatalogRow},
    store::{CatalogDelta, table::Table},
};

/// Changed rows that are worth being read by their ids (about 5 us each): past that a reader loads everything.
const CHANGED_ROWS_MAX: i64 = 20_000;

/// What changed; see [`crate::store::Store::load_changes`]. The caller's transaction makes it one moment.
pub(super) async fn since(line: &Line, since: i64) -> Result<CatalogDelta, Fault> {
    let seq = catalog::seq(line).await?;
    let mut delta = CatalogDelta {
        seq,
        ..CatalogDelta::default()
    };
    if since == seq {
        return Ok(delta);
    }
    let Some(changed) = changed(line, since, seq).await? else {
        delta.too_much = true;
        return Ok(delta);
    };
    for (table, ids) in changed {
        match table.as_str() {
            "nodes" | "node_keys" => {
                if delta.fleet.is_none() {
                    delta.fleet = Some((nodes::all(line).await?, keys::alive(line).await?));
                }
            }
            "node_protocol_links" => members(line, &ids, &mut delta).await?,
            name => {
                if let Some(table) = Table::named(name) {
                    read_again(line, table, &ids, &mut delta).await?;
                }
            }
        }
    }
    let subscriptions: Vec<SubscriptionId> = delta.rows.subscriptions.iter().map(|row| row.id).collect();
    delta.quotas = quotas::of(line, &subscriptions).await?;
    Ok(delta)
}

/// The changed rows by table, ids from below; `None` = more than are worth it, a whole table, or some are no longer known.
async fn changed(line: &Line, since: i64, seq: i64) -> Result<Option<BTreeMap<String, Vec<i64>>>, Fault> {
    let oldest: Option<i64> = line
        .query_one("SELECT min(seq) FROM catalog_changes", &[])
        .await?
        .try_get(0)?;
    // A reader that is ahead of the store followed another one: it was set back.
    if since > seq || oldest.is_none_or(|oldest| oldest > since.saturating_add(1)) {
        return Ok(None);
    }
    let found = line
        .query(
            include_str!("../../../sql/queries/postgres/catalog_changed.sql"),
            &[&since, &(CHANGED_ROWS_MAX + 1)],
        )
        .await?;
    if i64::try_from(found.len()).unwrap_or(i64::MAX) > CHANGED_ROWS_MAX {
        return Ok(None);
    }
    let mut changed: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for row in found {
        let id: i64 = row.try_get("row_id")?;
        if id < 0 {
            return Ok(None);
        }
        changed.entry(row.try_get("table_name")?).or_default().push(id);
    }
    changed.values_mut().for_each(|ids| ids.sort_unstable());
    Ok(Some(changed))
}

/// The rows of a table as they now are. One that can't be read any more is gone: whoever loads everything does not get it either.
async fn read_again(line: &Line, table: &Table, ids: &[i64], delta: &mut CatalogDelta) -> Result<(), Fault> {
    let sql = format!("SELECT * FROM {} WHERE id = ANY($1)", table.name);
    let found = line.query(&sql, &[&ids]).await?;
    let read = rows::all_legible(table.name, &found, |row| rows::of(table, row))?;
    let mut read: HashMap<i64, CatalogRow> = read.into_iter().map(|row| (row.reference().id(), row)).collect();
    for id in ids {
        match read.remove(id) {
            Some(row) => delta.rows.push(row),
            None => delta.gone.push((table.reference)(*id)),
        }
    }
    Ok(())
}

async fn members(line: &Line, protocols: &[i64], delta: &mut CatalogDelta) -> Result<(), Fault> {
    let sql = "SELECT * FROM node_protocol_links LEFT JOIN wireguard_slots USING (proto_id, ls_id) \
               WHERE proto_id = ANY($1) ORDER BY proto_id, ls_id";
    for row in line.query(sql, &[&protocols]).await? {
        delta.rows.node_protocol_links.push(rows::protocol_link(&row)?);
    }
    delta.memberships.extend(protocols.iter().copied().map(ProtocolId));
    Ok(())
}
