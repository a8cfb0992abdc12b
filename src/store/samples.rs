//! What the nodes' machines looked like.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{NodeId, Time, stats::StatsSample};

/// `node_stats`.
#[async_trait]
pub trait Samples {
    /// Keeps samples, one a node and minute: the last word wins.
    async fn save_node_stats(&self, samples: &[StatsSample]) -> Result<(), StoreError>;
    /// The samples of a node from `from` on and before `to`, oldest first.
    async fn node_stats(&self, node: NodeId, from: Time, to: Time, limit: u32) -> Result<Vec<StatsSample>, StoreError>;
}
