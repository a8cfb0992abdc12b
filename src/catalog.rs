//! What configs are made of: the catalogue in memory, the checks, the renderer, the quotas, and the actor that keeps nodes up to date.

pub mod actor;
pub mod certificate;
pub mod check;
pub mod client;
pub mod credentials;
pub mod cut;
pub mod due;
mod ends;
pub mod follow;
pub mod ledger;
pub mod overlay;
mod placed;
pub mod render;
pub mod render_mtproto;
pub mod render_xray;
pub mod seat;
pub mod snapshot;
pub mod trial;
mod words;

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;

use crate::model::{
    NodeId,
    node::{NodeKey, Seed},
    node_config::NodeConfig,
};

/// Where the catalogue's truth about nodes goes. The composition root gives the one that leads to the node actors and the key
/// directory.
#[async_trait]
pub trait NodeSink: Send + Sync + 'static {
    /// The config that a node has now.
    fn current(&self, node: NodeId) -> Option<Arc<NodeConfig>>;
    /// A new node, or a new truth about one.
    fn adopt(&self, seed: Seed);
    /// These are all nodes, and all keys that live.
    fn complete(&self, nodes: &HashSet<NodeId>, keys: Vec<NodeKey>);
    /// Makes what all nodes have durable beside the journal, for the store can't.
    async fn keep(&self);
}
