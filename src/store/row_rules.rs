//! What a row of the catalogue may never say, whoever writes it.

use super::{
    StoreError,
    naming::Place,
    reserved::is_reserved_outbound,
    tables::{CatalogTables, NODES, Named},
};
use crate::model::catalog_change::{CatalogRow, RowRef};

/// A field of a row that must be the id of another row.
struct Reference {
    field: &'static str,
    table: &'static str,
    id: i64,
}

/// What the row refers to. Of a rule's outbound more is asked than that it is there.
fn references(row: &CatalogRow) -> Vec<Reference> {
    let to = |field, table, id| Reference { field, table, id };
    match row {
        CatalogRow::User(_) => Vec::new(),
        CatalogRow::Subscription(row) => vec![to("userId", "users", row.user_id.0)],
        CatalogRow::Link(row) => vec![to("userId", "users", row.user_id.0)],
        CatalogRow::SubscriptionLink(row) => {
            let subscription = row
                .subscription_id
                .map(|id| to("subscriptionId", "subscriptions", id.0));
            let link = to("linkId", "links", row.link_id.0);
            [link].into_iter().chain(subscription).collect()
        }
        CatalogRow::Protocol(row) => vec![to("nodeId", NODES, row.node_id.0)],
        CatalogRow::Outbound(row) => vec![to("nodeId", NODES, row.node_id.0)],
        CatalogRow::Rule(row) => vec![to("nodeId", NODES, row.node_id.0)],
        CatalogRow::Balancer(row) => vec![to("nodeId", NODES, row.node_id.0)],
    }
}

/// Checks a row that is about to be written. `there` is the row that has its id; callers who have compared the two themselves give none.
pub(super) async fn check<T: CatalogTables>(
    tables: &mut T,
    place: Place,
    row: &CatalogRow,
    there: Option<&CatalogRow>,
) -> Result<(), T::Error> {
    for Reference { field, table, id } in references(row) {
        must_exist(tables, place, field, table, id).await?;
    }
    if let Some(there) = there {
        must_stay(place, row, there)?;
    }
    let CatalogRow::Rule(rule) = row else {
        return Ok(());
    };
    if rule.outbound_id.is_some() == rule.balancer_tag.is_some() {
        let message = "or balancerTag must be given, and not both";
        return Err(place.refused("outboundId", message).into());
    }
    if let Some(outbound) = rule.outbound_id {
        let found = tables.row(RowRef::Outbound(outbound)).await?;
        if found.and_then(|found| found.node_id()) != Some(rule.node_id) {
            let message = format!("{outbound} is not an outbound of node {}", rule.node_id);
            return Err(place.refused("outboundId", message).into());
        }
    }
    Ok(())
}

/// A foreign key, said in the words of the caller.
pub(super) async fn must_exist<T: CatalogTables>(
    tables: &mut T,
    place: Place,
    field: &str,
    table: &'static str,
    id: i64,
) -> Result<(), T::Error> {
    if tables.is_there(table, id).await? {
        Ok(())
    } else {
        Err(place.refused(field, format!("{id} is not in {table}")).into())
    }
}

/// What belongs to a node counts for it for ever: a row never changes its node. `direct` and `block` count under their tags; a file that was not
/// written for this store could hit their ids.
fn must_stay(place: Place, row: &CatalogRow, there: &CatalogRow) -> Result<(), StoreError> {
    let id = there.reference().id();
    if let (Some(node), Some(other)) = (there.node_id(), row.node_id())
        && node != other
    {
        return Err(place.refused("id", format!("{id} is a row of node {node}")));
    }
    if let (CatalogRow::Outbound(there), CatalogRow::Outbound(row)) = (there, row)
        && there.tag != row.tag
        && is_reserved_outbound(&there.tag)
    {
        let message = format!("{id} is this node's outbound {:?}", there.tag);
        return Err(place.refused("id", message));
    }
    Ok(())
}

/// Notes what [`check`] will ask about a row.
pub(super) fn name(named: &mut Named, row: &CatalogRow) {
    for reference in references(row) {
        named.refer(reference.table, reference.id);
    }
    if let CatalogRow::Rule(row) = row
        && let Some(outbound) = row.outbound_id
    {
        named.read(RowRef::Outbound(outbound));
    }
}
