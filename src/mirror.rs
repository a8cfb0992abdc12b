//! Redis, kept as memory is: who is connected, what the machines look like, what happened. A mirror is state, never a queue: while Redis is
//! away nothing gathers here, and when it is back everything that still holds is written once.

mod actor;
mod follow;
mod pending;

use std::{sync::Arc, time::Duration};

use actix::{Actor as _, Addr, ArbiterHandle, Message, dev::ToEnvelope, prelude::SendError};

use crate::{
    clock::Clock,
    events::Events,
    model::{NodeId, presence::OnlineSet, stats::StatsSnapshot},
    redis::Redis,
};

use self::actor::{End, MirrorActor};

pub use self::{
    actor::{Forget, MirrorOnline, MirrorStats},
    pending::{Pass, Pending},
};

/// How long a stop waits for what is being written.
const STOP: Duration = Duration::from_secs(1);

/// The mirror's door. Cheap to clone; nobody ever waits at it.
#[derive(Clone)]
pub struct Mirror(Addr<MirrorActor>);

impl Mirror {
    /// Starts the mirror on this arbiter. It tells the stream what happened from the first event that is still kept.
    pub fn start(arbiter: &ArbiterHandle, redis: Redis, events: Events, clock: Clock) -> Self {
        Self(MirrorActor::start_in_arbiter(arbiter, move |_| {
            MirrorActor::new(redis, events, clock)
        }))
    }

    /// A node's full set of connected users.
    pub fn online(&self, set: &Arc<OnlineSet>) {
        self.tell(MirrorOnline(Arc::clone(set)));
    }

    /// A node's machine and engines.
    pub fn stats(&self, node: NodeId, snapshot: &Arc<StatsSnapshot>) {
        self.tell(MirrorStats(node, Arc::clone(snapshot)));
    }

    /// There is no such node any more. What is in Redis of it goes by itself.
    pub fn forget(&self, node: NodeId) {
        self.tell(Forget(node));
    }

    /// Ends it. Keys stay, and go when their time has come.
    pub async fn stop(&self) {
        if !matches!(tokio::time::timeout(STOP, self.0.send(End)).await, Ok(Ok(()))) {
            tracing::debug!("the mirror was gone already");
        }
    }

    /// What does not fit into the mailbox is lost, until the node reports again.
    fn tell<M>(&self, message: M)
    where
        M: Message<Result = ()> + Send + 'static,
        MirrorActor: actix::Handler<M>,
        actix::Context<MirrorActor>: ToEnvelope<MirrorActor, M>,
    {
        if let Err(SendError::Full(_) | SendError::Closed(_)) = self.0.try_send(message) {
            metrics::counter!("core_mirror_dropped_total").increment(1);
        }
    }
}
