//! Would this change leave something out of a config? Asked before an admin's change is made: so the 400 names the field, and not a node's list
//! of problems later.

use std::{
    collections::{BTreeSet, HashMap},
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::model::{
    LsId, NodeId,
    catalog_change::{CatalogChange, CatalogRow, RowRef},
    node_config::ConfigProblem,
};

use super::{check::distinct, follow::Catalogue};

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// Which change, where it is one.
    pub at: Option<usize>,
    /// What is wrong; it begins with the field.
    pub message: String,
}

impl Catalogue {
    /// Makes the changes, looks at what they do to the nodes that they touch, and takes them back. The first new problem is given.
    pub(super) fn try_changes(&mut self, changes: &[CatalogChange]) -> Option<Objection> {
        let nodes = self.touched(changes);
        if nodes.is_empty() {
            return None;
        }
        let undo = self.snapshot.overlay(changes);
        let after = self.problems(&nodes);
        self.snapshot.restore(undo);
        if after.is_empty() {
            return None;
        }
        let before = self.problems(&nodes);
        let own: HashMap<(&str, i64), usize> = changes
            .iter()
            .enumerate()
            .filter_map(|(at, change)| Some((own_row(change)?, at)))
            .collect();
        let new = |problem: &&ConfigProblem| !before.contains(problem);
        let worst = after
            .iter()
            .filter(new)
            .min_by_key(|problem| !own.contains_key(&(problem.table, problem.id)))?;
        let own = own.get(&(worst.table, worst.id)).copied();
        let (at, message) = match own {
            Some(at) => (Some(at), worst.message.clone()),
            None if worst.table == "subscription_links" => (self.shares(worst.id, changes), worst.message.clone()),
            None => {
                let ConfigProblem { table, id, message } = worst;
                (None, format!("{message} (it would leave out row {id} of {table})"))
            }
        };
        Some(Objection { at, message })
    }

    /// The change that puts these credentials, or others that engines take for them.
    fn shares(&self, id: i64, changes: &[CatalogChange]) -> Option<usize> {
        let uuid_of = |row: CatalogRow| match row {
            CatalogRow::SubscriptionLink(row) => Some(distinct(row.uuid)),
            _ => None,
        };
        let there = self.snapshot.row(RowRef::SubscriptionLink(LsId(id))).and_then(uuid_of);
        let puts = |at: &usize| match &changes[*at] {
            CatalogChange::Put {
                row: CatalogRow::SubscriptionLink(row),
                ..
            } => row.id.0 == id || Some(distinct(row.uuid)) == there,
            _ => false,
        };
        (0..changes.len()).rev().find(puts)
    }

    /// Only what stands in a config by itself can be wrong there: rows of nodes, and who is on an inbound.
    fn touched(&self, changes: &[CatalogChange]) -> BTreeSet<NodeId> {
        let mut nodes = BTreeSet::new();
        for change in changes {
            match change {
                CatalogChange::Put { row, .. } => match row {
                    CatalogRow::Protocol(row) => drop(nodes.insert(row.node_id)),
                    CatalogRow::Outbound(row) => drop(nodes.insert(row.node_id)),
                    CatalogRow::Rule(row) => drop(nodes.insert(row.node_id)),
                    CatalogRow::Balancer(row) => drop(nodes.insert(row.node_id)),
                    CatalogRow::SubscriptionLink(row) => {
                        nodes.extend(self.snapshot.touched_by(RowRef::SubscriptionLink(row.id)));
                    }
                    CatalogRow::User(_) | CatalogRow::Subscription(_) | CatalogRow::Link(_) => {}
                },
                CatalogChange::Delete {
                    row: row @ (RowRef::Outbound(_) | RowRef::Balancer(_)),
                    ..
                } => {
                    nodes.extend(self.snapshot.touched_by(*row));
                }
                CatalogChange::Join { protocol, .. } => {
                    nodes.extend(self.snapshot.touched_by(RowRef::Protocol(*protocol)));
                }
                CatalogChange::Delete { .. } | CatalogChange::Leave { .. } => {}
            }
        }
        nodes
    }

    fn problems(&self, nodes: &BTreeSet<NodeId>) -> Vec<ConfigProblem> {
        let now = self.clock.now();
        let records = nodes.iter().filter_map(|node| self.records.get(node));
        // What can't be rendered has no problems that could be named, and must not take the catalogue with it.
        let rendered = records.filter_map(|record| {
            catch_unwind(AssertUnwindSafe(|| {
                (self.renderer)(record, &self.snapshot, now).problems
            }))
            .ok()
        });
        rendered.flatten().collect()
    }
}

fn own_row(change: &CatalogChange) -> Option<(&'static str, i64)> {
    let CatalogChange::Put { row, .. } = change else {
        return None;
    };
    Some(match row {
        CatalogRow::Protocol(row) => ("node_protocols", row.id.0),
        CatalogRow::Outbound(row) => ("node_outbounds", row.id.0),
        CatalogRow::Rule(row) => ("node_routing_rules", row.id),
        CatalogRow::Balancer(row) => ("node_balancers", row.id),
        _ => return None,
    })
}
