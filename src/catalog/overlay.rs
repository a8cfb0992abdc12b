//! Changes that are tried on the catalogue in memory, and taken back.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::model::{
    LsId, ProtocolId,
    catalog::{Catalog, NodeProtocolLink},
    catalog_change::{CatalogChange, CatalogRow, RowRef},
};

use super::snapshot::Snapshot;

/// What an overlay replaced.
#[derive(Debug, Default)]
pub struct Undo {
    rows: Catalog,
    gone: Vec<RowRef>,
    memberships: BTreeSet<ProtocolId>,
}

impl Snapshot {
    /// Puts changes over what is there.
    pub fn overlay(&mut self, changes: &[CatalogChange]) -> Undo {
        let (mut undo, mut rows, mut gone) = (Undo::default(), Catalog::default(), Vec::new());
        let mut joined: BTreeMap<ProtocolId, Vec<LsId>> = BTreeMap::new();
        for change in changes {
            match change {
                CatalogChange::Put { row, .. } => {
                    match self.row(row.reference()) {
                        Some(there) => push(&mut undo.rows, there),
                        None => undo.gone.push(row.reference()),
                    }
                    push(&mut rows, row.clone());
                }
                CatalogChange::Delete { row, .. } => {
                    self.row(*row).into_iter().for_each(|there| push(&mut undo.rows, there));
                    gone.push(*row);
                }
                CatalogChange::Join { protocol, links } => joined.entry(*protocol).or_default().extend(links),
                CatalogChange::Leave { .. } => {}
            }
        }
        for (protocol, links) in joined {
            let there = self.members_of(protocol);
            rows.node_protocol_links.extend(with_members(protocol, &there, links));
            undo.rows.node_protocol_links.extend(there);
            undo.memberships.insert(protocol);
        }
        let memberships: Vec<ProtocolId> = undo.memberships.iter().copied().collect();
        self.apply(rows, &gone, &memberships);
        undo
    }

    /// Takes an overlay back.
    pub fn restore(&mut self, undo: Undo) {
        let memberships: Vec<ProtocolId> = undo.memberships.into_iter().collect();
        self.apply(undo.rows, &undo.gone, &memberships);
    }
}

/// The members of an inbound when these have joined.
fn with_members(protocol: ProtocolId, there: &[NodeProtocolLink], links: Vec<LsId>) -> Vec<NodeProtocolLink> {
    // A place that is free in no network of anybody stands for the one that the store will give.
    let next = there.iter().filter_map(|member| member.slot).max().unwrap_or(1) + 1;
    let known: HashSet<LsId> = there.iter().map(|member| member.ls_id).collect();
    let fresh = links.into_iter().filter(|ls| !known.contains(ls));
    let fresh = fresh.zip(next..).map(|(ls_id, slot)| NodeProtocolLink {
        proto_id: protocol,
        ls_id,
        slot: Some(slot),
    });
    there.iter().copied().chain(fresh).collect()
}

fn push(rows: &mut Catalog, row: CatalogRow) {
    match row {
        CatalogRow::User(row) => rows.users.push(row),
        CatalogRow::Subscription(row) => rows.subscriptions.push(row),
        CatalogRow::Link(row) => rows.links.push(row),
        CatalogRow::SubscriptionLink(row) => rows.subscription_links.push(row),
        CatalogRow::Protocol(row) => rows.node_protocols.push(row),
        CatalogRow::Outbound(row) => rows.node_outbounds.push(row),
        CatalogRow::Rule(row) => rows.node_routing_rules.push(row),
        CatalogRow::Balancer(row) => rows.node_balancers.push(row),
    }
}
