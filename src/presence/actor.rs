//! The actor around presence: takes every node's reports, tells who came, has the store hear of addresses.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, MessageResult, ResponseFuture,
    WrapFuture as _,
};
use async_trait::async_trait;

use crate::{
    clock::Clock,
    events::Events,
    model::{
        NodeId, Time, UserId,
        event::Happening,
        presence::{OnlineSet, OnlineUser, Sighting},
    },
    store::{Store, StoreError},
};

use super::{
    Presence, Wanted,
    arrivals::{Candidate, Verdict},
};

/// Reports that may wait: one of each of 16,000 nodes. What does not fit is left out; the node's next report, 5 s later, is as good.
const MAILBOX_CAPACITY: usize = 16_384;

/// How often the store hears of addresses: a missing pair is there at once.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// So much is written at a time.
const SAVE_MAX: usize = 20_000;

/// How often what is old goes, and what the store should still hear is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// So many are asked for at a time.
const DECIDE_MAX: usize = 20_000;

/// The mirror, as presence needs it. The composition root gives the one that leads to Redis.
#[async_trait]
pub trait Reflection: Send + Sync + 'static {
    /// Mirrors these users as online from now on; gives when the mirror had them last, in order. None if it can't be asked.
    async fn exchange(&self, users: &[(UserId, Time)]) -> Option<Vec<Option<Time>>>;

    /// Mirrors a report.
    fn show(&self, set: &Arc<OnlineSet>);
}

/// What presence works with.
#[allow(missing_docs, reason = "each is what its type says")]
pub struct Surroundings {
    pub store: Arc<dyn Store>,
    /// None: there is no mirror.
    pub reflection: Option<Arc<dyn Reflection>>,
    pub events: Events,
    pub clock: Clock,
}

/// See the module.
pub struct PresenceActor {
    presence: Presence,
    around: Arc<Surroundings>,
    started: Time,
    /// Who may have come, and the reports that the mirror sees when that is decided: it must not answer with them.
    undecided: Vec<Candidate>,
    held: Vec<Arc<OnlineSet>>,
    is_deciding: bool,
    is_saving: bool,
    is_store_away: bool,
}

impl PresenceActor {
    /// An actor that knows nobody yet.
    pub fn new(around: Surroundings) -> Self {
        Self {
            presence: Presence::default(),
            started: around.clock.now(),
            around: Arc::new(around),
            undecided: Vec::new(),
            held: Vec::new(),
            is_deciding: false,
            is_saving: false,
            is_store_away: false,
        }
    }

    /// Takes a report.
    fn take(&mut self, set: &Arc<OnlineSet>) {
        let candidates = self.presence.apply(set);
        if candidates.is_empty() {
            self.show(set);
        } else {
            self.undecided.extend(candidates);
            self.held.push(Arc::clone(set));
        }
    }

    fn show(&self, set: &Arc<OnlineSet>) {
        if let Some(reflection) = &self.around.reflection {
            reflection.show(set);
        }
    }

    /// Decides who came, one round at a time: whoever comes meanwhile is asked for with all others in the next.
    fn decide(&mut self, context: &mut Context<Self>) {
        if self.is_deciding || self.undecided.is_empty() {
            return;
        }
        self.is_deciding = true;
        let rest = self.undecided.split_off(self.undecided.len().min(DECIDE_MAX));
        let candidates = std::mem::replace(&mut self.undecided, rest);
        let held = if self.undecided.is_empty() {
            std::mem::take(&mut self.held)
        } else {
            Vec::new()
        };
        let (around, started) = (Arc::clone(&self.around), self.started);
        let decided = async move { decide(&around, &candidates, started).await };
        context.spawn(decided.into_actor(self).map(move |(), actor, context| {
            held.iter().for_each(|set| actor.show(set));
            actor.is_deciding = false;
            actor.decide(context);
        }));
    }

    /// Has the store hear of addresses; what it does not take is tried again.
    fn save(&mut self, context: &mut Context<Self>) {
        if self.is_saving {
            return;
        }
        let sightings = self.presence.take_unsaved(SAVE_MAX);
        if sightings.is_empty() {
            return;
        }
        self.is_saving = true;
        let store = Arc::clone(&self.around.store);
        let saved = async move {
            let outcome = store.see_ips(&sightings).await;
            (sightings, outcome)
        };
        context.spawn(saved.into_actor(self).map(|(sightings, outcome), actor, context| {
            actor.is_saving = false;
            let went_well = outcome.is_ok();
            actor.note(&sightings, outcome);
            if went_well {
                actor.save(context);
            }
        }));
    }

    fn note(&mut self, sightings: &[Sighting], outcome: Result<(), StoreError>) {
        match outcome {
            Ok(()) => {
                self.is_store_away = false;
                self.presence.saved(sightings);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_store_away, true) {
                    tracing::warn!(%error, "users' addresses can't be written: they are kept in memory");
                }
                self.presence.not_saved(sightings);
            }
        }
    }

    fn sweep(&mut self) {
        self.presence.sweep(self.around.clock.now());
        #[allow(clippy::cast_precision_loss, reason = "a gauge")]
        {
            metrics::gauge!("core_presence_users").set(self.presence.remembered() as f64);
            metrics::gauge!("core_sightings_waiting").set(self.presence.unsaved() as f64);
        }
    }
}

/// Tells who came. What is known here decides; the mirror and the store only say more.
async fn decide(around: &Surroundings, candidates: &[Candidate], started: Time) {
    let mirrored = match &around.reflection {
        Some(reflection) => {
            let users: Vec<_> = candidates.iter().map(|it| (it.user, it.at)).collect();
            reflection.exchange(&users).await
        }
        None => None,
    };
    let mirrored = mirrored.unwrap_or_else(|| vec![None; candidates.len()]);
    let mut strangers = Vec::new();
    for (candidate, mirrored) in candidates.iter().zip(mirrored) {
        match candidate.decide(mirrored, started) {
            Verdict::WasThere => {}
            Verdict::Came(before) => tell(around, candidate, Some(before)),
            Verdict::AskStore => strangers.push(candidate),
        }
    }
    if strangers.is_empty() {
        return;
    }
    let users: Vec<UserId> = strangers.iter().map(|it| it.user).collect();
    let known = around.store.last_seen(&users).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "when users were seen before can't be asked now");
        Vec::new()
    });
    let known: std::collections::HashMap<UserId, Time> = known.into_iter().collect();
    for candidate in strangers {
        tell(around, candidate, known.get(&candidate.user).copied());
    }
}

fn tell(around: &Surroundings, candidate: &Candidate, before: Option<Time>) {
    around.events.publish(Happening::UserOnline(candidate.arrival(before)));
}

impl Actor for PresenceActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_CAPACITY);
        context.run_interval(SAVE_EVERY, Self::save);
        context.run_interval(SWEEP_EVERY, |actor, _| actor.sweep());
    }
}

/// A node's report.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Heard(pub Arc<OnlineSet>);

impl Handler<Heard> for PresenceActor {
    type Result = ();

    fn handle(&mut self, Heard(set): Heard, context: &mut Self::Context) {
        self.take(&set);
        self.decide(context);
    }
}

/// Asks who is online.
#[derive(Message)]
#[rtype(result = "Vec<(NodeId, OnlineUser)>")]
pub struct WhoIsOnline(pub Wanted);

impl Handler<WhoIsOnline> for PresenceActor {
    type Result = MessageResult<WhoIsOnline>;

    fn handle(&mut self, WhoIsOnline(wanted): WhoIsOnline, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.presence.online(wanted, self.around.clock.now()))
    }
}

/// Asks what is remembered of a user's addresses.
#[derive(Message)]
#[rtype(result = "Vec<Sighting>")]
pub struct AddressesOf(pub UserId);

impl Handler<AddressesOf> for PresenceActor {
    type Result = MessageResult<AddressesOf>;

    fn handle(&mut self, AddressesOf(user): AddressesOf, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.presence.addresses(user))
    }
}

/// Has the store hear of everything, before a stop.
#[derive(Message)]
#[rtype(result = "Result<(), StoreError>")]
pub struct SaveAll;

impl Handler<SaveAll> for PresenceActor {
    type Result = ResponseFuture<Result<(), StoreError>>;

    fn handle(&mut self, _: SaveAll, _: &mut Self::Context) -> Self::Result {
        self.presence.queue_all();
        let sightings = self.presence.take_unsaved(usize::MAX);
        let store = Arc::clone(&self.around.store);
        Box::pin(async move {
            for piece in sightings.chunks(SAVE_MAX) {
                store.see_ips(piece).await?;
            }
            Ok(())
        })
    }
}
