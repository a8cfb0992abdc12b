//! The actor around the flush: wakes on a deadline or when much waits, and never runs two at once.

use std::{sync::Arc, time::Duration};

use actix::{
    Actor, ActorFutureExt as _, AsyncContext as _, AtomicResponse, Context, Handler, Message, WrapFuture as _,
};
use tokio::sync::watch;

use crate::{model::Position, store::Store};

use super::{Flush, FlushError, rolling::Rolling};

/// How long an acknowledged report waits for the store at most, when the store is there.
const DEADLINE: Duration = Duration::from_secs(1);

/// So many new records wake the flush before the deadline: half a batch of reports of some 10 rows.
const HALF_FULL: u64 = 1_500;

/// How often flushed segments are looked through for those that have been kept long enough.
const TRIM_EVERY: Duration = Duration::from_mins(1);

/// See the module.
pub struct FlushActor {
    /// Taken while a flush is under way.
    flush: Option<Flush>,
    store: Arc<dyn Store>,
    rolling: Rolling,
    end: watch::Receiver<Position>,
    failing: bool,
}

impl FlushActor {
    /// An actor around this flush, woken by the journal's durable end.
    pub fn new(flush: Flush, end: watch::Receiver<Position>) -> Self {
        Self {
            store: flush.store(),
            flush: Some(flush),
            rolling: Rolling::default(),
            end,
            failing: false,
        }
    }

    /// Has the store sum what it took over by hour and day. Nobody waits for it: not the flush, not a stop.
    fn roll_up(&mut self, committed: bool, context: &mut Context<Self>) {
        if self.rolling.begin(committed) {
            let store = Arc::clone(&self.store);
            let rolled = async move { store.roll_up().await }.into_actor(self);
            context.spawn(rolled.map(|outcome, actor, context| {
                actor.rolling.end(&outcome);
                // Many small flushes, such as those of a Core that was killed again and again, must not wait a second for every few of them.
                if matches!(outcome, Ok(true)) {
                    actor.roll_up(false, context);
                }
            }));
        }
    }

    /// Says it once when the store goes, and once when it is back.
    fn note(&mut self, outcome: &Result<(), FlushError>) {
        match outcome {
            Ok(()) if std::mem::take(&mut self.failing) => {
                tracing::info!("the store took over what waited in the journal");
            }
            Ok(()) => {}
            Err(error) => {
                metrics::counter!("core_flush_failures_total").increment(1);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the store does not take what is in the journal: it waits there");
                }
            }
        }
    }
}

impl Actor for FlushActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(DEADLINE, |_, context| wake(context));
        context.run_interval(TRIM_EVERY, |actor, _| actor.flush.iter_mut().for_each(Flush::trim));
        let (address, mut end) = (context.address(), self.end.clone());
        context.spawn(
            async move {
                let mut woken_at = *end.borrow();
                while let Ok(now) = end
                    .wait_for(|now| now.0 >= woken_at.0 + HALF_FULL)
                    .await
                    .map(|now| *now)
                {
                    woken_at = now;
                    if address.send(Drain).await.is_err() {
                        return;
                    }
                }
            }
            .into_actor(self),
        );
    }
}

fn wake(context: &mut Context<FlushActor>) {
    if let Err(error) = context.address().try_send(Drain) {
        tracing::debug!(%error, "the flush is busy: it needs no waking");
    }
}

/// Moves everything that is durable when the turn comes.
#[derive(Message)]
#[rtype(result = "Result<(), FlushError>")]
pub struct Drain;

impl Handler<Drain> for FlushActor {
    type Result = AtomicResponse<Self, Result<(), FlushError>>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        let mut flush = self
            .flush
            .take()
            .expect("a flush is taken only within one atomic response");
        let draining = async move {
            let outcome = flush.drain().await;
            (flush, outcome)
        };
        let drained = draining.into_actor(self).map(|(mut flush, outcome), actor, context| {
            metrics::gauge!("core_flush_backlog_records").set(precise(flush.backlog()));
            let committed = flush.take_committed();
            actor.flush = Some(flush);
            actor.note(&outcome);
            if committed || outcome.is_ok() {
                actor.roll_up(committed, context);
            }
            outcome
        });
        AtomicResponse::new(Box::pin(drained))
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge of records, far below 2^52")]
const fn precise(records: u64) -> f64 {
    records as f64
}
