//! Changes of the catalogue, as admins make them: in order, all or none.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;

use super::{
    admin::audit,
    codes::is_reserved_outbound,
    deleting,
    details::details,
    fault::Fault,
    table::Table,
    writing::{Place, Writer},
};
use crate::{
    model::{
        LinkId, LsId, NodeId, OutboundId, ProtocolId, SubscriptionId, UserId,
        catalog_change::{CatalogChange, CatalogRow, RowRef, RowTag},
    },
    store::{CatalogOutcome, Change},
};

/// Why a list of changes is not made.
enum Stop {
    /// It can't be.
    Fault(Fault),
    /// It does not fit what is there.
    Outcome(CatalogOutcome),
}

impl<E: Into<Fault>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fault(error.into())
    }
}

/// Makes the changes; see [`crate::store::Store::change_catalog`].
pub(super) fn change(
    transaction: &Connection,
    changes: Vec<CatalogChange>,
    by: &Change,
) -> Result<CatalogOutcome, Fault> {
    // An outcome is no error, so the transaction is committed; what the list changed before it must not be.
    transaction.execute_batch("SAVEPOINT changes")?;
    let mut list = List {
        transaction,
        by,
        index: 0,
        new_ids: HashMap::new(),
        put: Vec::new(),
    };
    let made = changes.into_iter().enumerate().try_for_each(|(index, change)| {
        list.index = index;
        list.make(change)
    });
    match made {
        Ok(()) => {
            transaction.execute_batch("RELEASE changes")?;
            Ok(CatalogOutcome::Done(list.put))
        }
        Err(Stop::Outcome(outcome)) => {
            transaction.execute_batch("ROLLBACK TO changes; RELEASE changes")?;
            Ok(outcome)
        }
        Err(Stop::Fault(fault)) => Err(fault),
    }
}

/// A list of changes, made one by one.
struct List<'a> {
    transaction: &'a Connection,
    by: &'a Change,
    /// Which change is made now.
    index: usize,
    /// The ids that new rows got, by those that the caller gave them (below 0).
    new_ids: HashMap<RowRef, i64>,
    /// The rows that were put.
    put: Vec<CatalogRow>,
}

impl List<'_> {
    fn make(&mut self, change: CatalogChange) -> Result<(), Stop> {
        match change {
            CatalogChange::Put { row, if_match } => self.put(row, if_match),
            CatalogChange::Delete { row, if_match } => self.delete(row, if_match),
            CatalogChange::Join { protocol, links } => self.join(protocol, &links),
            CatalogChange::Leave { protocol, links } => self.leave(protocol, &links),
        }
    }

    fn put(&mut self, mut row: CatalogRow, if_match: Option<RowTag>) -> Result<(), Stop> {
        self.resolve(&mut row)?;
        let sent = row.reference();
        let before = if sent.id() > 0 {
            Some(self.there(sent, if_match)?)
        } else if if_match.is_some() {
            return Err(Stop::Outcome(CatalogOutcome::Stale(sent)));
        } else {
            None
        };
        self.check(before.as_ref(), &row)?;
        let deleted = if before.is_none() {
            self.deleted_alike(&row)?
        } else {
            None
        };
        deleted.into_iter().for_each(|id| set_id(&mut row, id));
        let writer = self.writer(before.is_none() && deleted.is_none());
        write(&writer, &row)?;
        if before.is_none() {
            let id = deleted.unwrap_or_else(|| self.transaction.last_insert_rowid());
            writer.check_id(id)?;
            set_id(&mut row, id);
            if sent.id() < 0 && self.new_ids.insert(sent, id).is_some() {
                return Err(self.refused("id", format!("{} is an earlier row's", sent.id())).into());
            }
        }
        let verb = if before.is_some() { "update" } else { "create" };
        self.audit(row.reference(), verb, &details(before.as_ref(), Some(&row)).into())?;
        self.put.push(row);
        Ok(())
    }

    fn delete(&self, row: RowRef, if_match: Option<RowTag>) -> Result<(), Stop> {
        let id = self.known("id", row)?;
        let row = (Table::of(row).reference)(id);
        let before = self.there(row, if_match)?;
        if let CatalogRow::Outbound(outbound) = &before
            && is_reserved_outbound(&outbound.tag)
        {
            return Err(self
                .refused("tag", format!("{:?} can't be deleted: every node has it", outbound.tag))
                .into());
        }
        let with = deleting::delete(self.transaction, row, self.by.at)?;
        let mut details = details(Some(&before), None);
        if !with.is_empty() {
            details.insert("with".to_owned(), with.into());
        }
        self.audit(row, "delete", &details.into())?;
        Ok(())
    }

    fn join(&self, protocol: ProtocolId, links: &[LsId]) -> Result<(), Stop> {
        let protocol = self.inbound(protocol)?;
        let mut is_there = self
            .transaction
            .prepare_cached("SELECT 1 FROM subscription_links WHERE id = ?1")?;
        let mut insert = self.transaction.prepare_cached(
            "INSERT INTO node_protocol_links (proto_id, ls_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?;
        let mut joined = 0;
        for (at, link) in links.iter().enumerate() {
            let id = self.link(at, *link)?;
            if !is_there.exists([id])? {
                let message = format!("{id} is not in subscription_links");
                return Err(self.refused(&format!("links[{at}]"), message).into());
            }
            joined += insert.execute([protocol, id])?;
        }
        self.audit(
            RowRef::Protocol(ProtocolId(protocol)),
            "join",
            &json!({ "count": joined }),
        )?;
        Ok(())
    }

    fn leave(&self, protocol: ProtocolId, links: &[LsId]) -> Result<(), Stop> {
        let protocol = self.inbound(protocol)?;
        let mut delete = self
            .transaction
            .prepare_cached("DELETE FROM node_protocol_links WHERE proto_id = ?1 AND ls_id = ?2")?;
        let mut left = 0;
        for (at, link) in links.iter().enumerate() {
            left += delete.execute([protocol, self.link(at, *link)?])?;
        }
        self.audit(
            RowRef::Protocol(ProtocolId(protocol)),
            "leave",
            &json!({ "count": left }),
        )?;
        Ok(())
    }

    /// The inbound that credentials join or leave; a deleted one is not there.
    fn inbound(&self, protocol: ProtocolId) -> Result<i64, Stop> {
        let id = self.known("protocol", RowRef::Protocol(protocol))?;
        self.there(RowRef::Protocol(ProtocolId(id)), None)?;
        Ok(id)
    }

    fn link(&self, at: usize, link: LsId) -> Result<i64, Fault> {
        if link.0 >= 0 {
            return Ok(link.0);
        }
        self.known(&format!("links[{at}]"), RowRef::SubscriptionLink(link))
    }

    /// The row that is there now, if it is what the change expects.
    fn there(&self, row: RowRef, if_match: Option<RowTag>) -> Result<CatalogRow, Stop> {
        let there = Table::of(row).alive(self.transaction, row.id())?;
        match there {
            None => Err(Stop::Outcome(CatalogOutcome::Missing(row))),
            Some(there) if if_match.is_some_and(|expected| expected != there.tag()) => {
                Err(Stop::Outcome(CatalogOutcome::Stale(row)))
            }
            Some(there) => Ok(there),
        }
    }

    /// The deleted outbound of the same tag: reports name outbounds by their tags, so whoever has the tag again has its counters again.
    fn deleted_alike(&self, row: &CatalogRow) -> Result<Option<i64>, Fault> {
        let CatalogRow::Outbound(row) = row else {
            return Ok(None);
        };
        Ok(self
            .transaction
            .prepare_cached("SELECT id FROM node_outbounds WHERE node_id = ?1 AND tag = ?2 AND deleted_at IS NOT NULL")?
            .query_row(params![row.node_id, row.tag], |row| row.get(0))
            .optional()?)
    }

    /// What no row may become, besides what the writer checks.
    fn check(&self, before: Option<&CatalogRow>, after: &CatalogRow) -> Result<(), Fault> {
        if let (Some(node), Some(other)) = (before.and_then(node_of), node_of(after))
            && node != other
        {
            return Err(self.refused("nodeId", format!("must stay {node}: what it counted is this node's")));
        }
        if is_deleted(after) {
            return Err(self.refused("deletedAt", "is set by deleting the row".to_owned()));
        }
        match (before, after) {
            (Some(CatalogRow::Outbound(before)), CatalogRow::Outbound(after))
                if before.tag != after.tag && is_reserved_outbound(&before.tag) =>
            {
                Err(self.refused("tag", format!("{:?} can't be renamed: every node has it", before.tag)))
            }
            (before, CatalogRow::Rule(after)) => {
                let led = before.and_then(|before| match before {
                    CatalogRow::Rule(before) => before.outbound_id,
                    _ => None,
                });
                match after.outbound_id {
                    // A rule whose outbound was deleted under it can still be changed.
                    Some(outbound) if led != Some(outbound) => self.must_not_be_deleted(outbound),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn must_not_be_deleted(&self, outbound: OutboundId) -> Result<(), Fault> {
        let row = Table::of(RowRef::Outbound(outbound)).any(self.transaction, outbound.0)?;
        if row.as_ref().is_some_and(is_deleted) {
            return Err(self.refused("outboundId", format!("{outbound} was deleted")));
        }
        Ok(())
    }

    /// Puts real ids in place of those that earlier changes of the list gave to their new rows.
    fn resolve(&self, row: &mut CatalogRow) -> Result<(), Fault> {
        match row {
            CatalogRow::Subscription(row) => {
                row.user_id = UserId(self.known("userId", RowRef::User(row.user_id))?);
            }
            CatalogRow::Link(row) => {
                row.user_id = UserId(self.known("userId", RowRef::User(row.user_id))?);
            }
            CatalogRow::SubscriptionLink(row) => {
                row.link_id = LinkId(self.known("linkId", RowRef::Link(row.link_id))?);
                if let Some(subscription) = row.subscription_id {
                    let id = self.known("subscriptionId", RowRef::Subscription(subscription))?;
                    row.subscription_id = Some(SubscriptionId(id));
                }
            }
            CatalogRow::Rule(row) => {
                if let Some(outbound) = row.outbound_id {
                    row.outbound_id = Some(OutboundId(self.known("outboundId", RowRef::Outbound(outbound))?));
                }
            }
            CatalogRow::User(_) | CatalogRow::Protocol(_) | CatalogRow::Outbound(_) | CatalogRow::Balancer(_) => {}
        }
        Ok(())
    }

    /// The id in the store; one below 0 must be that of an earlier row of the list.
    fn known(&self, field: &str, row: RowRef) -> Result<i64, Fault> {
        if row.id() >= 0 {
            return Ok(row.id());
        }
        self.new_ids.get(&row).copied().ok_or_else(|| {
            let message = format!("{} is not a new {} of an earlier change", row.id(), row.what());
            self.refused(field, message)
        })
    }

    fn audit(&self, row: RowRef, verb: &str, details: &serde_json::Value) -> Result<(), Fault> {
        let action = format!("{}.{verb}", Table::of(row).subject);
        audit(self.transaction, self.by, &action, Some(row.id()), details)
    }

    fn refused(&self, field: &str, message: String) -> Fault {
        self.writer(false).refused(field, message)
    }

    fn writer(&self, is_new: bool) -> Writer<'_> {
        Writer {
            transaction: self.transaction,
            place: Place {
                list: "changes",
                index: self.index,
            },
            at: self.by.at,
            is_new,
        }
    }
}

fn write(writer: &Writer<'_>, row: &CatalogRow) -> Result<(), Fault> {
    match row {
        CatalogRow::User(row) => writer.user(row),
        CatalogRow::Subscription(row) => writer.subscription(row),
        CatalogRow::Link(row) => writer.link(row),
        CatalogRow::SubscriptionLink(row) => writer.subscription_link(row),
        CatalogRow::Protocol(row) => writer.protocol(row),
        CatalogRow::Outbound(row) => writer.outbound(row),
        CatalogRow::Rule(row) => writer.rule(row),
        CatalogRow::Balancer(row) => writer.balancer(row),
    }
}

fn set_id(row: &mut CatalogRow, id: i64) {
    match row {
        CatalogRow::User(row) => row.id = UserId(id),
        CatalogRow::Subscription(row) => row.id = SubscriptionId(id),
        CatalogRow::Link(row) => row.id = LinkId(id),
        CatalogRow::SubscriptionLink(row) => row.id = LsId(id),
        CatalogRow::Protocol(row) => row.id = ProtocolId(id),
        CatalogRow::Outbound(row) => row.id = OutboundId(id),
        CatalogRow::Rule(row) => row.id = id,
        CatalogRow::Balancer(row) => row.id = id,
    }
}

fn node_of(row: &CatalogRow) -> Option<NodeId> {
    match row {
        CatalogRow::Protocol(row) => Some(row.node_id),
        CatalogRow::Outbound(row) => Some(row.node_id),
        CatalogRow::Rule(row) => Some(row.node_id),
        CatalogRow::Balancer(row) => Some(row.node_id),
        _ => None,
    }
}

fn is_deleted(row: &CatalogRow) -> bool {
    match row {
        CatalogRow::Protocol(row) => row.deleted_at.is_some(),
        CatalogRow::Outbound(row) => row.deleted_at.is_some(),
        _ => false,
    }
}
