//! `catalog import`: rows by id, new or in place of what was there, all or nothing. The rules, for every store.

use serde_json::{Value, json};

use super::{
    naming::Place,
    row_rules,
    tables::{CatalogTables, NODES, Named},
};
use crate::model::{
    NodeId,
    catalog::{CatalogImport, ImportedNode, NodeProtocolLink},
    catalog_change::CatalogRow,
};

/// The rows of one table, under the name of its list in the file.
type List = (&'static str, Vec<CatalogRow>);

/// The file, in the order in which what refers to a row comes after it.
struct Lists {
    nodes: Vec<ImportedNode>,
    /// Up to the outbounds.
    first: Vec<List>,
    /// What may refer to outbounds.
    then: Vec<List>,
    members: Vec<NodeProtocolLink>,
}

impl Lists {
    fn of(import: CatalogImport) -> Self {
        fn rows<R>(rows: Vec<R>, row: fn(R) -> CatalogRow) -> Vec<CatalogRow> {
            rows.into_iter().map(row).collect()
        }
        let catalog = import.catalog;
        Self {
            nodes: import.nodes,
            first: vec![
                ("users", rows(catalog.users, CatalogRow::User)),
                ("subscriptions", rows(catalog.subscriptions, CatalogRow::Subscription)),
                ("links", rows(catalog.links, CatalogRow::Link)),
                (
                    "subscriptionLinks",
                    rows(catalog.subscription_links, CatalogRow::SubscriptionLink),
                ),
                ("nodeProtocols", rows(catalog.node_protocols, CatalogRow::Protocol)),
                ("nodeOutbounds", rows(catalog.node_outbounds, CatalogRow::Outbound)),
            ],
            then: vec![
                ("nodeBalancers", rows(catalog.node_balancers, CatalogRow::Balancer)),
                ("nodeRoutingRules", rows(catalog.node_routing_rules, CatalogRow::Rule)),
            ],
            members: catalog.node_protocol_links,
        }
    }

    /// What the file names.
    fn named(&self) -> Named {
        let mut named = Named::default();
        self.nodes.iter().for_each(|node| named.refer(NODES, node.id.0));
        for row in self.first.iter().chain(&self.then).flat_map(|(_, rows)| rows) {
            if row.node_id().is_some() {
                named.read(row.reference());
            }
            row_rules::name(&mut named, row);
        }
        for member in &self.members {
            named.refer("node_protocols", member.proto_id.0);
            named.refer("subscription_links", member.ls_id.0);
        }
        named
    }
}

/// Writes the rows of an import; see [`crate::store::Store::import`].
pub(super) async fn import<T: CatalogTables>(tables: &mut T, import: CatalogImport) -> Result<(), T::Error> {
    let counts = counts(&import);
    let lists = Lists::of(import);
    tables.expect(&lists.named()).await?;
    if let Err(fault) = write(tables, &lists).await {
        return Err(tables.first(fault).await);
    }
    tables.audit("catalog.import".to_owned(), None, counts).await?;
    tables.settle().await
}

async fn write<T: CatalogTables>(tables: &mut T, lists: &Lists) -> Result<(), T::Error> {
    let new_nodes = write_nodes(tables, &lists.nodes).await?;
    for list in &lists.first {
        write_rows(tables, list).await?;
    }
    // After the file's own outbounds, so that these ids can't be in the way of theirs.
    tables.reserve_outbounds(&new_nodes).await?;
    for list in &lists.then {
        write_rows(tables, list).await?;
    }
    write_members(tables, &lists.members).await
}

/// Writes nodes; gives those that are new.
async fn write_nodes<T: CatalogTables>(tables: &mut T, nodes: &[ImportedNode]) -> Result<Vec<NodeId>, T::Error> {
    let mut new = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let place = Place { list: "nodes", index };
        place.check_id(node.id.0)?;
        if !tables.is_there(NODES, node.id.0).await? {
            new.push(node.id);
        }
        tables.put_node(place, node).await?;
    }
    Ok(new)
}

async fn write_rows<T: CatalogTables>(tables: &mut T, (list, rows): &List) -> Result<(), T::Error> {
    for (index, row) in rows.iter().enumerate() {
        let place = Place { list, index };
        place.check_id(row.reference().id())?;
        // Only a node's rows are compared with what is there.
        let there = match row.node_id() {
            Some(_) => tables.row(row.reference()).await?,
            None => None,
        };
        row_rules::check(tables, place, row, there.as_ref()).await?;
        tables.put(place, row, false).await?;
    }
    Ok(())
}

async fn write_members<T: CatalogTables>(tables: &mut T, members: &[NodeProtocolLink]) -> Result<(), T::Error> {
    let mut joining = Vec::with_capacity(members.len());
    for (index, member) in members.iter().enumerate() {
        let place = Place {
            list: "nodeProtocolLinks",
            index,
        };
        row_rules::must_exist(tables, place, "protoId", "node_protocols", member.proto_id.0).await?;
        row_rules::must_exist(tables, place, "lsId", "subscription_links", member.ls_id.0).await?;
        joining.push((member.proto_id, member.ls_id));
    }
    tables.join(&joining).await?;
    Ok(())
}

fn counts(import: &CatalogImport) -> Value {
    let catalog = &import.catalog;
    json!({
        "nodes": import.nodes.len(),
        "users": catalog.users.len(),
        "subscriptions": catalog.subscriptions.len(),
        "links": catalog.links.len(),
        "subscriptionLinks": catalog.subscription_links.len(),
        "nodeProtocols": catalog.node_protocols.len(),
        "nodeProtocolLinks": catalog.node_protocol_links.len(),
        "nodeOutbounds": catalog.node_outbounds.len(),
        "nodeBalancers": catalog.node_balancers.len(),
        "nodeRoutingRules": catalog.node_routing_rules.len(),
    })
}
