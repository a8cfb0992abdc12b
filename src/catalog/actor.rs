//! The actor that follows the catalogue: looks whether it moved, renders what it touches, and hands every node its truth.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, AtomicResponse, Context, Handler, Message, WrapFuture as _,
};

use crate::{
    clock::Clock,
    model::{
        node::{NodeRecord, Seed},
        node_config::NodeConfig,
    },
    store::{Fleet, Store, StoreError},
};

use super::{NodeSink, render::render, snapshot::Snapshot};

/// How often the store is asked whether the catalogue moved. One look-up of one number; a panel's change is on its way to the nodes within
/// this and one loading.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// See the module.
pub struct CatalogActor {
    store: Arc<dyn Store>,
    sink: Arc<dyn NodeSink>,
    clock: Clock,
    snapshot: Arc<Snapshot>,
    /// The change up to which everything is known; `None` = nothing is.
    seq: Option<i64>,
    /// Whether the last look at the store failed: it is said once.
    away: bool,
}

impl CatalogActor {
    /// A catalogue that knows nothing yet.
    pub fn new(store: Arc<dyn Store>, sink: Arc<dyn NodeSink>, clock: Clock) -> Self {
        Self {
            store,
            sink,
            clock,
            snapshot: Arc::default(),
            seq: None,
            away: false,
        }
    }

    fn learn(&mut self, loaded: Result<Option<Loaded>, StoreError>) -> Result<(), StoreError> {
        match loaded {
            Ok(loaded) => {
                if std::mem::take(&mut self.away) {
                    tracing::info!("the store answers again: the catalogue is up to date");
                }
                if let Some(loaded) = loaded {
                    self.snapshot = loaded.snapshot;
                    self.seq = loaded.settled.then_some(loaded.seq);
                }
                Ok(())
            }
            Err(error) => {
                if !std::mem::replace(&mut self.away, true) {
                    tracing::error!(%error, "the catalogue can't be read: nodes keep what they have");
                }
                Err(error)
            }
        }
    }
}

impl Actor for CatalogActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(LOOK_EVERY, |_, context| {
            // One look at a time: while one is under way the mailbox holds at most this next one.
            if let Err(error) = context.address().try_send(Reload { always: false }) {
                tracing::debug!(%error, "the catalogue is busy: this look is left out");
            }
        });
    }
}

/// Loads the catalogue and brings every node up to date. Without `always` only if it moved.
#[derive(Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct Reload {
    /// Whether it moved or not.
    pub always: bool,
}

impl Handler<Reload> for CatalogActor {
    type Result = AtomicResponse<Self, Result<(), StoreError>>;

    fn handle(&mut self, Reload { always }: Reload, _: &mut Self::Context) -> Self::Result {
        let known = if always { None } else { self.seq };
        let loading = load(
            Arc::clone(&self.store),
            Arc::clone(&self.sink),
            self.clock.clone(),
            known,
        );
        AtomicResponse::new(Box::pin(
            loading.into_actor(self).map(|loaded, actor, _| actor.learn(loaded)),
        ))
    }
}

/// A node that just registered: renders its config from what is known, and hands both on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Welcome(pub NodeRecord);

impl Handler<Welcome> for CatalogActor {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, Welcome(record): Welcome, _: &mut Self::Context) -> Self::Result {
        let seating = seat(
            Arc::clone(&self.store),
            Arc::clone(&self.sink),
            Arc::clone(&self.snapshot),
            record,
            self.clock.clone(),
        );
        AtomicResponse::new(Box::pin(seating.into_actor(self).map(|seated, actor, _| {
            if !seated {
                actor.seq = None;
            }
        })))
    }
}

/// What a loading came to.
struct Loaded {
    seq: i64,
    snapshot: Arc<Snapshot>,
    /// Whether every node got its revision; if not, the next look loads again.
    settled: bool,
}

/// Loads and hands on, unless the catalogue is still at `known`.
async fn load(
    store: Arc<dyn Store>,
    sink: Arc<dyn NodeSink>,
    clock: Clock,
    known: Option<i64>,
) -> Result<Option<Loaded>, StoreError> {
    if known.is_some() && known == Some(store.catalog_seq().await?) {
        return Ok(None);
    }
    let Fleet {
        catalog_seq,
        nodes,
        keys,
        catalog,
    } = store.load_fleet().await?;
    let snapshot = Arc::new(Snapshot::new(catalog));
    let ids: HashSet<_> = nodes.iter().map(|node| node.id).collect();
    let mut settled = true;
    for record in nodes {
        let (store, sink, snapshot) = (Arc::clone(&store), Arc::clone(&sink), Arc::clone(&snapshot));
        settled &= seat(store, sink, snapshot, record, clock.clone()).await;
    }
    sink.complete(&ids, keys);
    tracing::debug!(seq = catalog_seq, nodes = ids.len(), "the catalogue was loaded");
    Ok(Some(Loaded {
        seq: catalog_seq,
        snapshot,
        settled,
    }))
}

/// Renders one node and hands it its truth. False if the store did not give it a revision: the node keeps the config that it has.
async fn seat(
    store: Arc<dyn Store>,
    sink: Arc<dyn NodeSink>,
    snapshot: Arc<Snapshot>,
    mut record: NodeRecord,
    clock: Clock,
) -> bool {
    let rendered = render(&record, &snapshot, clock.now());
    let hash = rendered.hash();
    let current = sink.current(record.id);
    let settled = if record.config_hash == Some(hash) {
        Ok(Some(record.revision))
    } else {
        store.settle_revision(record.id, hash, 0).await
    };
    let config = match (settled, current) {
        (Ok(Some(revision)), current) => {
            let kept = current.filter(|it| {
                it.revision() == revision && it.hash() == hash && it.problems() == rendered.problems.as_slice()
            });
            kept.unwrap_or_else(|| Arc::new(NodeConfig::new(revision, rendered)))
        }
        (Ok(None), _) => return true,
        (Err(error), current) => {
            tracing::error!(node = %record.id, %error, "a node's new config can't get a revision now");
            let Some(current) = current else { return false };
            current
        }
    };
    let settled = config.hash() == hash;
    (record.revision, record.config_hash) = (config.revision(), Some(config.hash()));
    sink.adopt(Seed {
        protocols: snapshot.protocols(record.id).iter().map(|row| row.id).collect(),
        outbound_tags: outbound_tags(&snapshot, &record),
        record,
        config,
    });
    settled
}

/// The tags that a node may report bytes for: all that it ever had, and the two that it has from the start.
fn outbound_tags(snapshot: &Snapshot, record: &NodeRecord) -> BTreeSet<String> {
    let own = snapshot.outbounds(record.id).into_iter().map(|row| row.tag.clone());
    own.chain(["direct", "block"].map(str::to_owned)).collect()
}
