//! What a list of changes will ask, asked all at once and held against others until the transaction ends; and what is known since.

use std::collections::{HashMap, VecDeque};

use futures_util::future::try_join_all;

use super::{fault::Fault, ids, line::Line, rows};
use crate::{
    model::{
        NodeId, OutboundId,
        catalog_change::{CatalogRow, RowRef},
    },
    store::{
        table::Table,
        tables::{Ids, Named},
    },
};

/// How rows are held that are changed: nobody else changes them.
const CHANGING: &str = "FOR NO KEY UPDATE";

/// How rows are held that are looked at or referred to: they stay, and their counters may grow.
const REFERRING: &str = "FOR KEY SHARE";

/// See the module. What is not in it must be asked.
#[derive(Default)]
pub(super) struct Known {
    rows: HashMap<RowRef, Option<CatalogRow>>,
    there: HashMap<(&'static str, i64), bool>,
    /// Deleted outbounds by their tags.
    deleted: HashMap<(NodeId, String), Option<OutboundId>>,
    /// Ids for new rows.
    ids: HashMap<&'static str, VecDeque<i64>>,
}

impl Known {
    /// Asks for what a list names.
    pub(super) async fn ask(line: &Line, named: &Named) -> Result<Self, Fault> {
        let mut known = Self::default();
        for (ids, lock) in [(&named.changed, CHANGING), (&named.read, REFERRING)] {
            known.ask_rows(line, ids, lock).await?;
        }
        known.ask_whether_there(line, &named.referred).await?;
        known.ask_deleted(line, &named.outbounds).await?;
        for (table, count) in &named.new {
            known.ids.insert(table, ids::take(line, table, *count).await?.into());
        }
        Ok(known)
    }

    async fn ask_rows(&mut self, line: &Line, named: &Ids, lock: &'static str) -> Result<(), Fault> {
        let tables = named
            .iter()
            .filter_map(|(name, ids)| Table::named(name).map(|table| (table, ids)));
        let asked = tables.map(|(table, ids)| async move {
            let ids: Vec<i64> = ids.iter().copied().collect();
            let sql = format!("SELECT * FROM {} WHERE id = ANY($1) ORDER BY id {lock}", table.name);
            let found = line.query(&sql, &[&ids]).await?;
            Ok::<_, Fault>((table, ids, found))
        });
        for (table, ids, found) in try_join_all(asked).await? {
            for id in ids {
                self.rows.entry((table.reference)(id)).or_default();
                self.there.entry((table.name, id)).or_default();
            }
            for row in found {
                self.there.insert((table.name, row.try_get(0)?), true);
                if let Some(row) = rows::legible(table.name, &row, |row| rows::of(table, row))? {
                    self.rows.insert(row.reference(), Some(row));
                }
            }
        }
        Ok(())
    }

    async fn ask_whether_there(&mut self, line: &Line, named: &Ids) -> Result<(), Fault> {
        let asked = named.iter().map(|(table, ids)| async move {
            let ids: Vec<i64> = ids.iter().copied().collect();
            let sql = format!("SELECT id FROM {table} WHERE id = ANY($1) ORDER BY id {REFERRING}");
            let found = line.query(&sql, &[&ids]).await?;
            Ok::<_, Fault>((*table, ids, found))
        });
        for (table, ids, found) in try_join_all(asked).await? {
            for id in ids {
                self.there.entry((table, id)).or_default();
            }
            for row in found {
                self.there.insert((table, row.try_get(0)?), true);
            }
        }
        Ok(())
    }

    async fn ask_deleted(&mut self, line: &Line, named: &[(NodeId, String)]) -> Result<(), Fault> {
        // No tag that is stored has a NUL.
        let asked = named.iter().filter(|(_, tag)| !tag.contains('\0'));
        let (nodes, tags): (Vec<NodeId>, Vec<&str>) = asked.map(|(node, tag)| (*node, tag.as_str())).unzip();
        if !nodes.is_empty() {
            let sql = include_str!("../../../sql/queries/postgres/outbounds_deleted.sql");
            for row in line.query(sql, &[&nodes, &tags]).await? {
                let key = (row.try_get("node_id")?, row.try_get("tag")?);
                self.deleted.insert(key, Some(row.try_get("id")?));
            }
        }
        for key in named {
            self.deleted.entry(key.clone()).or_default();
        }
        Ok(())
    }

    /// An id for a new row of the table.
    pub(super) async fn id(&mut self, line: &Line, table: &'static str) -> Result<i64, Fault> {
        if let Some(id) = self.ids.get_mut(table).and_then(VecDeque::pop_front) {
            return Ok(id);
        }
        let more = ids::take(line, table, 1).await?;
        more.first()
            .copied()
            .ok_or_else(|| Fault::away("a sequence gave no number"))
    }

    /// The row, if that is known.
    pub(super) fn row(&self, row: RowRef) -> Option<Option<CatalogRow>> {
        self.rows.get(&row).cloned()
    }

    /// Whether a row is there, if that is known.
    pub(super) fn is_there(&self, table: &'static str, id: i64) -> Option<bool> {
        self.there.get(&(table, id)).copied()
    }

    /// The deleted outbound of this tag, if that is known.
    pub(super) fn deleted_outbound(&self, node: NodeId, tag: &str) -> Option<Option<OutboundId>> {
        self.deleted.get(&(node, tag.to_owned())).copied()
    }

    /// A row is as the list wants it.
    pub(super) fn put(&mut self, row: CatalogRow) {
        let reference = row.reference();
        if let CatalogRow::Outbound(row) = &row
            && let Some(deleted) = self.deleted.get_mut(&(row.node_id, row.tag.clone()))
        {
            *deleted = None;
        }
        self.arrive(Table::of(reference).name, reference.id());
        self.rows.insert(reference, Some(row));
    }

    /// A row is there.
    pub(super) fn arrive(&mut self, table: &'static str, id: i64) {
        self.there.insert((table, id), true);
    }

    /// A row is deleted, and what can't be without it.
    pub(super) fn forget(&mut self, row: RowRef) {
        let gone: &[&str] = match row {
            RowRef::User(_) => &["subscriptions", "links", "subscription_links"],
            RowRef::Subscription(_) | RowRef::Link(_) => &["subscription_links"],
            RowRef::Outbound(_) => {
                self.deleted.clear();
                &[]
            }
            _ => &[],
        };
        self.rows
            .retain(|other, _| *other != row && !gone.contains(&Table::of(*other).name));
        let table = Table::of(row).name;
        self.there
            .retain(|(other, id), _| (*other, *id) != (table, row.id()) && !gone.contains(other));
    }
}
