//! Deletes a row of the catalogue, and what can't be without it.

use serde_json::{Map, Value};

use super::{fault::Fault, line::Line};
use crate::{
    model::{Time, catalog_change::RowRef},
    store::deleting::{Deletion, Last},
};

/// Deletes the row; gives how many rows of which kind went with it.
pub(super) async fn delete(line: &Line, row: RowRef, at: Time) -> Result<Map<String, Value>, Fault> {
    let Deletion { with, last } = Deletion::of(row);
    let id = row.id();
    let mut counts = Map::new();
    for (what, sql) in with {
        // Of an array it is thought that it is short, so that an index is used even where nobody counted the rows yet.
        let sql = sql.replace('[', "= ANY(ARRAY(").replace(']', "))");
        let gone = line.execute(&sql, &[&id]).await?;
        if gone > 0 {
            counts.insert((*what).to_owned(), gone.into());
        }
    }
    match last {
        Last::Gone(sql) => line.execute(sql, &[&id]).await?,
        Last::Marked(sql) => line.execute(sql, &[&at, &id]).await?,
    };
    Ok(counts)
}
