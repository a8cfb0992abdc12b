//! What an operator should know of the file: see [`crate::store::Store::checkup`].

use rusqlite::Connection;

use super::{fault::Fault, migrate};
use crate::model::finding::Finding;

/// Looks at what can be told without reading all of it.
pub(super) fn checkup(connection: &Connection) -> Result<Vec<Finding>, Fault> {
    let number = |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    let bytes = number("page_count")?.saturating_mul(number("page_size")?);
    let mib = bytes >> 20;
    let mut findings = vec![Finding::ok(format!("the store answers: embedded, {mib} MiB"))];
    findings.push(migrate::standing(connection)?.finding());
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" && bytes > 0 {
        findings.push(Finding::warn(
            format!("the embedded store keeps a journal of the kind {mode}: readers wait for the writer"),
            "The next start makes it a write-ahead log, if the disk can keep one.",
        ));
    }
    Ok(findings)
}
