//! The tables that the rules of catalogue changes ask for. `SQLite` is in this process, so nothing waits and nothing is asked ahead.

use futures_util::FutureExt as _;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};

use super::{admin, codes, deleting, fault::Fault, table, writing};
use crate::{
    model::{
        LsId, NodeId, OutboundId, ProtocolId,
        catalog::{CatalogImport, ImportedNode},
        catalog_change::{CatalogChange, CatalogRow, RowRef},
    },
    store::{
        CatalogOutcome, Change, StoreError, changing, importing,
        naming::Place,
        tables::{CatalogTables, Named},
    },
};

/// Makes the changes; see [`crate::store::Store::change_catalog`].
pub(super) fn change(
    transaction: &Connection,
    changes: Vec<CatalogChange>,
    by: &Change,
) -> Result<CatalogOutcome, Fault> {
    let mut tables = Tables::begin(transaction, by)?;
    at_once(changing::change(&mut tables, changes))
}

/// Writes the rows of an import; see [`crate::store::Store::import`].
pub(super) fn import(transaction: &Connection, import: CatalogImport, by: &Change) -> Result<(), Fault> {
    let mut tables = Tables::begin(transaction, by)?;
    at_once(importing::import(&mut tables, import))
}

/// Nothing that these tables are asked waits for anything.
fn at_once<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    work.now_or_never()
        .unwrap_or_else(|| Err(StoreError::Broken("the rules waited for an embedded store".to_owned()).into()))
}

struct Tables<'a> {
    transaction: &'a Connection,
    by: &'a Change,
}

impl<'a> Tables<'a> {
    fn begin(transaction: &'a Connection, by: &'a Change) -> Result<Self, Fault> {
        transaction.execute_batch("SAVEPOINT changes")?;
        Ok(Self { transaction, by })
    }
}

impl CatalogTables for Tables<'_> {
    type Error = Fault;

    async fn expect(&mut self, _: &Named) -> Result<(), Fault> {
        Ok(())
    }

    async fn row(&mut self, row: RowRef) -> Result<Option<CatalogRow>, Fault> {
        table::any(self.transaction, row)
    }

    async fn is_there(&mut self, table: &'static str, id: i64) -> Result<bool, Fault> {
        Ok(self
            .transaction
            .prepare_cached(&format!("SELECT 1 FROM {table} WHERE id = ?1"))?
            .exists([id])?)
    }

    async fn deleted_outbound(&mut self, node: NodeId, tag: &str) -> Result<Option<OutboundId>, Fault> {
        Ok(self
            .transaction
            .prepare_cached("SELECT id FROM node_outbounds WHERE node_id = ?1 AND tag = ?2 AND deleted_at IS NOT NULL")?
            .query_row(params![node, tag], |row| row.get(0))
            .optional()?)
    }

    async fn put(&mut self, place: Place, row: &CatalogRow, is_new: bool) -> Result<i64, Fault> {
        let given = (!is_new).then(|| row.reference().id());
        writing::put(self.transaction, row, given, self.by.at).map_err(|fault| fault.blame(&place.to_string()))?;
        Ok(given.unwrap_or_else(|| self.transaction.last_insert_rowid()))
    }

    async fn put_node(&mut self, place: Place, node: &ImportedNode) -> Result<(), Fault> {
        writing::put_node(self.transaction, node, self.by.at).map_err(|fault| fault.blame(&place.to_string()))
    }

    async fn reserve_outbounds(&mut self, nodes: &[NodeId]) -> Result<(), Fault> {
        nodes
            .iter()
            .try_for_each(|node| codes::insert_reserved_outbounds(self.transaction, *node))
    }

    async fn delete(&mut self, row: RowRef) -> Result<Map<String, Value>, Fault> {
        deleting::delete(self.transaction, row, self.by.at)
    }

    async fn join(&mut self, members: &[(ProtocolId, LsId)]) -> Result<usize, Fault> {
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO node_protocol_links (proto_id, ls_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?;
        let mut joined = 0;
        for (protocol, link) in members {
            joined += insert.execute(params![protocol, link])?;
        }
        Ok(joined)
    }

    async fn leave(&mut self, members: &[(ProtocolId, LsId)]) -> Result<usize, Fault> {
        let mut delete = self
            .transaction
            .prepare_cached("DELETE FROM node_protocol_links WHERE proto_id = ?1 AND ls_id = ?2")?;
        let mut left = 0;
        for (protocol, link) in members {
            left += delete.execute(params![protocol, link])?;
        }
        Ok(left)
    }

    async fn audit(&mut self, action: String, subject: Option<i64>, details: Value) -> Result<(), Fault> {
        admin::audit(self.transaction, self.by, &action, subject, &details)
    }

    async fn settle(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    async fn first(&mut self, fault: Fault) -> Fault {
        fault
    }

    async fn undo(&mut self) -> Result<(), Fault> {
        Ok(self.transaction.execute_batch("ROLLBACK TO changes")?)
    }
}
