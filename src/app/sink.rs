//! Leads the catalogue's truth to the nodes and the keys.

use std::{collections::HashSet, sync::Arc};

use crate::{
    catalog::NodeSink,
    model::{
        NodeId,
        node::{NodeKey, Seed},
        node_config::NodeConfig,
    },
    node::{keys::Keys, registry::Nodes},
};

/// See the module.
pub struct Seats {
    nodes: Nodes,
    keys: Arc<Keys>,
}

impl Seats {
    /// For these nodes and keys.
    pub const fn new(nodes: Nodes, keys: Arc<Keys>) -> Self {
        Self { nodes, keys }
    }
}

impl NodeSink for Seats {
    fn current(&self, node: NodeId) -> Option<Arc<NodeConfig>> {
        self.nodes.current_config(node)
    }

    fn adopt(&self, seed: Seed) {
        self.nodes.adopt(seed);
    }

    fn complete(&self, nodes: &HashSet<NodeId>, keys: Vec<NodeKey>) {
        self.nodes.retain(nodes);
        self.keys.replace(&keys);
    }
}
