//! What was acknowledged but is not in what was loaded: confirmations, errors and signs of life in the tail of the journal, and the bytes that
//! quotas must know of. The rows go to the store by themselves.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix::Addr;
use rayon::prelude::*;

use crate::{
    catalog::actor::{CatalogActor, Reload},
    flush::{
        FlushError,
        actor::{Drain, FlushActor},
    },
    journal::{Journal, JournalError, Part, ReadLimit},
    model::{
        JournalId, NodeId, Position, Time,
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
    rows: 10_000,
    bytes: 1 << 20,
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

/// Brings the nodes' states and the quotas up to date. All processors read.
pub fn apply(journal: &Journal, nodes: &Nodes, meter: &dyn Meter, since: &Since) -> Result<(), JournalError> {
    let parts: Vec<Vec<Part>> = since
        .iter()
        .map(|(id, after)| journal.parts(*id, *after))
        .collect::<Result<_, _>>()?;
    let read = parts
        .concat()
        .into_par_iter()
        .try_fold(Lately::default, |mut lately, part| {
            read_part(journal, part, |entry| {
                lately.follow(entry.node, Outcome::of(entry));
                count(nodes, meter, entry);
            })?;
            Ok(lately)
        });
    let Lately(outcomes) = read.try_reduce(Lately::default, |earlier, later| Ok(earlier.then(later)))?;
    for (node, outcome) in outcomes {
        nodes.restore(node, |state, desired| outcome.applied_to(state, desired));
    }
    Ok(())
}

fn read_part(journal: &Journal, mut part: Part, mut each: impl FnMut(&Entry)) -> Result<(), JournalError> {
    while part.after < part.upto {
        let piece = journal.read_part(part, PIECE)?;
        if piece.upto <= part.after {
            break;
        }
        part.after = piece.upto;
        piece.entries.iter().for_each(|(_, entry)| each(entry));
    }
    Ok(())
}

/// Sums are the same in any order.
fn count(nodes: &Nodes, meter: &dyn Meter, entry: &Entry) {
    if let Payload::Usage(_) = &entry.payload {
        let multiplier = nodes
            .view(entry.node)
            .map_or(1.0, |node| node.seed.record.traffic_multiplier);
        meter.acknowledged(entry, multiplier);
    }
}

/// What a stretch of the journal says of nodes.
#[derive(Debug, Default)]
struct Lately(HashMap<NodeId, Outcome>);

impl Lately {
    fn follow(&mut self, node: NodeId, outcome: Outcome) {
        let known = self.0.entry(node).or_default();
        *known = known.then(outcome);
    }

    fn then(mut self, later: Self) -> Self {
        for (node, outcome) in later.0 {
            self.follow(node, outcome);
        }
        self
    }
}

/// What a stretch of the journal says of a node.
#[derive(Debug, Clone, Copy, Default)]
struct Outcome {
    /// It called then.
    seen_at: Option<Time>,
    /// The last revision that it confirmed.
    applied: Option<i64>,
    /// It told an error after that.
    failed: bool,
}

impl Outcome {
    fn of(entry: &Entry) -> Self {
        Self {
            seen_at: Some(entry.received_at),
            applied: match entry.payload {
                Payload::ConfigApplied { revision } => Some(revision),
                _ => None,
            },
            failed: matches!(entry.payload, Payload::NodeError(_)),
        }
    }

    fn then(self, later: Self) -> Self {
        Self {
            seen_at: self.seen_at.max(later.seen_at),
            applied: later.applied.or(self.applied),
            failed: later.failed || (self.failed && later.applied.is_none()),
        }
    }

    fn applied_to(self, state: StoredState, desired: i64) -> StoredState {
        let state = self.seen_at.map_or(state, |at| seen(state, at));
        let sync_status = match self.applied {
            _ if self.failed => SyncStatus::Failed,
            Some(revision) if revision == desired => SyncStatus::Synced,
            Some(_) => SyncStatus::Pending,
            None => state.sync_status,
        };
        StoredState {
            applied_revision: self.applied.unwrap_or(state.applied_revision),
            sync_status,
            ..state
        }
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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::model::entry::NodeFailure;

    const NODE: NodeId = NodeId(1);
    const DESIRED: i64 = 2;

    fn entry() -> impl Strategy<Value = Entry> {
        let failure = NodeFailure {
            revision: 1,
            message: "it fell".to_owned(),
            code: None,
            details_json: None,
        };
        let payload = prop_oneof![
            (0..4_i64).prop_map(|revision| Payload::ConfigApplied { revision }),
            Just(Payload::NodeError(failure)),
        ];
        (0..9_i64, payload).prop_map(|(at, payload)| Entry {
            node: NODE,
            received_at: Time::from_millis(at),
            payload,
        })
    }

    fn lately(entries: &[Entry]) -> Lately {
        let mut lately = Lately::default();
        entries
            .iter()
            .for_each(|entry| lately.follow(entry.node, Outcome::of(entry)));
        lately
    }

    proptest! {
        #[test]
        fn stretches_say_together_what_each_entry_says_in_turn(
            stretches in vec(vec(entry(), 0..5), 0..5),
            state in prop::sample::select(&[SyncStatus::Synced, SyncStatus::Pending, SyncStatus::Failed][..]),
        ) {
            let state = StoredState { sync_status: state, applied_revision: 1, ..StoredState::NEW };
            let in_turn = stretches.iter().flatten().fold(state, |state, entry| {
                let state = seen(state, entry.received_at);
                match entry.payload {
                    Payload::ConfigApplied { revision } => StoredState {
                        applied_revision: revision,
                        sync_status: if revision == DESIRED { SyncStatus::Synced } else { SyncStatus::Pending },
                        ..state
                    },
                    _ => StoredState { sync_status: SyncStatus::Failed, ..state },
                }
            });
            let together = stretches.iter().map(|entries| lately(entries)).fold(Lately::default(), Lately::then);
            let outcome = together.0.get(&NODE).copied().unwrap_or_default();
            prop_assert_eq!(outcome.applied_to(state, DESIRED), in_turn);
        }
    }
}
