//! Looks who stopped calling.

use std::time::Duration;

use crate::{
    clock::Clock,
    node::{liveness::Watch, registry::Nodes},
};

/// How often it looks: a node is offline at most so much later than it could be.
pub const EVERY: Duration = Duration::from_secs(1);

/// See the module.
pub struct Watchdog {
    nodes: Nodes,
    clock: Clock,
    watch: Watch,
}

impl Watchdog {
    /// A watchdog that begins now.
    pub fn new(nodes: Nodes, clock: Clock, offline_after: Duration) -> Self {
        let watch = Watch::new(clock.now(), offline_after);
        Self { nodes, clock, watch }
    }

    /// Looks once.
    pub fn look(&mut self) {
        metrics::counter!("core_watchdog_looks_total").increment(1);
        self.nodes
            .judge(&self.watch.look(&self.nodes.pulses(), self.clock.now()));
    }
}
