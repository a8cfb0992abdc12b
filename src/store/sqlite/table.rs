//! The tables of the catalogue that admins change: how each is called, and how its rows are read.

use rusqlite::{Connection, Row, params, types::ValueRef};
use serde_json::{Map, Value};

use super::{fault::Fault, rows, values::camel_case};
use crate::{
    model::{
        LinkId, LsId, OutboundId, ProtocolId, SubscriptionId, Time, UserId,
        catalog_change::{CatalogRow, RowRef, RowsOf, StoredRow},
    },
    store::Page,
};

/// A table of the catalogue.
pub(super) struct Table {
    /// Its name.
    pub(super) name: &'static str,
    /// What an audit row calls a row of it.
    pub(super) subject: &'static str,
    /// The reference to the row with this id.
    pub(super) reference: fn(i64) -> RowRef,
    read: fn(&Row<'_>) -> rusqlite::Result<CatalogRow>,
    /// Columns that are no part of the row, but shown.
    besides: &'static [&'static str],
    /// Which rows are not deleted.
    alive: &'static str,
}

const COUNTERS: &[&str] = &["traffic_bytes_up", "traffic_bytes_down"];

/// Rows of inbounds and outbounds stay when they are deleted: they count for ever.
const NOT_DELETED: &str = "deleted_at IS NULL";

const ALWAYS: &str = "TRUE";

static TABLES: [Table; 8] = [
    Table {
        name: "users",
        subject: "user",
        reference: |id| RowRef::User(UserId(id)),
        read: |row| rows::user(row).map(CatalogRow::User),
        besides: &["created_at", "updated_at"],
        alive: ALWAYS,
    },
    Table {
        name: "subscriptions",
        subject: "subscription",
        reference: |id| RowRef::Subscription(SubscriptionId(id)),
        read: |row| rows::subscription(row).map(CatalogRow::Subscription),
        besides: &[
            "created_at",
            "traffic_bytes_up",
            "traffic_bytes_down",
            "period_bytes",
            "period_started_at",
            "last_reset_at",
        ],
        alive: ALWAYS,
    },
    Table {
        name: "links",
        subject: "link",
        reference: |id| RowRef::Link(LinkId(id)),
        read: |row| rows::link(row).map(CatalogRow::Link),
        besides: &["created_at", "token"],
        alive: ALWAYS,
    },
    Table {
        name: "subscription_links",
        subject: "subscription-link",
        reference: |id| RowRef::SubscriptionLink(LsId(id)),
        read: |row| rows::subscription_link(row).map(CatalogRow::SubscriptionLink),
        besides: &["created_at"],
        alive: ALWAYS,
    },
    Table {
        name: "node_protocols",
        subject: "protocol",
        reference: |id| RowRef::Protocol(ProtocolId(id)),
        read: |row| rows::protocol(row).map(CatalogRow::Protocol),
        besides: COUNTERS,
        alive: NOT_DELETED,
    },
    Table {
        name: "node_outbounds",
        subject: "outbound",
        reference: |id| RowRef::Outbound(OutboundId(id)),
        read: |row| rows::outbound(row).map(CatalogRow::Outbound),
        besides: COUNTERS,
        alive: NOT_DELETED,
    },
    Table {
        name: "node_routing_rules",
        subject: "rule",
        reference: RowRef::Rule,
        read: |row| rows::rule(row).map(CatalogRow::Rule),
        besides: &[],
        alive: ALWAYS,
    },
    Table {
        name: "node_balancers",
        subject: "balancer",
        reference: RowRef::Balancer,
        read: |row| rows::balancer(row).map(CatalogRow::Balancer),
        besides: &[],
        alive: ALWAYS,
    },
];

impl Table {
    /// The table of a row.
    pub(super) fn of(row: RowRef) -> &'static Self {
        let index = match row {
            RowRef::User(_) => 0,
            RowRef::Subscription(_) => 1,
            RowRef::Link(_) => 2,
            RowRef::SubscriptionLink(_) => 3,
            RowRef::Protocol(_) => 4,
            RowRef::Outbound(_) => 5,
            RowRef::Rule(_) => 6,
            RowRef::Balancer(_) => 7,
        };
        &TABLES[index]
    }

    /// The table with this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// The row with this id, deleted or not.
    pub(super) fn any(&self, connection: &Connection, id: i64) -> Result<Option<CatalogRow>, Fault> {
        let sql = format!("SELECT * FROM {} WHERE id = ?1", self.name);
        self.one(connection, &sql, id, self.read)
    }

    /// The row with this id, unless it was deleted.
    pub(super) fn alive(&self, connection: &Connection, id: i64) -> Result<Option<CatalogRow>, Fault> {
        let sql = format!("SELECT * FROM {} WHERE id = ?1 AND {}", self.name, self.alive);
        self.one(connection, &sql, id, self.read)
    }

    /// As [`Table::alive`], with what only lists show.
    fn stored(&self, connection: &Connection, id: i64) -> Result<Option<StoredRow>, Fault> {
        let sql = format!("SELECT * FROM {} WHERE id = ?1 AND {}", self.name, self.alive);
        self.one(connection, &sql, id, |row| self.with_besides(row))
    }

    fn one<T>(
        &self,
        connection: &Connection,
        sql: &str,
        id: i64,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Fault> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut found = statement.query([id])?;
        match found.next()? {
            Some(row) => rows::legible(self.name, row, read),
            None => Ok(None),
        }
    }

    fn with_besides(&self, row: &Row<'_>) -> rusqlite::Result<StoredRow> {
        let mut besides = Map::new();
        for column in self.besides {
            besides.insert(camel_case(column), shown(row, column)?);
        }
        Ok(StoredRow {
            row: (self.read)(row)?,
            besides,
        })
    }
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

/// One row; see [`crate::store::Store::catalog_row`].
pub(super) fn row(connection: &Connection, row: RowRef) -> Result<Option<StoredRow>, Fault> {
    Table::of(row).stored(connection, row.id())
}

/// Rows of one owner, newest first; see [`crate::store::Store::catalog_rows`].
pub(super) fn list(connection: &Connection, of: RowsOf, page: Page) -> Result<Vec<StoredRow>, Fault> {
    let (table, owner) = match of {
        RowsOf::Users => (&TABLES[0], None),
        RowsOf::SubscriptionsOfUser(user) => (&TABLES[1], Some(("user_id", user.0))),
        RowsOf::LinksOfUser(user) => (&TABLES[2], Some(("user_id", user.0))),
        RowsOf::SubscriptionLinksOfLink(link) => (&TABLES[3], Some(("link_id", link.0))),
        RowsOf::ProtocolsOfNode(node) => (&TABLES[4], Some(("node_id", node.0))),
        RowsOf::OutboundsOfNode(node) => (&TABLES[5], Some(("node_id", node.0))),
        RowsOf::RulesOfNode(node) => (&TABLES[6], Some(("node_id", node.0))),
        RowsOf::BalancersOfNode(node) => (&TABLES[7], Some(("node_id", node.0))),
    };
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
        good.extend(rows::legible(table.name, row, |row| table.with_besides(row))?);
    }
    Ok(good)
}
