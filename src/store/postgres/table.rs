//! The rows of the tables that admins change, as they are shown.

use serde_json::{Map, Value};
use tokio_postgres::{
    Column, Error, Row,
    types::{ToSql, Type},
};

use super::{fault::Fault, line::Line, rows};
use crate::{
    model::{
        Time,
        catalog_change::{RowRef, RowsOf, StoredRow},
    },
    store::{Page, naming::camel_case, table::Table},
};

/// One row; see [`crate::store::Store::catalog_row`].
pub(super) async fn row(line: &Line, row: RowRef) -> Result<Option<StoredRow>, Fault> {
    let table = Table::of(row);
    let sql = format!("SELECT * FROM {} WHERE id = $1 AND {}", table.name, table.alive);
    match line.query_opt(&sql, &[&row.id()]).await? {
        Some(found) => rows::legible(table.name, &found, |row| with_besides(table, row)),
        None => Ok(None),
    }
}

/// Rows of one owner, newest first; see [`crate::store::Store::catalog_rows`].
pub(super) async fn list(line: &Line, of: RowsOf, page: Page) -> Result<Vec<StoredRow>, Fault> {
    let (table, owner) = Table::with(of);
    let whose = owner.map_or(String::new(), |(column, _)| format!("{column} = $3 AND "));
    let sql = format!(
        "SELECT * FROM {} WHERE {whose}id < $1 AND {} ORDER BY id DESC LIMIT $2",
        table.name, table.alive
    );
    let (before, limit) = (page.before.unwrap_or(i64::MAX), i64::from(page.limit));
    let owner = owner.map(|(_, id)| id);
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![&before, &limit];
    values.extend(owner.as_ref().map(|id| id as &(dyn ToSql + Sync)));
    let found = line.query(&sql, &values).await?;
    rows::all_legible(table.name, &found, |row| with_besides(table, row))
}

fn with_besides(table: &Table, row: &Row) -> Result<StoredRow, Error> {
    let mut besides = Map::new();
    for column in table.besides {
        besides.insert(camel_case(column), shown(row, column)?);
    }
    Ok(StoredRow {
        row: rows::of(table, row)?,
        besides,
    })
}

/// A column as JSON; times are RFC 3339.
fn shown(row: &Row, column: &str) -> Result<Value, Error> {
    let of = row.columns().iter().find(|it| it.name() == column);
    Ok(match of.map(Column::type_) {
        Some(&Type::TIMESTAMPTZ) => {
            let at: Option<Time> = row.try_get(column)?;
            at.map_or(Value::Null, |at| at.to_string().into())
        }
        Some(&Type::INT8) => row.try_get::<_, Option<i64>>(column)?.into(),
        _ => row.try_get::<_, Option<String>>(column)?.into(),
    })
}
