//! What was acknowledged but is not in what was loaded: confirmations, errors and signs of life in the tail of the journal, and the bytes that
//! quotas must know of. The rows go to the store by themselves.

use std::{sync::Arc, time::Duration};

use actix::Addr;

use crate::{
    catalog::actor::{CatalogActor, Reload},
    flush::{
        FlushError,
        actor::{Drain, FlushActor},
    },
    journal::{Journal, ReadLimit},
    model::{
        JournalId, Position, Time,
        entry::{Entry, Payload},
        node::{NodeStatus, StoredState, SyncStatus},
    },
    node::{Meter, registry::Nodes},
    store::{Store, StoreError},
};

/// How often a store that was away at the start is tried again.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// How much is read at a time.
const PIECE: ReadLimit = ReadLimit {
    rows: 100_000,
    bytes: 16 << 20,
};

/// From where on each generation of the journal is not in what was loaded.
pub type Since = Vec<(JournalId, Position)>;

/// What the store has not taken over yet; everything from where it does not say on, which only takes longer.
pub async fn unflushed(store: &dyn Store, journal: &Journal) -> Since {
    let mut answers = true;
    let mut since = Since::new();
    for generation in journal.generations() {
        let mut flushed = None;
        if answers {
            flushed = store.watermark(generation.id).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the store went away while it was loaded: the whole journal is read");
                answers = false;
                None
            });
        }
        since.push((generation.id, flushed.unwrap_or(Position::START)));
    }
    since
}

/// What came after this position: the rest of its generation, and all later ones. A generation that is not known here hides nothing: then
/// all is read.
pub fn since(journal: &Journal, (known, position): (JournalId, Position)) -> Since {
    let generations = journal.generations();
    let from = generations.iter().position(|it| it.id == known).unwrap_or(0);
    let start = |id: JournalId| if id == known { position } else { Position::START };
    generations[from..].iter().map(|it| (it.id, start(it.id))).collect()
}

/// Brings the nodes' states and the quotas up to date.
pub fn apply(journal: &Journal, nodes: &Nodes, meter: &dyn Meter, since: Since) -> anyhow::Result<()> {
    for (id, mut after) in since {
        loop {
            let piece = journal.read_after(id, after, PIECE)?;
            if piece.upto <= after {
                break;
            }
            after = piece.upto;
            piece
                .entries
                .into_iter()
                .for_each(|(_, entry)| apply_entry(nodes, meter, &entry));
        }
    }
    Ok(())
}

fn apply_entry(nodes: &Nodes, meter: &dyn Meter, entry: &Entry) {
    nodes.restore(entry.node, |state, _| seen(state, entry.received_at));
    match &entry.payload {
        Payload::ConfigApplied { revision } => nodes.restore(entry.node, |state, desired| StoredState {
            applied_revision: *revision,
            sync_status: if *revision == desired {
                SyncStatus::Synced
            } else {
                SyncStatus::Pending
            },
            ..state
        }),
        Payload::NodeError(_) => {
            nodes.restore(entry.node, |state, _| StoredState {
                sync_status: SyncStatus::Failed,
                ..state
            });
        }
        Payload::Usage(_) => {
            let multiplier = nodes
                .view(entry.node)
                .map_or(1.0, |node| node.seed.record.traffic_multiplier);
            meter.acknowledged(entry, multiplier);
        }
        Payload::OutboundUsage(_) | Payload::SessionEvents(_) => {}
    }
}

/// The node called then: Core had not said so to the store yet when it went.
fn seen(state: StoredState, at: Time) -> StoredState {
    if state.last_seen_at.is_some_and(|last| last >= at) {
        return state;
    }
    StoredState {
        last_seen_at: Some(at),
        status: if state.status == NodeStatus::Error {
            NodeStatus::Error
        } else {
            NodeStatus::Online
        },
        ..state
    }
}

/// Tries until the store is there; then the catalogue follows it as ever. What was acknowledged comes first: what it says of quotas must be in what
/// is loaded, or who crossed a limit would be let in again.
pub async fn catch_up(store: Arc<dyn Store>, catalog: Addr<CatalogActor>, flush: Addr<FlushActor>) {
    let mut tries = tokio::time::interval(TRY_EVERY);
    loop {
        tries.tick().await;
        if store.ping().await.is_ok()
            && store.migrate().await.is_ok()
            && flushed(&flush).await
            && matches!(catalog.send(Reload { serving: true }).await, Ok(Ok(())))
        {
            tracing::info!("the store is there: everything was loaded from it");
            return;
        }
    }
}

/// Whether the store has all that it takes of the journal: what it refuses for good must not keep the catalogue waiting.
async fn flushed(flush: &Addr<FlushActor>) -> bool {
    !matches!(
        flush.send(Drain).await,
        Err(_) | Ok(Err(FlushError::Store(StoreError::Away(_))))
    )
}
