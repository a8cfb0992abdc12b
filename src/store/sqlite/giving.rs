//! Reads everything that is moved to another store, as of one moment.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, OptionalExtension as _, Statement};

use super::{
    connection::{Line, Purpose},
    fault::Fault,
    migrate,
};
use crate::store::{
    StoreError,
    moving::{TABLES, Table, Tally},
};

/// An embedded store that is moved. It is only read, and seen as it was when this was made.
pub struct Source(Connection);

impl Source {
    /// Opens the file, which must be there and up to date.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::begin(path).map_err(Fault::into_store_error)
    }

    fn begin(path: &Path) -> Result<Self, Fault> {
        let connection = Line::existing(path, Purpose::Read).into_connection()?;
        // Held until this goes: whatever is written meanwhile is not seen.
        connection.execute_batch("BEGIN")?;
        let standing = migrate::standing(&connection)?;
        if !standing.is_current() {
            let why = "is not this version's: run `vpn-core migrate` of this version on it first, without DATABASE_URL";
            return Err(Fault::refused("its schema", why));
        }
        Ok(Self(connection))
    }

    /// What it holds of each table, in the order of the list.
    pub(in crate::store) fn tallies(&self) -> Result<Vec<Tally>, StoreError> {
        let tallies = TABLES
            .iter()
            .map(|table| self.tally(table))
            .collect::<Result<_, Fault>>();
        tallies.map_err(Fault::into_store_error)
    }

    /// Summed in halves of 32 bits: sum() fails where a sum leaves 64 bits.
    fn tally(&self, table: &Table) -> Result<Tally, Fault> {
        let halves =
            |name| format!(", count({name}), coalesce(sum({name} >> 32), 0), coalesce(sum({name} & 4294967295), 0)");
        let sums: String = table.summed().map(halves).collect();
        let sql = format!("SELECT count(*){sums} FROM {}", table.name);
        let tally = self.0.query_row(&sql, [], |row| {
            let mut sums = BTreeMap::new();
            for (at, name) in table.summed().enumerate() {
                let column = |offset| row.get::<_, i64>(1 + 3 * at + offset);
                let sum = (i128::from(column(1)?) << 32) + i128::from(column(2)?);
                sums.insert(name, (column(0)?, sum));
            }
            Ok(Tally {
                rows: row.get(0)?,
                sums,
            })
        });
        Ok(tally?)
    }

    /// All rows of a table, with the columns of the list.
    pub(in crate::store) fn rows(&self, table: &Table) -> Result<Statement<'_>, StoreError> {
        let sql = format!("SELECT {} FROM {}", table.column_list(), table.name);
        self.0
            .prepare(&sql)
            .map_err(|error| Fault::from(error).into_store_error())
    }

    /// The highest number that it ever gave to a row of this table, though that may be gone: it is never given again.
    pub(in crate::store) fn last_id(&self, table: &Table) -> Result<i64, StoreError> {
        let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
        let seq = self.0.query_row(sql, [table.name], |row| row.get(0)).optional();
        seq.map(Option::unwrap_or_default)
            .map_err(|error| Fault::from(error).into_store_error())
    }
}

/// What the file says when it can't be read.
pub(in crate::store) fn read_failed(error: rusqlite::Error) -> StoreError {
    Fault::from(error).into_store_error()
}
