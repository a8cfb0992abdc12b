//! Would this change leave something out of a config? Asked before an admin's change is made: so the 400 names the field, and not a node's list
//! of problems later.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::model::{
    NodeId,
    catalog_change::{CatalogChange, CatalogRow, RowRef},
    node_config::ConfigProblem,
};

use super::follow::Catalogue;

impl Catalogue {
    /// Makes the changes, looks at what they do to the nodes that they touch, and takes them back. The first new problem is given.
    pub(super) fn try_changes(&mut self, changes: &[CatalogChange]) -> Option<String> {
        let nodes = self.touched(changes);
        if nodes.is_empty() {
            return None;
        }
        let before = self.problems(&nodes);
        let undo = self.snapshot.overlay(changes);
        let after = self.problems(&nodes);
        self.snapshot.restore(undo);
        let own: BTreeSet<(&str, i64)> = changes.iter().filter_map(own_row).collect();
        let new = |problem: &&ConfigProblem| !before.contains(problem);
        after
            .iter()
            .filter(new)
            .min_by_key(|problem| !own.contains(&(problem.table, problem.id)))
            .map(|problem| {
                if own.contains(&(problem.table, problem.id)) || problem.table == "subscription_links" {
                    problem.message.clone()
                } else {
                    format!(
                        "{} (it would leave out row {} of {})",
                        problem.message, problem.id, problem.table
                    )
                }
            })
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
