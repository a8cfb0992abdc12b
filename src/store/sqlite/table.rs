//! The rows of the tables that admins change, as they are read and shown.

use rusqlite::{Connection, Row, params, types::ValueRef};
use serde_json::{Map, Value};

use super::{fault::Fault, rows};
use crate::{
    model::{
        Time,
        catalog_change::{CatalogRow, RowRef, RowsOf, StoredRow},
    },
    store::{Page, naming::camel_case, table::Table},
};

/// The row, deleted or not.
pub(super) fn any(connection: &Connection, row: RowRef) -> Result<Option<CatalogRow>, Fault> {
    let table = Table::of(row);
    let sql = format!("SELECT * FROM {} WHERE id = ?1", table.name);
    one(connection, table, &sql, row.id(), |row| read(table, row))
}

/// One row; see [`crate::store::Store::catalog_row`].
pub(super) fn row(connection: &Connection, row: RowRef) -> Result<Option<StoredRow>, Fault> {
    let table = Table::of(row);
    let sql = format!("SELECT * FROM {} WHERE id = ?1 AND {}", table.name, table.alive);
    one(connection, table, &sql, row.id(), |row| with_besides(table, row))
}

fn one<T>(
    connection: &Connection,
    table: &Table,
    sql: &str,
    id: i64,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query([id])?;
    match found.next()? {
        Some(row) => rows::legible(table.name, row, read),
        None => Ok(None),
    }
}

/// Rows of one owner, newest first; see [`crate::store::Store::catalog_rows`].
pub(super) fn list(connection: &Connection, of: RowsOf, page: Page) -> Result<Vec<StoredRow>, Fault> {
    let (table, owner) = Table::with(of);
    let whose = owner.map_or("?3 IS NULL".to_owned(), |(column, _)| format!("{column} = ?3"));
    let sql = format!(
        "SELECT * FROM {} WHERE {whose} AND id < ?1 AND {} ORDER BY id DESC LIMIT ?2",
        table.name, table.alive
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let before = page.before.unwrap_or(i64::MAX);
    let mut found = statement.query(params![before, page.limit, owner.map(|(_, id)| id)])?;
    let mut good = Vec::new();
    while let Some(row) = found.next()? {
        good.extend(rows::legible(table.name, row, |row| with_besides(table, row))?);
    }
    Ok(good)
}

fn read(table: &Table, row: &Row<'_>) -> rusqlite::Result<CatalogRow> {
    match (table.reference)(0) {
        RowRef::User(_) => rows::user(row).map(CatalogRow::User),
        RowRef::Subscription(_) => rows::subscription(row).map(CatalogRow::Subscription),
        RowRef::Link(_) => rows::link(row).map(CatalogRow::Link),
        RowRef::SubscriptionLink(_) => rows::subscription_link(row).map(CatalogRow::SubscriptionLink),
        RowRef::Protocol(_) => rows::protocol(row).map(CatalogRow::Protocol),
        RowRef::Outbound(_) => rows::outbound(row).map(CatalogRow::Outbound),
        RowRef::Rule(_) => rows::rule(row).map(CatalogRow::Rule),
        RowRef::Balancer(_) => rows::balancer(row).map(CatalogRow::Balancer),
    }
}

fn with_besides(table: &Table, row: &Row<'_>) -> rusqlite::Result<StoredRow> {
    let mut besides = Map::new();
    for column in table.besides {
        besides.insert(camel_case(column), shown(row, column)?);
    }
    Ok(StoredRow {
        row: read(table, row)?,
        besides,
    })
}

/// A column as JSON; times are RFC 3339.
fn shown(row: &Row<'_>, column: &str) -> rusqlite::Result<Value> {
    if column.ends_with("_at") {
        let at: Option<Time> = row.get(column)?;
        return Ok(at.map_or(Value::Null, |at| at.to_string().into()));
    }
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        _ => row.get::<_, String>(column)?.into(),
    })
}
