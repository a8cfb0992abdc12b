//! `catalog import`: rows by id, new or in place of what was there, all or nothing.

use rusqlite::Connection;

use super::{
    admin::audit,
    codes::insert_reserved_outbounds,
    fault::Fault,
    writing::{Place, Writer},
};
use crate::{model::catalog::CatalogImport, store::Change};

/// Writes the rows of an import; what refers to a row comes after it.
pub(super) fn import(transaction: &Connection, import: &CatalogImport, by: &Change) -> Result<(), Fault> {
    let writer = |list| {
        move |index| Writer {
            transaction,
            place: Place { list, index },
            at: by.at,
            is_new: false,
        }
    };
    let catalog = &import.catalog;
    let new_nodes = each(&import.nodes, writer("nodes"), Writer::node)?;
    each(&catalog.users, writer("users"), Writer::user)?;
    each(&catalog.subscriptions, writer("subscriptions"), Writer::subscription)?;
    each(&catalog.links, writer("links"), Writer::link)?;
    each(
        &catalog.subscription_links,
        writer("subscriptionLinks"),
        Writer::subscription_link,
    )?;
    each(&catalog.node_protocols, writer("nodeProtocols"), Writer::protocol)?;
    each(&catalog.node_outbounds, writer("nodeOutbounds"), Writer::outbound)?;
    // After the file's own outbounds, so that these ids can't be in the way of theirs.
    for node in new_nodes.into_iter().flatten() {
        insert_reserved_outbounds(transaction, node)?;
    }
    each(&catalog.node_balancers, writer("nodeBalancers"), Writer::balancer)?;
    each(&catalog.node_routing_rules, writer("nodeRoutingRules"), Writer::rule)?;
    each(
        &catalog.node_protocol_links,
        writer("nodeProtocolLinks"),
        Writer::protocol_link,
    )?;
    audit(transaction, by, "catalog.import", None, &counts(import))
}

fn each<'a, Row, Done>(
    rows: &[Row],
    writer: impl Fn(usize) -> Writer<'a>,
    write: impl Fn(&Writer<'a>, &Row) -> Result<Done, Fault>,
) -> Result<Vec<Done>, Fault> {
    rows.iter()
        .enumerate()
        .map(|(index, row)| write(&writer(index), row))
        .collect()
}

fn counts(import: &CatalogImport) -> serde_json::Value {
    let catalog = &import.catalog;
    serde_json::json!({
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
