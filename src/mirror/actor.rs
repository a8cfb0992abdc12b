//! The actor around what is pending: takes what is to be written, writes it, and takes again. Never two passes at once.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context, Handler, Message, WrapFuture as _,
};
use tokio::sync::watch;

use crate::{
    clock::Clock,
    events::Events,
    model::{NodeId, presence::OnlineSet, stats::StatsSnapshot},
    redis::{PIPELINE, Redis, RedisError},
};

use super::{
    follow::follow,
    pending::{Pass, Pending},
};

/// Reports that wait for their turn. A turn takes a microsecond; a fleet of 10,000 nodes that reports every 5 s fills this in two.
const MAILBOX_CAPACITY: usize = 4_096;

/// Keys that are made and written at one go: 2 MB.
const PORTION: usize = 16 * PIPELINE;

/// How long to wait before the next try when Redis took nothing.
const PAUSE: Duration = Duration::from_millis(250);

/// See the module.
pub struct MirrorActor {
    pending: Pending,
    redis: Redis,
    events: Events,
    arrivals: watch::Receiver<u64>,
    clock: Clock,
    /// A pass is under way, or the pause after one that failed.
    busy: bool,
    failing: bool,
}

impl MirrorActor {
    pub(super) fn new(redis: Redis, events: Events, clock: Clock) -> Self {
        Self {
            pending: Pending::default(),
            arrivals: redis.arrivals(),
            redis,
            events,
            clock,
            busy: false,
            failing: false,
        }
    }

    /// Writes what is to be written, unless that is being done.
    fn write(&mut self, context: &mut Context<Self>) {
        if self.busy {
            return;
        }
        let Some(pass) = self.pending.take() else { return };
        self.busy = true;
        let writing = write(pass, self.redis.clone(), self.clock.clone(), self.failing);
        context.spawn(
            writing
                .into_actor(self)
                .map(|outcome, actor, context| actor.wrote(&outcome, context)),
        );
    }

    fn wrote(&mut self, outcome: &Result<(), RedisError>, context: &mut Context<Self>) {
        self.note(outcome);
        if outcome.is_ok() {
            self.busy = false;
            self.write(context);
            return;
        }
        context.run_later(PAUSE, |actor, context| {
            actor.busy = false;
            actor.pending.doubt(actor.clock.now());
            actor.write(context);
        });
    }

    /// That Redis is away is said by its door; that it refuses is said here, once.
    fn note(&mut self, outcome: &Result<(), RedisError>) {
        match outcome {
            Ok(()) => self.failing = false,
            Err(error) => {
                metrics::counter!("core_mirror_failures_total").increment(1);
                if !std::mem::replace(&mut self.failing, true) && matches!(error, RedisError::Refused(_)) {
                    tracing::error!(%error, "keys can't be written");
                }
            }
        }
    }

    /// After each connection that is made everything is written: it may be to an empty Redis.
    fn listen(&self, context: &mut Context<Self>) {
        let mut arrivals = self.arrivals.clone();
        let waiting = async move { arrivals.changed().await.map(|()| arrivals) };
        context.spawn(waiting.into_actor(self).map(|arrived, actor, context| {
            if let Ok(arrivals) = arrived {
                actor.arrivals = arrivals;
                actor.pending.doubt(actor.clock.now());
                actor.write(context);
                actor.listen(context);
            }
        }));
    }
}

/// Writes a pass. When the one before failed a question goes first, so that keys are not made in vain.
async fn write(mut pass: Pass, redis: Redis, clock: Clock, ask: bool) -> Result<(), RedisError> {
    if ask {
        redis.ping().await?;
    }
    loop {
        let keys = pass.portion(clock.now(), PORTION);
        if keys.is_empty() {
            return Ok(());
        }
        let count = keys.len();
        redis.set_all(keys).await?;
        metrics::counter!("core_mirror_keys_total").increment(count as u64);
    }
}

impl Actor for MirrorActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_CAPACITY);
        self.listen(context);
        context.spawn(follow(self.events.clone(), self.redis.clone()).into_actor(self));
    }
}

/// Who is connected to a node.
#[derive(Message)]
#[rtype(result = "()")]
pub struct MirrorOnline(pub Arc<OnlineSet>);

impl Handler<MirrorOnline> for MirrorActor {
    type Result = ();

    fn handle(&mut self, MirrorOnline(set): MirrorOnline, context: &mut Self::Context) {
        self.pending.online(set);
        self.write(context);
    }
}

/// What a node's machine and engines look like.
#[derive(Message)]
#[rtype(result = "()")]
pub struct MirrorStats(pub NodeId, pub Arc<StatsSnapshot>);

impl Handler<MirrorStats> for MirrorActor {
    type Result = ();

    fn handle(&mut self, MirrorStats(node, snapshot): MirrorStats, context: &mut Self::Context) {
        self.pending.stats(node, snapshot);
        self.write(context);
    }
}

/// A node that was deleted.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Forget(pub NodeId);

impl Handler<Forget> for MirrorActor {
    type Result = ();

    fn handle(&mut self, Forget(node): Forget, _: &mut Self::Context) {
        self.pending.forget(node);
    }
}

/// It is over.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct End;

impl Handler<End> for MirrorActor {
    type Result = ();

    fn handle(&mut self, End: End, context: &mut Self::Context) {
        context.stop();
    }
}
