//! What is known of a node whether its actor runs or not.

use std::{sync::Arc, time::Duration};

use actix::Addr;

use crate::model::{
    NodeId, Time,
    node::{Seed, StoredState, SyncStatus},
    node_config::NodeConfig,
};

use super::{actor::NodeActor, vitals::Vitals};

/// The pause before a fallen actor is raised, doubled with every fall, and its top.
const REVIVE_AFTER: Duration = Duration::from_millis(100);
const REVIVE_AFTER_MAX: Duration = Duration::from_secs(10);

/// An actor that stood so long before it fell falls for the first time again.
const STEADY: Duration = Duration::from_mins(10);

/// What is known of a node whether its actor runs or not.
pub(super) struct Slot {
    pub(super) seed: Arc<Seed>,
    pub(super) vitals: Arc<Vitals>,
    pub(super) actor: Option<Home>,
    pub(super) falls: u32,
    pub(super) fell_at: Time,
    pub(super) not_before: Time,
}

/// Where an actor lives.
#[derive(Clone)]
pub(super) struct Home {
    pub(super) shard: usize,
    pub(super) addr: Addr<NodeActor>,
}

/// A node as lists show it, without asking its actor.
#[derive(Debug, Clone)]
pub struct NodeView {
    /// What is known of it.
    pub seed: Arc<Seed>,
    /// Its state now.
    pub state: StoredState,
    /// How many users are connected.
    pub online_users: u32,
    /// Whether its clock is off.
    pub clock_skew: bool,
}

impl Slot {
    pub(super) fn new(seed: Arc<Seed>) -> Self {
        let vitals = Arc::new(Vitals::new(seed.record.state));
        Self {
            seed,
            vitals,
            actor: None,
            falls: 0,
            fell_at: Time::default(),
            not_before: Time::default(),
        }
    }

    pub(super) fn view(&self, now: Time) -> NodeView {
        NodeView {
            seed: Arc::clone(&self.seed),
            state: self.vitals.state(),
            online_users: self.vitals.online_users(now),
            clock_skew: self.vitals.clock_skew(),
        }
    }

    /// The seed with its config under another revision; none if the config is not the one that was read, for then another was adopted since.
    pub(super) fn renumbered(&self, read: &Arc<NodeConfig>, lifted: Arc<NodeConfig>) -> Option<Seed> {
        if !Arc::ptr_eq(&self.seed.config, read) {
            return None;
        }
        let mut seed = Seed::clone(&self.seed);
        Arc::make_mut(&mut seed.record).revision = lifted.revision();
        seed.config = lifted;
        Some(seed)
    }

    pub(super) fn fell(&mut self, node: NodeId, now: Time) {
        self.actor = None;
        if now.since(self.fell_at) > STEADY {
            self.falls = 0;
        }
        self.fell_at = now;
        let pause = REVIVE_AFTER
            .saturating_mul(1 << self.falls.min(10))
            .min(REVIVE_AFTER_MAX);
        self.falls = self.falls.saturating_add(1);
        self.not_before = if self.falls == 1 { now } else { now.plus(pause) };
        metrics::counter!("core_node_actors_revived_total").increment(1);
        tracing::error!(node = %node, falls = self.falls, "a node's actor fell and is revived");
    }
}

/// Without an actor nobody else says that a node which ran the last revision now waits for the next.
pub(super) fn settle_without_actor(vitals: &Vitals, seed: &Seed) {
    let mut state = vitals.state();
    if state.sync_status == SyncStatus::Synced && state.applied_revision != seed.config.revision() {
        state.sync_status = SyncStatus::Pending;
        vitals.publish(state.applied_revision, state.sync_status, vitals.clock_skew());
    }
}

#[cfg(test)]
mod tests {
    use super::{super::state::tests::seed, *};

    fn lifted(config: &NodeConfig) -> Arc<NodeConfig> {
        Arc::new(config.with_revision(101))
    }

    #[test]
    fn a_config_gets_another_number_and_keeps_its_content() {
        let slot = Slot::new(seed(5));
        let read = Arc::clone(&slot.seed.config);
        let seed = slot.renumbered(&read, lifted(&read)).unwrap();
        assert_eq!((seed.record.revision, seed.config.revision()), (101, 101));
        assert_eq!(seed.config.hash(), read.hash());
    }

    #[test]
    fn a_config_that_came_meanwhile_is_not_covered_by_the_one_before() {
        let mut slot = Slot::new(seed(5));
        let read = Arc::clone(&slot.seed.config);
        slot.seed = seed(102);
        assert_eq!(slot.renumbered(&read, lifted(&read)), None);
        let read = Arc::clone(&slot.seed.config);
        assert!(slot.renumbered(&read, lifted(&read)).is_some());
    }

    #[test]
    fn what_else_came_meanwhile_stays() {
        let mut slot = Slot::new(seed(5));
        let read = Arc::clone(&slot.seed.config);
        let mut renamed = Seed::clone(&slot.seed);
        Arc::make_mut(&mut renamed.record).name = "de-2".to_owned();
        slot.seed = Arc::new(renamed);
        let seed = slot.renumbered(&read, lifted(&read)).unwrap();
        assert_eq!((seed.record.name.as_str(), seed.config.revision()), ("de-2", 101));
    }
}
