//! What lives in memory, made and wired.

use std::sync::Arc;

use actix::{Actor as _, Addr, Arbiter, ArbiterHandle};

use crate::{
    catalog::{NodeSink, actor::CatalogActor, follow::Catalogue, ledger::Ledger, seat::Renderer},
    flush::{Flush, actor::FlushActor},
    jobs::samples::Collector,
    node::{Surroundings, keys::Keys, registry::Nodes},
    presence::actor::{self as presence, PresenceActor},
};

use super::{
    Ground,
    mirroring::Mirroring,
    sink::{Counting, Hearers, Seats},
};

/// What lives in memory: nodes, keys, and the actors around them.
pub(super) struct Live {
    pub(super) nodes: Nodes,
    pub(super) keys: Arc<Keys>,
    pub(super) seats: Arc<Seats>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) catalog: Addr<CatalogActor>,
    pub(super) presence: Addr<PresenceActor>,
    /// Samples on their way to the store.
    pub(super) samples: Arc<Collector>,
    pub(super) shards: Vec<ArbiterHandle>,
    pub(super) arbiters: Vec<Arbiter>,
}

impl Live {
    pub(super) fn new(ground: &Ground, mirroring: Option<&Mirroring>, renderer: Renderer) -> Self {
        let (store, clock) = (&ground.store, &ground.clock);
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let mut arbiters: Vec<_> = (0..count).map(|_| Arbiter::new()).collect();
        let shards: Vec<_> = arbiters.iter().map(Arbiter::handle).collect();
        let (ledger, crossed) = Ledger::new();
        let ledger = Arc::new(ledger);
        let mirror = mirroring.map(|it| it.mirror.clone());
        let arbiter = Arbiter::new();
        let presence = presence::Surroundings {
            store: Arc::clone(store),
            reflection: mirroring.map(|it| it.reflection(clock.clone())),
            events: ground.events.clone(),
            clock: clock.clone(),
        };
        let presence = PresenceActor::start_in_arbiter(&arbiter.handle(), move |_| PresenceActor::new(presence));
        arbiters.push(arbiter);
        let samples = Arc::<Collector>::default();
        let around = Surroundings {
            journal: ground.journal.clone(),
            meter: Arc::new(Counting(Arc::clone(&ledger))),
            audience: Arc::new(Hearers {
                presence: presence.clone(),
                mirror: mirror.clone(),
                samples: Arc::clone(&samples),
            }),
            events: ground.events.clone(),
            clock: clock.clone(),
        };
        let nodes = Nodes::new(shards.clone(), Arc::clone(store), around);
        let keys = Arc::new(Keys::default());
        let seats = Arc::new(Seats::new(nodes.clone(), Arc::clone(&keys), mirror));
        let sink: Arc<dyn NodeSink> = Arc::<Seats>::clone(&seats);
        let told = (ground.events.clone(), clock.clone());
        let catalogue = Catalogue::new(Arc::clone(store), sink, told, (Arc::clone(&ledger), crossed));
        let catalogue = catalogue.with_renderer(renderer);
        let arbiter = Arbiter::new();
        let catalog = CatalogActor::start_in_arbiter(&arbiter.handle(), move |_| CatalogActor::new(catalogue));
        arbiters.push(arbiter);
        Self {
            nodes,
            keys,
            seats,
            ledger,
            catalog,
            presence,
            samples,
            shards,
            arbiters,
        }
    }

    /// Only after everything is loaded: what the flush moves to the store must be in neither of two places.
    pub(super) fn start_flush(&mut self, ground: &Ground, instance: String) -> Addr<FlushActor> {
        let arbiter = Arbiter::new();
        let counting = Arc::new(Counting(Arc::clone(&self.ledger)));
        let flush = Flush::new(
            ground.journal.clone(),
            Arc::clone(&ground.store),
            counting,
            (instance, ground.clock.clone()),
        );
        let end = ground.journal.watch();
        arbiter.spawn_fn(give_way);
        let address = FlushActor::start_in_arbiter(&arbiter.handle(), move |_| FlushActor::new(flush, end));
        self.arbiters.push(arbiter);
        address
    }
}

/// How much the flush gives way, as `nice` counts: a busy processor has nine times as much time for a call.
const NICE: i32 = 10;

/// Calls go before the store: what waits for it is safe in the journal, and who calls waits.
fn give_way() {
    // Of the thread that calls it, on Linux.
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, "the flush has the priority of calls");
    }
}
