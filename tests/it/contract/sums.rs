//! What the embedded store has counted, read from its file beside the running Core.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, OpenFlags, types::FromSql};

/// Everything that a report or a registration can move. Events of users from [`MARKERS`] on are those of the test itself.
const SUMS: &[(&str, &str)] = &[
    ("usage rows", "SELECT count(*) FROM usage_minutes"),
    ("usage up", "SELECT coalesce(sum(bytes_up), 0) FROM usage_minutes"),
    ("usage down", "SELECT coalesce(sum(bytes_down), 0) FROM usage_minutes"),
    ("subscriptions up", "SELECT sum(traffic_bytes_up) FROM subscriptions"),
    (
        "subscriptions down",
        "SELECT sum(traffic_bytes_down) FROM subscriptions",
    ),
    ("outbounds up", "SELECT sum(traffic_bytes_up) FROM node_outbounds"),
    ("outbounds down", "SELECT sum(traffic_bytes_down) FROM node_outbounds"),
    (
        "events",
        "SELECT count(*) FROM session_events WHERE user_id < 900000000",
    ),
    ("usage rejected", "SELECT count(*) FROM usage_rejected"),
    ("events rejected", "SELECT count(*) FROM events_rejected"),
    ("node errors", "SELECT count(*) FROM node_errors"),
    ("nodes", "SELECT count(*) FROM nodes"),
    ("keys", "SELECT count(*) FROM node_keys WHERE revoked_at IS NULL"),
    ("uses of codes", "SELECT sum(uses_left) FROM registration_codes"),
    ("changes by admins and nodes", "SELECT count(*) FROM audit_log"),
];

/// Users of this id and above are markers.
pub const MARKERS: i64 = 900_000_000;

/// Sums by name.
pub type Sums = BTreeMap<&'static str, i64>;

/// The sums of the store in this data folder.
pub fn sums(dir: &Path) -> Sums {
    let connection = open(dir);
    let transaction = connection.unchecked_transaction().expect("it reads");
    SUMS.iter()
        .map(|(name, sql)| {
            let sum: Option<i64> = transaction.query_row(sql, [], |row| row.get(0)).expect(name);
            (*name, sum.unwrap_or(0))
        })
        .collect()
}

/// One value of the store.
pub fn value<T: FromSql>(dir: &Path, sql: &str) -> T {
    open(dir).query_row(sql, [], |row| row.get(0)).expect(sql)
}

/// Rows of the store, each as its columns in text.
pub fn rows(dir: &Path, sql: &str) -> Vec<String> {
    let connection = open(dir);
    let mut statement = connection.prepare(sql).expect(sql);
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let column = |at| {
            row.get_ref(at).map(|value| match value {
                rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                _ => "null".to_owned(),
            })
        };
        Ok((0..columns).map(column).collect::<Result<Vec<_>, _>>()?.join(" "))
    });
    rows.expect(sql).collect::<Result<_, _>>().expect(sql)
}

fn open(dir: &Path) -> Connection {
    Connection::open_with_flags(dir.join("core.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the store is there")
}
