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
        let judgement = self.watch.look(&self.nodes.pulses(), self.clock.now());
        if let Some((lost, of)) = judgement.mass_loss {
            metrics::counter!("core_mass_losses_total").increment(1);
            tracing::error!(
                lost,
                of,
                "most of the fleet stopped calling at once: is it the nodes, or the way to them?"
            );
        }
        self.nodes.judge(&judgement);
    }
}
