//! The actor of a node: puts calls in line, asks the state, and makes durable what must be, before it is answered.

use std::sync::Arc;

use actix::{
    Actor, ActorFutureExt as _, AtomicResponse, Context, Handler, Message, MessageResult, ResponseFuture,
    WrapFuture as _,
};

use crate::{
    events::Events,
    model::{
        entry::{Entry, Payload},
        event::{Happening, NodeFacts, NodeNews},
        node::{Seed, SyncStatus},
        node_config::NodeConfig,
        presence::OnlineSet,
        stats::{StatsPoint, StatsSnapshot},
    },
};

use super::{
    ConfirmApplied, Heartbeat, LiveView, NodeError, OutboundReport, Receipt, ReportError, ReportOnline, ReportStats,
    SessionReport, Surroundings, UsageReport,
    state::{NodeState, Verdict},
    vitals::Vitals,
};

/// How many calls of one node may wait. An agent has a handful of calls under way; after an outage it sends what it kept, one
/// after the other. Past this the sender waits too, and gives up at its deadline.
const MAILBOX_CAPACITY: usize = 64;

/// See the module.
pub struct NodeActor {
    state: NodeState,
    vitals: Arc<Vitals>,
    around: Surroundings,
    told: Told,
}

/// What was said of the node by events: what did not change is not said again.
struct Told {
    sync: SyncStatus,
    clock_skew: bool,
}

impl NodeActor {
    /// The actor of a node that so much is known of.
    pub fn new(seed: Arc<Seed>, vitals: Arc<Vitals>, around: Surroundings) -> Self {
        let state = NodeState::new(seed, vitals.state());
        let told = Told {
            sync: state.sync(),
            clock_skew: state.clock_skew(),
        };
        Self {
            state,
            vitals,
            around,
            told,
        }
    }

    /// Shows the state to those who do not ask the actor, and says what is news of it.
    fn publish(&mut self) {
        let (sync, clock_skew) = (self.state.sync(), self.state.clock_skew());
        self.vitals.publish(self.state.applied_revision(), sync, clock_skew);
        let before = std::mem::replace(&mut self.told, Told { sync, clock_skew });
        if sync == SyncStatus::Synced && before.sync != sync {
            self.tell(
                NodeNews::Synced,
                NodeFacts {
                    revision: Some(self.state.applied_revision()),
                    ..NodeFacts::default()
                },
            );
        }
        if clock_skew && !before.clock_skew {
            self.tell(NodeNews::ClockSkew, NodeFacts::default());
        }
    }

    fn show_online(&self, set: &Arc<OnlineSet>) {
        self.vitals.set_online_users(set.distinct_users(), set.at);
        self.around.audience.online(set);
    }

    fn tell(&self, news: NodeNews, facts: NodeFacts) {
        self.around
            .events
            .publish(Happening::Node(news, self.state.node(), facts));
    }

    fn make_durable(&mut self, (entry, receipt): (Entry, Receipt)) -> ResponseFuture<Result<Receipt, NodeError>> {
        self.publish();
        let around = self.around.clone();
        let multiplier = self.state.traffic_multiplier();
        Box::pin(async move {
            around.journal.append(&entry).await?;
            around.meter.acknowledged(&entry, multiplier);
            if let Some(reason) = receipt.reasons.first() {
                around.events.publish(Happening::Rejected {
                    node: entry.node,
                    count: receipt.rejected,
                    reason: reason.clone(),
                });
            }
            tell_suspects(&around.events, &entry);
            Ok(receipt)
        })
    }

    /// Makes an entry durable, then changes the state, and only then takes the next call.
    fn durable_change(
        &self,
        entry: Entry,
        change: impl FnOnce(&mut Self) + 'static,
    ) -> AtomicResponse<Self, Result<(), NodeError>> {
        let journal = self.around.journal.clone();
        let appended = async move { journal.append(&entry).await };
        AtomicResponse::new(Box::pin(appended.into_actor(self).map(|appended, actor, _| {
            appended?;
            change(actor);
            actor.publish();
            Ok(())
        })))
    }
}

/// Once a report and subscription.
fn tell_suspects(events: &Events, entry: &Entry) {
    let Payload::Usage(report) = &entry.payload else { return };
    let (rows, sums) = report.suspects();
    if rows == 0 {
        return;
    }
    metrics::counter!("core_usage_suspect_total").increment(rows);
    for (subscription, bytes) in sums {
        events.publish(Happening::Suspect {
            node: entry.node,
            subscription,
            bytes,
        });
    }
}

impl Actor for NodeActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_CAPACITY);
    }
}

impl Message for Heartbeat {
    type Result = Verdict;
}

impl Handler<Heartbeat> for NodeActor {
    type Result = MessageResult<Heartbeat>;

    fn handle(&mut self, heartbeat: Heartbeat, _: &mut Self::Context) -> Self::Result {
        let verdict = self.state.heartbeat(heartbeat.revision, self.around.clock.now());
        let interval = self.state.beat_interval().unwrap_or_default();
        self.vitals
            .set_beat_interval(i64::try_from(interval.as_millis()).unwrap_or(i64::MAX));
        self.publish();
        MessageResult(verdict)
    }
}

impl Message for UsageReport {
    type Result = Result<Receipt, NodeError>;
}

impl Handler<UsageReport> for NodeActor {
    type Result = ResponseFuture<Result<Receipt, NodeError>>;

    fn handle(&mut self, report: UsageReport, _: &mut Self::Context) -> Self::Result {
        let checked = self.state.usage(&report, self.around.clock.now(), |subscription| {
            self.around.meter.knows(subscription)
        });
        self.make_durable(checked)
    }
}

impl Message for OutboundReport {
    type Result = Result<Receipt, NodeError>;
}

impl Handler<OutboundReport> for NodeActor {
    type Result = ResponseFuture<Result<Receipt, NodeError>>;

    fn handle(&mut self, report: OutboundReport, _: &mut Self::Context) -> Self::Result {
        let checked = self.state.outbound_usage(&report, self.around.clock.now());
        self.make_durable(checked)
    }
}

impl Message for SessionReport {
    type Result = Result<Receipt, NodeError>;
}

impl Handler<SessionReport> for NodeActor {
    type Result = ResponseFuture<Result<Receipt, NodeError>>;

    fn handle(&mut self, report: SessionReport, _: &mut Self::Context) -> Self::Result {
        let checked = self.state.session_events(&report, self.around.clock.now());
        if let Payload::SessionEvents(report) = &checked.0.payload
            && let Some(set) = self.state.see_off(&report.rows)
        {
            self.show_online(&set);
        }
        self.make_durable(checked)
    }
}

impl Message for ConfirmApplied {
    type Result = Result<(), NodeError>;
}

impl Handler<ConfirmApplied> for NodeActor {
    type Result = AtomicResponse<Self, Result<(), NodeError>>;

    fn handle(&mut self, confirm: ConfirmApplied, _: &mut Self::Context) -> Self::Result {
        let entry = self.state.applied_entry(confirm.revision, self.around.clock.now());
        self.durable_change(entry, move |actor| actor.state.applied(confirm.revision))
    }
}

impl Message for ReportError {
    type Result = Result<(), NodeError>;
}

impl Handler<ReportError> for NodeActor {
    type Result = AtomicResponse<Self, Result<(), NodeError>>;

    fn handle(&mut self, error: ReportError, _: &mut Self::Context) -> Self::Result {
        let revision = self.state.desired_revision();
        let facts = NodeFacts {
            revision: Some(revision),
            code: error.code.clone(),
            message: Some(error.message.clone()),
        };
        let entry = self.state.error_entry(error, self.around.clock.now());
        self.durable_change(entry, move |actor| {
            actor.state.failed(revision, actor.around.clock.now());
            actor.tell(NodeNews::Error, facts);
        })
    }
}

impl Message for ReportStats {
    type Result = ();
}

impl Handler<ReportStats> for NodeActor {
    type Result = ();

    fn handle(&mut self, report: ReportStats, _: &mut Self::Context) {
        let ReportStats { system, xray, mtproto } = report;
        let snapshot = self.state.take_stats(StatsSnapshot {
            received_at: self.around.clock.now(),
            system,
            xray,
            mtproto,
        });
        self.around.audience.stats(self.state.node(), &snapshot);
    }
}

impl Message for ReportOnline {
    type Result = ();
}

impl Handler<ReportOnline> for NodeActor {
    type Result = ();

    fn handle(&mut self, report: ReportOnline, _: &mut Self::Context) {
        let set = self.state.take_online(report.users, self.around.clock.now());
        self.show_online(&set);
    }
}

/// Asks for the config that the node should run.
#[derive(Message)]
#[rtype(result = "Arc<NodeConfig>")]
pub struct GetConfig;

impl Handler<GetConfig> for NodeActor {
    type Result = MessageResult<GetConfig>;

    fn handle(&mut self, _: GetConfig, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.config())
    }
}

/// Asks for the node's live side.
#[derive(Message)]
#[rtype(result = "LiveView")]
pub struct Show;

impl Handler<Show> for NodeActor {
    type Result = MessageResult<Show>;

    fn handle(&mut self, _: Show, _: &mut Self::Context) -> Self::Result {
        MessageResult(LiveView {
            stats: self.state.stats(),
        })
    }
}

/// Asks how the machine was in the last 15 minutes.
#[derive(Message)]
#[rtype(result = "Vec<StatsPoint>")]
pub struct Lately;

impl Handler<Lately> for NodeActor {
    type Result = MessageResult<Lately>;

    fn handle(&mut self, _: Lately, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state.lately(self.around.clock.now()))
    }
}

/// Tells a new truth about the node.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Adopt(pub Arc<Seed>);

impl Handler<Adopt> for NodeActor {
    type Result = ();

    fn handle(&mut self, Adopt(seed): Adopt, _: &mut Self::Context) {
        self.state.adopt(seed);
        self.publish();
    }
}

/// An admin says: the node shall try its config again now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Retry;

impl Handler<Retry> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Retry, _: &mut Self::Context) {
        self.state.retry();
        self.publish();
    }
}

/// Ends the actor: its node was deleted.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Leave;

impl Handler<Leave> for NodeActor {
    type Result = ();

    fn handle(&mut self, _: Leave, context: &mut Self::Context) {
        actix::ActorContext::stop(context);
    }
}
