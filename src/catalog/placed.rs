//! Rows that belong to nodes: what is on a node is found at once, and a row leads to its node.
//!
//! A fleet has tens of thousands of nodes with a few rows each, so a node's rows lie side by side without room to grow. A tree a node would hold room for
//! eleven rows from the first on: 5 KB a node, measured.

use std::{collections::HashMap, hash::Hash};

use crate::model::{
    NodeId, OutboundId, ProtocolId,
    catalog::{NodeBalancer, NodeOutbound, NodeProtocol, NodeRoutingRule},
};

/// A row that belongs to a node.
pub trait Placed {
    /// Its identity.
    type Id: Copy + Eq + Hash + Ord;
    /// Its identity.
    fn id(&self) -> Self::Id;
    /// Whose it is.
    fn node(&self) -> NodeId;
    /// Its place among the node's.
    fn position(&self) -> i64;
}

/// See the module.
#[derive(Debug)]
pub struct Places<Row: Placed> {
    rows: HashMap<NodeId, Vec<Row>>,
    nodes: HashMap<Row::Id, NodeId>,
}

impl<Row: Placed> Default for Places<Row> {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            nodes: HashMap::new(),
        }
    }
}

impl<Row: Placed> Places<Row> {
    /// What is on a node, in the order of the config.
    pub fn on(&self, node: NodeId) -> &[Row] {
        self.rows.get(&node).map_or(&[], Vec::as_slice)
    }

    /// The node that a row is on.
    pub fn node_of(&self, id: Row::Id) -> Option<NodeId> {
        self.nodes.get(&id).copied()
    }

    /// A row.
    pub fn get(&self, id: Row::Id) -> Option<&Row> {
        self.on(self.node_of(id)?).iter().find(|row| row.id() == id)
    }

    /// Takes a row, in the place of the one that has its identity.
    pub fn put(&mut self, row: Row) {
        self.remove(row.id());
        self.nodes.insert(row.id(), row.node());
        let rows = self.rows.entry(row.node()).or_default();
        let place = rows.partition_point(|other| (other.position(), other.id()) < (row.position(), row.id()));
        rows.reserve_exact(1);
        rows.insert(place, row);
    }

    /// Takes a row out.
    pub fn remove(&mut self, id: Row::Id) {
        let Some(node) = self.nodes.remove(&id) else { return };
        if let Some(rows) = self.rows.get_mut(&node) {
            rows.retain(|row| row.id() != id);
            if rows.is_empty() {
                self.rows.remove(&node);
            }
        }
    }
}

macro_rules! placed {
    ($row:ident, $id:ty, $position:expr) => {
        impl Placed for $row {
            type Id = $id;
            fn id(&self) -> $id {
                self.id
            }
            fn node(&self) -> NodeId {
                self.node_id
            }
            fn position(&self) -> i64 {
                let position: fn(&Self) -> i64 = $position;
                position(self)
            }
        }
    };
}

placed!(NodeProtocol, ProtocolId, |row| row.position);
placed!(NodeOutbound, OutboundId, |row| row.position);
placed!(NodeRoutingRule, i64, |row| row.position);
placed!(NodeBalancer, i64, |_| 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: i64, node: i64, position: i64) -> NodeRoutingRule {
        let row = serde_json::json!({"id": id, "nodeId": node, "position": position, "rule": {}});
        serde_json::from_value(row).unwrap()
    }

    fn on(places: &Places<NodeRoutingRule>, node: i64) -> Vec<i64> {
        places.on(NodeId(node)).iter().map(|row| row.id).collect()
    }

    #[test]
    fn a_nodes_rows_lie_in_the_order_of_the_config() {
        let mut places = Places::default();
        for row in [rule(5, 1, 2), rule(2, 1, 2), rule(9, 1, 1), rule(3, 2, 0)] {
            places.put(row);
        }
        assert_eq!((on(&places, 1), on(&places, 2)), (vec![9, 2, 5], vec![3]));
        places.put(rule(2, 1, 7));
        assert_eq!(on(&places, 1), [9, 5, 2]);
        assert_eq!(places.get(2).map(|row| row.position), Some(7));
    }

    #[test]
    fn a_row_that_moves_leaves_nothing_behind() {
        let mut places = Places::default();
        places.put(rule(1, 1, 0));
        places.put(rule(1, 2, 0));
        assert_eq!((on(&places, 1), on(&places, 2)), (vec![], vec![1]));
        assert_eq!(places.node_of(1), Some(NodeId(2)));
        places.remove(1);
        assert_eq!((on(&places, 2), places.node_of(1)), (vec![], None));
        assert!(places.rows.is_empty());
    }
}
