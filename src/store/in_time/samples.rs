//! Samples, in time.

use async_trait::async_trait;

use super::{InTime, LONG, QUICK, within};
use crate::{
    model::{NodeId, Time, stats::StatsSample},
    store::{Samples, StoreError},
};

#[async_trait]
impl Samples for InTime {
    async fn save_node_stats(&self, samples: &[StatsSample]) -> Result<(), StoreError> {
        within(LONG, self.0.save_node_stats(samples)).await
    }

    async fn node_stats(&self, node: NodeId, from: Time, to: Time, limit: u32) -> Result<Vec<StatsSample>, StoreError> {
        within(QUICK, self.0.node_stats(node, from, to, limit)).await
    }
}
