//! Changes that are tried on the catalogue in memory, and taken back.

use std::collections::BTreeMap;

use crate::model::{
    LsId, ProtocolId,
    catalog::{Catalog, NodeProtocolLink},
    catalog_change::{CatalogChange, CatalogRow, RowRef},
};

use super::snapshot::Snapshot;

/// Who is on an inbound, each with its place.
type Members = BTreeMap<LsId, Option<i64>>;

/// What an overlay replaced.
#[derive(Debug, Default)]
pub struct Undo {
    rows: Catalog,
    gone: Vec<RowRef>,
    memberships: Vec<ProtocolId>,
}

impl Snapshot {
    /// Puts changes over what is there.
    pub fn overlay(&mut self, changes: &[CatalogChange]) -> Undo {
        let (mut undo, mut rows, mut gone) = (Undo::default(), Catalog::default(), Vec::new());
        let mut joined: BTreeMap<ProtocolId, Members> = BTreeMap::new();
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
                CatalogChange::Join { protocol, links } => {
                    let members = joined.entry(*protocol).or_insert_with(|| {
                        let there = self.members_of(*protocol);
                        undo.rows.node_protocol_links.extend(there.iter().copied());
                        there.into_iter().map(|member| (member.ls_id, member.slot)).collect()
                    });
                    join(members, links);
                }
                CatalogChange::Leave { .. } => {}
            }
        }
        let memberships: Vec<ProtocolId> = joined.keys().copied().collect();
        for (protocol, members) in joined {
            let member = |(ls, slot)| NodeProtocolLink {
                proto_id: protocol,
                ls_id: ls,
                slot,
            };
            rows.node_protocol_links.extend(members.into_iter().map(member));
        }
        self.apply(rows, &gone, &memberships);
        undo.memberships = memberships;
        undo
    }

    /// Takes an overlay back.
    pub fn restore(&mut self, undo: Undo) {
        self.apply(undo.rows, &undo.gone, &undo.memberships);
    }
}

/// A place that nobody has stands for the one that the store will give.
fn join(members: &mut Members, links: &[LsId]) {
    let mut next = members.values().flatten().max().unwrap_or(&1) + 1;
    for ls in links {
        members.entry(*ls).or_insert_with(|| {
            next += 1;
            Some(next - 1)
        });
    }
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
