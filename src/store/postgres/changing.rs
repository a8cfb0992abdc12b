//! The tables that the rules of catalogue changes ask for. A question is a journey: what a list names is asked ahead, and what it puts waits
//! until something must see it, to be written a statement a table.

use std::mem::take;

use serde_json::{Map, Value};

use super::{
    admin::audit_all,
    deleting,
    fault::{Fault, Kind},
    ids,
    known::Known,
    line::Line,
    rows,
    writing::{self, Put},
};
use crate::{
    model::{
        LsId, NodeId, OutboundId, ProtocolId,
        catalog::{CatalogImport, ImportedNode},
        catalog_change::{CatalogChange, CatalogRow, RowRef},
    },
    store::{
        CatalogOutcome, Change, changing, importing,
        naming::Place,
        reserved::RESERVED_OUTBOUNDS,
        table::Table,
        tables::{CatalogTables, NODES, Named},
    },
};

/// Rows that wait at most, and members that one statement takes: each is then far from the time that a statement may take.
const ROWS_A_STATEMENT: usize = 5_000;

/// So few rows are written one by one: a statement a table, and what makes it safe to fail, would be as many journeys.
const FEW: usize = 3;

/// Makes the changes; see [`crate::store::Store::change_catalog`].
pub(super) async fn change(line: &Line, changes: Vec<CatalogChange>, by: &Change) -> Result<CatalogOutcome, Fault> {
    let mut tables = Tables::begin(line, by).await?;
    changing::change(&mut tables, changes).await
}

/// Writes the rows of an import; see [`crate::store::Store::import`].
pub(super) async fn import(line: &Line, import: &CatalogImport, by: &Change) -> Result<(), Fault> {
    let mut tables = Tables::begin(line, by).await?;
    importing::import(&mut tables, import.clone()).await?;
    for table in [
        NODES,
        "users",
        "subscriptions",
        "links",
        "subscription_links",
        "node_protocols",
        "node_outbounds",
        "node_routing_rules",
        "node_balancers",
    ] {
        ids::pass(line, table).await?;
    }
    Ok(())
}

struct Tables<'a> {
    line: &'a Line,
    by: &'a Change,
    known: Known,
    /// Rows that are not written yet, in the order of the list. Nothing that the store is asked may overtake them.
    waiting: Vec<(Place, Put)>,
    /// Lines of the audit log that are not written yet.
    lines: Vec<(String, Option<i64>, Value)>,
}

impl<'a> Tables<'a> {
    async fn begin(line: &'a Line, by: &'a Change) -> Result<Self, Fault> {
        line.batch("SAVEPOINT changes").await?;
        Ok(Self {
            line,
            by,
            known: Known::default(),
            waiting: Vec::new(),
            lines: Vec::new(),
        })
    }

    async fn wait(&mut self, place: Place, put: Put) -> Result<(), Fault> {
        put.must_be_storable(place)?;
        self.waiting.push((place, put));
        if self.waiting.len() >= ROWS_A_STATEMENT {
            self.write().await?;
        }
        Ok(())
    }

    /// Writes what waits.
    async fn write(&mut self) -> Result<(), Fault> {
        let waiting = take(&mut self.waiting);
        if waiting.len() > FEW {
            self.line.batch("SAVEPOINT waiting").await?;
            let written = writing::put(self.line, waiting.iter().map(|(_, put)| put), self.by.at).await;
            match written {
                Ok(()) => return self.line.batch("RELEASE waiting").await,
                Err(fault) if is_refusal(&fault) => {
                    let undo = "ROLLBACK TO waiting; RELEASE waiting";
                    self.line.batch(undo).await?;
                }
                Err(fault) => return Err(fault),
            }
        }
        // In the order of the list, so that the first that is refused is the one to name.
        for (place, put) in &waiting {
            let written = writing::put(self.line, [put].into_iter(), self.by.at).await;
            written.map_err(|fault| fault.blame(&place.to_string()))?;
        }
        Ok(())
    }
}

/// Whether it is about what was written.
fn is_refusal(fault: &Fault) -> bool {
    fault.kind() == Kind::Data || fault.broken_key().is_some()
}

impl CatalogTables for Tables<'_> {
    type Error = Fault;

    async fn expect(&mut self, named: &Named) -> Result<(), Fault> {
        self.known = Known::ask(self.line, named).await?;
        Ok(())
    }

    async fn row(&mut self, row: RowRef) -> Result<Option<CatalogRow>, Fault> {
        if let Some(known) = self.known.row(row) {
            return Ok(known);
        }
        self.write().await?;
        let table = Table::of(row);
        let sql = format!("SELECT * FROM {} WHERE id = $1 FOR KEY SHARE", table.name);
        match self.line.query_opt(&sql, &[&row.id()]).await? {
            Some(found) => rows::legible(table.name, &found, |row| rows::of(table, row)),
            None => Ok(None),
        }
    }

    async fn is_there(&mut self, table: &'static str, id: i64) -> Result<bool, Fault> {
        if let Some(known) = self.known.is_there(table, id) {
            return Ok(known);
        }
        self.write().await?;
        let sql = format!("SELECT 1 FROM {table} WHERE id = $1 FOR KEY SHARE");
        Ok(self.line.query_opt(&sql, &[&id]).await?.is_some())
    }

    async fn deleted_outbound(&mut self, node: NodeId, tag: &str) -> Result<Option<OutboundId>, Fault> {
        if let Some(known) = self.known.deleted_outbound(node, tag) {
            return Ok(known);
        }
        if tag.contains('\0') {
            return Ok(None);
        }
        self.write().await?;
        let sql = "SELECT id FROM node_outbounds WHERE node_id = $1 AND tag = $2 AND deleted_at IS NOT NULL";
        let found = self.line.query_opt(sql, &[&node, &tag]).await?;
        Ok(found.map(|row| row.try_get(0)).transpose()?)
    }

    async fn put(&mut self, place: Place, row: &CatalogRow, is_new: bool) -> Result<i64, Fault> {
        let mut row = row.clone();
        if is_new {
            let table = Table::of(row.reference()).name;
            row.set_id(self.known.id(self.line, table).await?);
        }
        let id = row.reference().id();
        self.wait(place, Put::Row(row.clone())).await?;
        self.known.put(row);
        Ok(id)
    }

    async fn put_node(&mut self, place: Place, node: &ImportedNode) -> Result<(), Fault> {
        self.wait(place, Put::Node(node.clone())).await?;
        self.known.arrive(NODES, node.id.0);
        Ok(())
    }

    async fn reserve_outbounds(&mut self, nodes: &[NodeId]) -> Result<(), Fault> {
        if nodes.is_empty() {
            return Ok(());
        }
        self.write().await?;
        // The file's own outbounds have ids that the sequence never gave.
        ids::pass(self.line, "node_outbounds").await?;
        let outbounds = &RESERVED_OUTBOUNDS;
        self.line
            .execute(
                include_str!("../../../sql/queries/postgres/outbounds_reserve.sql"),
                &[
                    &nodes,
                    &outbounds.each_ref().map(|it| it.tag).as_slice(),
                    &outbounds.each_ref().map(|it| it.protocol).as_slice(),
                    &outbounds.each_ref().map(|it| it.position).as_slice(),
                ],
            )
            .await?;
        Ok(())
    }

    async fn delete(&mut self, row: RowRef) -> Result<Map<String, Value>, Fault> {
        self.write().await?;
        self.known.forget(row);
        deleting::delete(self.line, row, self.by.at).await
    }

    async fn join(&mut self, members: &[(ProtocolId, LsId)]) -> Result<usize, Fault> {
        let sql = include_str!("../../../sql/queries/postgres/members_join.sql");
        self.write().await?;
        for_members(self.line, sql, members).await
    }

    async fn leave(&mut self, members: &[(ProtocolId, LsId)]) -> Result<usize, Fault> {
        let sql = include_str!("../../../sql/queries/postgres/members_leave.sql");
        self.write().await?;
        for_members(self.line, sql, members).await
    }

    async fn audit(&mut self, action: String, subject: Option<i64>, details: Value) -> Result<(), Fault> {
        self.lines.push((action, subject, details));
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Fault> {
        self.write().await?;
        let lines = take(&mut self.lines);
        for lines in lines.chunks(ROWS_A_STATEMENT) {
            audit_all(self.line, self.by, lines).await?;
        }
        Ok(())
    }

    async fn first(&mut self, fault: Fault) -> Fault {
        match self.write().await {
            // Where the database itself had failed, it only says that it did.
            Err(earlier) if !earlier.is_echo() => earlier,
            _ => fault,
        }
    }

    async fn undo(&mut self) -> Result<(), Fault> {
        self.line.batch("ROLLBACK TO changes").await
    }
}

/// Runs a statement for all of these; gives how many rows it changed.
async fn for_members(line: &Line, sql: &str, members: &[(ProtocolId, LsId)]) -> Result<usize, Fault> {
    let mut changed = 0;
    for members in members.chunks(ROWS_A_STATEMENT) {
        let (protocols, links): (Vec<ProtocolId>, Vec<LsId>) = members.iter().copied().unzip();
        changed += line.execute(sql, &[&protocols, &links]).await?;
    }
    Ok(usize::try_from(changed).unwrap_or(usize::MAX))
}
