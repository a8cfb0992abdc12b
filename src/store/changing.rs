//! Changes of the catalogue, as admins make them: in order, all or none. The rules, for every store.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    CatalogOutcome, StoreError,
    details::details,
    naming::Place,
    reserved::is_reserved_outbound,
    row_rules,
    table::Table,
    tables::{CatalogTables, Named},
};
use crate::model::{
    LinkId, LsId, OutboundId, ProtocolId, SubscriptionId, UserId,
    catalog_change::{CatalogChange, CatalogRow, RowRef, RowTag},
};

/// Why a list of changes is not made.
enum Stop<E> {
    /// It can't be.
    Fault(E),
    /// It does not fit what is there.
    Outcome(CatalogOutcome),
}

impl<E> From<E> for Stop<E> {
    fn from(error: E) -> Self {
        Self::Fault(error)
    }
}

/// Makes the changes; see [`crate::store::Store::change_catalog`].
pub(super) async fn change<T: CatalogTables>(
    tables: &mut T,
    changes: Vec<CatalogChange>,
) -> Result<CatalogOutcome, T::Error> {
    tables.expect(&named(&changes)).await?;
    let mut list = List {
        tables,
        index: 0,
        new_ids: HashMap::new(),
        put: Vec::new(),
    };
    let made = list.make_all(changes).await;
    let put = list.put;
    match made {
        Ok(()) => {
            tables.settle().await?;
            Ok(CatalogOutcome::Done(put))
        }
        // An outcome is no error, so the transaction is committed; what the list changed before it must not be.
        Err(Stop::Outcome(outcome)) => {
            tables.settle().await?;
            tables.undo().await?;
            Ok(outcome)
        }
        Err(Stop::Fault(fault)) => Err(tables.first(fault).await),
    }
}

/// What the list names.
fn named(changes: &[CatalogChange]) -> Named {
    let mut named = Named::default();
    for change in changes {
        match change {
            CatalogChange::Put { row, .. } => {
                let sent = row.reference();
                if sent.id() > 0 {
                    named.change(sent);
                } else {
                    named.add(row);
                }
                row_rules::name(&mut named, row);
            }
            CatalogChange::Delete { row, .. } => named.change(*row),
            CatalogChange::Join { protocol, links } => {
                named.read(RowRef::Protocol(*protocol));
                links.iter().for_each(|link| named.refer("subscription_links", link.0));
            }
            CatalogChange::Leave { protocol, .. } => named.read(RowRef::Protocol(*protocol)),
        }
    }
    named
}

/// A list of changes, made one by one.
struct List<'a, T> {
    tables: &'a mut T,
    /// Which change is made now.
    index: usize,
    /// The ids that new rows got, by those that the caller gave them (below 0).
    new_ids: HashMap<RowRef, i64>,
    /// The rows that were put.
    put: Vec<CatalogRow>,
}

impl<T: CatalogTables> List<'_, T> {
    async fn make_all(&mut self, changes: Vec<CatalogChange>) -> Result<(), Stop<T::Error>> {
        for (index, change) in changes.into_iter().enumerate() {
            self.index = index;
            match change {
                CatalogChange::Put { row, if_match } => self.put(row, if_match).await?,
                CatalogChange::Delete { row, if_match } => self.delete(row, if_match).await?,
                CatalogChange::Join { protocol, links } => self.join(protocol, &links).await?,
                CatalogChange::Leave { protocol, links } => self.leave(protocol, &links).await?,
            }
        }
        Ok(())
    }

    async fn put(&mut self, mut row: CatalogRow, if_match: Option<RowTag>) -> Result<(), Stop<T::Error>> {
        self.resolve(&mut row)?;
        let sent = row.reference();
        let before = if sent.id() > 0 {
            Some(self.there(sent, if_match).await?)
        } else if if_match.is_some() {
            return Err(Stop::Outcome(CatalogOutcome::Stale(sent)));
        } else {
            None
        };
        self.check(before.as_ref(), &row).await?;
        let deleted = if before.is_none() {
            self.deleted_alike(&row).await?
        } else {
            None
        };
        deleted.into_iter().for_each(|id| row.set_id(id.0));
        let id = self.write(&row, before.is_none() && deleted.is_none()).await?;
        if before.is_none() {
            self.place().check_id(id).map_err(T::Error::from)?;
            row.set_id(id);
            if sent.id() < 0 && self.new_ids.insert(sent, id).is_some() {
                return Err(self.refused("id", format!("{} is an earlier row's", sent.id())).into());
            }
        }
        let verb = if before.is_some() { "update" } else { "create" };
        self.audit(row.reference(), verb, details(before.as_ref(), Some(&row)).into())
            .await?;
        self.put.push(row);
        Ok(())
    }

    async fn write(&mut self, row: &CatalogRow, is_new: bool) -> Result<i64, T::Error> {
        let place = self.place();
        if !is_new {
            place.check_id(row.reference().id())?;
        }
        // Of the row that is there, `check` knows more than an import does.
        row_rules::check(self.tables, place, row, None).await?;
        self.tables.put(place, row, is_new).await
    }

    async fn delete(&mut self, row: RowRef, if_match: Option<RowTag>) -> Result<(), Stop<T::Error>> {
        let id = self.known("id", row)?;
        let row = (Table::of(row).reference)(id);
        let before = self.there(row, if_match).await?;
        if let CatalogRow::Outbound(outbound) = &before
            && is_reserved_outbound(&outbound.tag)
        {
            let message = format!("{:?} can't be deleted: every node has it", outbound.tag);
            return Err(self.refused("tag", message).into());
        }
        let with = self.tables.delete(row).await?;
        let mut details = details(Some(&before), None);
        if !with.is_empty() {
            details.insert("with".to_owned(), with.into());
        }
        self.audit(row, "delete", details.into()).await?;
        Ok(())
    }

    async fn join(&mut self, protocol: ProtocolId, links: &[LsId]) -> Result<(), Stop<T::Error>> {
        let protocol = self.inbound(protocol).await?;
        let mut members = Vec::with_capacity(links.len());
        for (at, link) in links.iter().enumerate() {
            let id = self.link(at, *link)?;
            let field = format!("links[{at}]");
            row_rules::must_exist(self.tables, self.place(), &field, "subscription_links", id.0).await?;
            members.push((protocol, id));
        }
        let joined = self.tables.join(&members).await?;
        self.audit(RowRef::Protocol(protocol), "join", json!({ "count": joined }))
            .await?;
        Ok(())
    }

    async fn leave(&mut self, protocol: ProtocolId, links: &[LsId]) -> Result<(), Stop<T::Error>> {
        let protocol = self.inbound(protocol).await?;
        let mut members = Vec::with_capacity(links.len());
        for (at, link) in links.iter().enumerate() {
            members.push((protocol, self.link(at, *link)?));
        }
        let left = self.tables.leave(&members).await?;
        self.audit(RowRef::Protocol(protocol), "leave", json!({ "count": left }))
            .await?;
        Ok(())
    }

    /// The inbound that credentials join or leave; a deleted one is not there.
    async fn inbound(&mut self, protocol: ProtocolId) -> Result<ProtocolId, Stop<T::Error>> {
        let id = ProtocolId(self.known("protocol", RowRef::Protocol(protocol))?);
        self.there(RowRef::Protocol(id), None).await?;
        Ok(id)
    }

    fn link(&self, at: usize, link: LsId) -> Result<LsId, T::Error> {
        if link.0 >= 0 {
            return Ok(link);
        }
        self.known(&format!("links[{at}]"), RowRef::SubscriptionLink(link))
            .map(LsId)
    }

    /// The row that is there now, if it is what the change expects.
    async fn there(&mut self, row: RowRef, if_match: Option<RowTag>) -> Result<CatalogRow, Stop<T::Error>> {
        let there = self.tables.row(row).await?.filter(|there| !there.is_deleted());
        match there {
            None => Err(Stop::Outcome(CatalogOutcome::Missing(row))),
            Some(there) if if_match.is_some_and(|expected| expected != there.tag()) => {
                Err(Stop::Outcome(CatalogOutcome::Stale(row)))
            }
            Some(there) => Ok(there),
        }
    }

    /// The deleted outbound of the same tag: reports name outbounds by their tags, so whoever has the tag again has its counters again.
    async fn deleted_alike(&mut self, row: &CatalogRow) -> Result<Option<OutboundId>, T::Error> {
        match row {
            CatalogRow::Outbound(row) => self.tables.deleted_outbound(row.node_id, &row.tag).await,
            _ => Ok(None),
        }
    }

    /// What no row may become, besides what no row may say.
    async fn check(&mut self, before: Option<&CatalogRow>, after: &CatalogRow) -> Result<(), T::Error> {
        if let (Some(node), Some(other)) = (before.and_then(CatalogRow::node_id), after.node_id())
            && node != other
        {
            return Err(self.refused("nodeId", format!("must stay {node}: what it counted is this node's")));
        }
        if after.is_deleted() {
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
                    Some(outbound) if led != Some(outbound) => self.must_not_be_deleted(outbound).await,
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    async fn must_not_be_deleted(&mut self, outbound: OutboundId) -> Result<(), T::Error> {
        let row = self.tables.row(RowRef::Outbound(outbound)).await?;
        if row.as_ref().is_some_and(CatalogRow::is_deleted) {
            return Err(self.refused("outboundId", format!("{outbound} was deleted")));
        }
        Ok(())
    }

    /// Puts real ids in place of those that earlier changes of the list gave to their new rows.
    fn resolve(&self, row: &mut CatalogRow) -> Result<(), T::Error> {
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
    fn known(&self, field: &str, row: RowRef) -> Result<i64, T::Error> {
        if row.id() >= 0 {
            return Ok(row.id());
        }
        self.new_ids.get(&row).copied().ok_or_else(|| {
            let message = format!("{} is not a new {} of an earlier change", row.id(), row.what());
            self.refused(field, message)
        })
    }

    async fn audit(&mut self, row: RowRef, verb: &str, details: Value) -> Result<(), T::Error> {
        let action = format!("{}.{verb}", Table::of(row).subject);
        self.tables.audit(action, Some(row.id()), details).await
    }

    fn refused(&self, field: &str, message: String) -> T::Error {
        let refused: StoreError = self.place().refused(field, message);
        refused.into()
    }

    fn place(&self) -> Place {
        Place {
            list: "changes",
            index: self.index,
        }
    }
}
