//! What the rules of catalogue changes ask of a store.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{StoreError, naming::Place, table::Table};
use crate::model::{
    LsId, NodeId, OutboundId, ProtocolId,
    catalog::ImportedNode,
    catalog_change::{CatalogRow, RowRef},
};

/// The tables of the catalogue, inside of one transaction that ends in its audit rows.
///
/// Every question sees what was done before it. What is done may wait for [`CatalogTables::settle`], and be refused only then.
pub(super) trait CatalogTables {
    /// Why the store did not do it.
    type Error: From<StoreError>;

    /// Hears what a list names before the rules go through it, so that a store far away can ask for it all at once.
    async fn expect(&mut self, named: &Named) -> Result<(), Self::Error>;
    /// The row as it now is, deleted or not; one that can't be read is not there.
    async fn row(&mut self, row: RowRef) -> Result<Option<CatalogRow>, Self::Error>;
    /// Whether a row of the table has this id, deleted or not.
    async fn is_there(&mut self, table: &'static str, id: i64) -> Result<bool, Self::Error>;
    /// The deleted outbound of the node with this tag.
    async fn deleted_outbound(&mut self, node: NodeId, tag: &str) -> Result<Option<OutboundId>, Self::Error>;

    /// Writes the row with its id, or with one of the store's if it is new; gives the id. A broken constraint is a field of the row at `place`.
    async fn put(&mut self, place: Place, row: &CatalogRow, is_new: bool) -> Result<i64, Self::Error>;
    /// Writes a node, as [`CatalogTables::put`] writes a row with its id.
    async fn put_node(&mut self, place: Place, node: &ImportedNode) -> Result<(), Self::Error>;
    /// Gives these nodes the outbounds that every node has, where they do not have them.
    async fn reserve_outbounds(&mut self, nodes: &[NodeId]) -> Result<(), Self::Error>;
    /// Deletes a row, and what can't be without it; gives how many rows of which kind went with it.
    async fn delete(&mut self, row: RowRef) -> Result<Map<String, Value>, Self::Error>;
    /// Lets credentials use inbounds; all of them are there. Gives how many could not before.
    async fn join(&mut self, members: &[(ProtocolId, LsId)]) -> Result<usize, Self::Error>;
    /// Takes credentials off inbounds; gives how many were on them.
    async fn leave(&mut self, members: &[(ProtocolId, LsId)]) -> Result<usize, Self::Error>;
    /// Adds a line to the audit log. `details` must not hold a secret.
    async fn audit(&mut self, action: String, subject: Option<i64>, details: Value) -> Result<(), Self::Error>;

    /// Does what waits. Called before the transaction ends.
    async fn settle(&mut self) -> Result<(), Self::Error>;
    /// Does what waits after a fault that ends the list; gives the one that came first: what waits is earlier in the list.
    async fn first(&mut self, fault: Self::Error) -> Self::Error;
    /// Takes back all that was done.
    async fn undo(&mut self) -> Result<(), Self::Error>;
}

/// The name of the table that rows of nodes refer to.
pub(super) const NODES: &str = "nodes";

/// What a list names, as far as it has ids of the store.
#[derive(Default)]
pub(super) struct Named {
    /// Rows that are changed if they are what the list expects, by table.
    pub(super) changed: Ids,
    /// Rows whose content matters, by table.
    pub(super) read: Ids,
    /// Rows that must be there, by table.
    pub(super) referred: Ids,
    /// New outbounds, by node and tag: a deleted one may have been the same.
    pub(super) outbounds: Vec<(NodeId, String)>,
    /// How many rows are new, by table.
    pub(super) new: BTreeMap<&'static str, usize>,
}

/// Ids by table.
pub(super) type Ids = BTreeMap<&'static str, BTreeSet<i64>>;

impl Named {
    /// Notes a row that is changed.
    pub(super) fn change(&mut self, row: RowRef) {
        note(&mut self.changed, Table::of(row).name, row.id());
    }

    /// Notes a row that is read.
    pub(super) fn read(&mut self, row: RowRef) {
        note(&mut self.read, Table::of(row).name, row.id());
    }

    /// Notes a row that must be there.
    pub(super) fn refer(&mut self, table: &'static str, id: i64) {
        note(&mut self.referred, table, id);
    }

    /// Notes a new row.
    pub(super) fn add(&mut self, row: &CatalogRow) {
        *self.new.entry(Table::of(row.reference()).name).or_default() += 1;
        if let CatalogRow::Outbound(row) = row {
            self.outbounds.push((row.node_id, row.tag.clone()));
        }
    }
}

/// Ids below 1 are none of the store's.
fn note(ids: &mut Ids, table: &'static str, id: i64) {
    if id > 0 {
        ids.entry(table).or_default().insert(id);
    }
}
