//! Deletes a row of the catalogue, and what can't be without it.

use rusqlite::{Connection, params};
use serde_json::{Map, Value};

use super::fault::Fault;
use crate::{
    model::{Time, catalog_change::RowRef},
    store::deleting::{Deletion, Last},
};

/// Deletes the row; gives how many rows of which kind went with it.
pub(super) fn delete(transaction: &Connection, row: RowRef, at: Time) -> Result<Map<String, Value>, Fault> {
    let Deletion { with, last } = Deletion::of(row);
    let mut counts = Map::new();
    for (what, sql) in with {
        let sql = sql.replace('[', "IN (").replace(']', ")");
        let gone = transaction.prepare_cached(&sql)?.execute([row.id()])?;
        if gone > 0 {
            counts.insert((*what).to_owned(), gone.into());
        }
    }
    match last {
        Last::Gone(sql) => transaction.prepare_cached(sql)?.execute([row.id()])?,
        // `SQLite` counts `$1` and `$2` as they appear.
        Last::Marked(sql) => transaction.prepare_cached(sql)?.execute(params![at, row.id()])?,
    };
    Ok(counts)
}
