//! What a node's actor decides, as plain values: no actix, no clock, no I/O.

use std::{collections::HashSet, sync::Arc, time::Duration};

use crate::model::{
    NodeId, SubscriptionId, Time, UserId,
    carried::Carried,
    entry::{Entry, NodeFailure, Payload, Rejected, Report},
    node::{Seed, StoredState, SyncStatus},
    node_config::NodeConfig,
    presence::{OnlineSet, OnlineUser},
    session::{SessionRow, check_session_events},
    stats::{StatsPoint, StatsSnapshot},
    usage::{Checked, check_outbound_usage, check_usage},
};

use super::{OutboundReport, REASONS_MAX, Receipt, ReportError, SessionReport, UsageReport, ring::Ring};

/// How long a node is left alone with a revision that it refused: after the first refusal, the second, … The last one stays.
const PATIENCE: [Duration; 4] = [
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
];

/// So many heartbeats in a row at the desired revision end an error.
const HEALTHY_BEATS: u8 = 3;

/// A longer gap between heartbeats is an outage, not a rhythm.
const LONGEST_RHYTHM: Duration = Duration::from_mins(10);

/// One node's live truth.
#[derive(Debug)]
pub struct NodeState {
    seed: Arc<Seed>,
    applied_revision: i64,
    sync: SyncStatus,
    refusal: Option<Refusal>,
    healthy_beats: u8,
    last_beat: Option<Time>,
    beat_interval: Option<Duration>,
    clock_skew: bool,
    online: Option<Arc<OnlineSet>>,
    stats: Option<Arc<StatsSnapshot>>,
    carried: Option<Box<Carried>>,
    lately: Ring,
}

/// The node said of this revision that it can't.
#[derive(Debug, Clone, Copy)]
struct Refusal {
    revision: i64,
    times: usize,
    last: Time,
}

/// What a heartbeat comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to do.
    InSync,
    /// Another config waits.
    NeedSync,
    /// The node runs a revision that Core never gave out, as far as it knows: the store has to be asked.
    Ahead,
}

impl NodeState {
    /// A node as the store knows it.
    pub fn new(seed: Arc<Seed>, state: StoredState) -> Self {
        Self {
            seed,
            applied_revision: state.applied_revision,
            sync: state.sync_status,
            refusal: None,
            healthy_beats: 0,
            last_beat: None,
            beat_interval: None,
            clock_skew: false,
            online: None,
            stats: None,
            carried: None,
            lately: Ring::default(),
        }
    }

    /// The revision that it should run.
    pub fn desired_revision(&self) -> i64 {
        self.seed.config.revision()
    }

    /// The config that it should run.
    pub fn config(&self) -> Arc<NodeConfig> {
        Arc::clone(&self.seed.config)
    }

    /// What a byte on this node counts for a quota.
    pub fn traffic_multiplier(&self) -> f64 {
        self.seed.record.traffic_multiplier
    }

    /// The revision that it confirmed.
    pub const fn applied_revision(&self) -> i64 {
        self.applied_revision
    }

    /// Whether it runs what it should.
    pub const fn sync(&self) -> SyncStatus {
        self.sync
    }

    /// Whether its last dated report had a time that could not be used.
    pub const fn clock_skew(&self) -> bool {
        self.clock_skew
    }

    /// The usual gap between its heartbeats.
    pub const fn beat_interval(&self) -> Option<Duration> {
        self.beat_interval
    }

    /// Decides a heartbeat.
    pub fn heartbeat(&mut self, reported: i64, now: Time) -> Verdict {
        self.keep_rhythm(now);
        let desired = self.desired_revision();
        if reported == desired {
            self.healthy_beats = self.healthy_beats.saturating_add(1);
            if self.sync == SyncStatus::Failed && self.healthy_beats >= HEALTHY_BEATS {
                self.applied(reported);
            }
            return Verdict::InSync;
        }
        self.healthy_beats = 0;
        if reported > desired {
            Verdict::Ahead
        } else if self.refuses(desired, now) {
            Verdict::InSync
        } else {
            Verdict::NeedSync
        }
    }

    /// Checks a usage report: the entry to be made durable, and the receipt for it. `exists` says whether there is a subscription.
    pub fn usage(
        &mut self,
        report: &UsageReport,
        now: Time,
        exists: impl Fn(SubscriptionId) -> bool,
    ) -> (Entry, Receipt) {
        let seed = Arc::clone(&self.seed);
        let mut checked = check_usage(&report.items, now, |protocol| seed.own.has_protocol(protocol));
        for row in &mut checked.rows {
            row.suspect = seed.own.suspicion(row, now, &exists);
        }
        if let Some(carried) = &mut self.carried {
            carried.judge(&report.identity, &mut checked.rows, now);
        }
        self.note_skew(&checked);
        let receipt = receipt(&checked.rejected);
        let Checked { rows, rejected, .. } = checked;
        (
            self.entry(
                now,
                Payload::Usage(Report {
                    identity: report.identity,
                    rows,
                    rejected,
                }),
            ),
            receipt,
        )
    }

    /// Checks an outbound-usage report.
    pub fn outbound_usage(&self, report: &OutboundReport, now: Time) -> (Entry, Receipt) {
        let checked = check_outbound_usage(&report.items, |tag| self.seed.own.has_outbound(tag));
        let receipt = receipt(&checked.rejected);
        let Checked { rows, rejected, .. } = checked;
        (
            self.entry(
                now,
                Payload::OutboundUsage(Report {
                    identity: report.identity,
                    rows,
                    rejected,
                }),
            ),
            receipt,
        )
    }

    /// Checks a session-events report.
    pub fn session_events(&mut self, report: &SessionReport, now: Time) -> (Entry, Receipt) {
        let checked = check_session_events(&report.items, now);
        self.note_skew(&checked);
        let receipt = receipt(&checked.rejected);
        let Checked { rows, rejected, .. } = checked;
        (
            self.entry(
                now,
                Payload::SessionEvents(Report {
                    identity: report.identity,
                    rows,
                    rejected,
                }),
            ),
            receipt,
        )
    }

    /// The entry for a confirmation; [`NodeState::applied`] follows when it is durable.
    pub fn applied_entry(&self, revision: i64, now: Time) -> Entry {
        self.entry(now, Payload::ConfigApplied { revision })
    }

    /// It runs this revision.
    pub fn applied(&mut self, revision: i64) {
        self.applied_revision = revision;
        self.sync = if revision == self.desired_revision() {
            SyncStatus::Synced
        } else {
            SyncStatus::Pending
        };
        self.refusal = None;
        self.healthy_beats = 0;
    }

    /// The entry for an error; [`NodeState::failed`] follows when it is durable.
    pub fn error_entry(&self, error: ReportError, now: Time) -> Entry {
        let ReportError {
            message,
            code,
            details_json,
        } = error;
        let failure = NodeFailure {
            revision: self.desired_revision(),
            message,
            code,
            details_json,
        };
        self.entry(now, Payload::NodeError(failure))
    }

    /// It could not do what `revision` says.
    pub fn failed(&mut self, revision: i64, now: Time) {
        let before = self
            .refusal
            .filter(|refusal| refusal.revision == revision)
            .map_or(0, |refusal| refusal.times);
        self.refusal = Some(Refusal {
            revision,
            times: before + 1,
            last: now,
        });
        self.sync = SyncStatus::Failed;
        self.healthy_beats = 0;
    }

    /// An admin says: try again now.
    pub fn retry(&mut self) {
        self.refusal = None;
        if self.sync == SyncStatus::Failed {
            self.sync = SyncStatus::Pending;
        }
    }

    /// A new truth about the node. A changed revision begins a new attempt.
    pub fn adopt(&mut self, seed: Arc<Seed>) {
        let moved = seed.config.revision() != self.desired_revision();
        self.seed = seed;
        if moved {
            self.healthy_beats = 0;
            if self.sync == SyncStatus::Synced && self.applied_revision != self.desired_revision() {
                self.sync = SyncStatus::Pending;
            }
        }
    }

    /// Which node it is.
    pub fn node(&self) -> NodeId {
        self.seed.record.id
    }

    /// Takes a snapshot of the machine.
    pub fn take_stats(&mut self, snapshot: StatsSnapshot) -> Arc<StatsSnapshot> {
        let (at, system) = (snapshot.received_at, &snapshot.system);
        self.lately.push(at, system);
        match &mut self.carried {
            Some(carried) => carried.look(system, at),
            none => *none = Carried::first(system, at).map(Box::new),
        }
        let snapshot = Arc::new(snapshot);
        self.stats = Some(Arc::clone(&snapshot));
        snapshot
    }

    /// The last snapshot of the machine.
    pub fn stats(&self) -> Option<Arc<StatsSnapshot>> {
        self.stats.clone()
    }

    /// How the machine was in the last 15 minutes, oldest first.
    pub fn lately(&self, now: Time) -> Vec<StatsPoint> {
        self.lately.points(now)
    }

    /// Takes the full set of connected users.
    pub fn take_online(&mut self, users: Vec<OnlineUser>, now: Time) -> Arc<OnlineSet> {
        let set = Arc::new(OnlineSet {
            node: self.seed.record.id,
            at: now,
            users,
        });
        self.online = Some(Arc::clone(&set));
        set
    }

    /// Who went after the last report that named him is not connected: gives the set without him, if that is another. The next full set decides
    /// anew.
    pub fn see_off(&mut self, rows: &[SessionRow]) -> Option<Arc<OnlineSet>> {
        let online = self.online.as_mut()?;
        let gone = |row: &&SessionRow| row.event_type == "offline" && row.occurred_at > online.at;
        let gone: HashSet<UserId> = rows.iter().filter(gone).map(|row| row.user).collect();
        if !online.users.iter().any(|user| gone.contains(&user.user_id)) {
            return None;
        }
        Arc::make_mut(online).users.retain(|user| !gone.contains(&user.user_id));
        Some(Arc::clone(online))
    }

    fn entry(&self, received_at: Time, payload: Payload) -> Entry {
        Entry {
            node: self.seed.record.id,
            received_at,
            payload,
        }
    }

    fn refuses(&self, revision: i64, now: Time) -> bool {
        self.refusal.is_some_and(|refusal| {
            let patience = PATIENCE[refusal.times.clamp(1, PATIENCE.len()) - 1];
            refusal.revision == revision && now < refusal.last.plus(patience)
        })
    }

    /// Learns how often the node beats: a moving average that forgets outages.
    fn keep_rhythm(&mut self, now: Time) {
        if let Some(gap) = self
            .last_beat
            .map(|last| now.since(last))
            .filter(|gap| *gap <= LONGEST_RHYTHM)
        {
            self.beat_interval = Some(self.beat_interval.map_or(gap, |usual| (usual * 3 + gap) / 4));
        }
        self.last_beat = Some(now);
    }

    fn note_skew<Row>(&mut self, checked: &Checked<Row>) {
        if !checked.rows.is_empty() {
            self.clock_skew = checked.clock_skew;
        }
    }
}

fn receipt(rejected: &[Rejected]) -> Receipt {
    Receipt {
        rejected: rejected.len(),
        reasons: rejected
            .iter()
            .take(REASONS_MAX)
            .map(|item| item.reason.clone())
            .collect(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{
        NodeId, ProtocolId,
        node::{NodeRecord, Own},
        node_config::{ConfigHash, Rendered},
    };

    pub(in crate::node) fn seed(revision: i64) -> Arc<Seed> {
        let empty = || "{}".to_owned();
        let rendered = Rendered {
            client_map: empty(),
            mtproto_client_map: empty(),
            services: empty(),
            structure: ConfigHash([0; 32]),
            users: ConfigHash([0; 32]),
            problems: Vec::new(),
        };
        Arc::new(Seed {
            record: Arc::new(NodeRecord {
                id: NodeId(1),
                name: "de-1".to_owned(),
                ip: "192.0.2.1".parse().unwrap(),
                port: 8000,
                region: "de".to_owned(),
                domain: None,
                enabled: true,
                traffic_multiplier: 1.0,
                revision,
                config_hash: None,
                state: StoredState::NEW,
                created_at: Time::default(),
                version: 1,
            }),
            own: Own::new([ProtocolId(3)], ["direct".into()]),
            config: Arc::new(NodeConfig::new(revision, rendered)),
        })
    }

    fn at(seconds: i64) -> Time {
        Time::from_millis(1_700_000_000_000 + seconds * 1000)
    }

    #[test]
    fn a_new_node_needs_its_first_config() {
        let mut node = NodeState::new(seed(1), StoredState::NEW);
        assert_eq!(node.heartbeat(0, at(0)), Verdict::NeedSync);
        node.applied(1);
        assert_eq!(node.sync(), SyncStatus::Synced);
        assert_eq!(node.heartbeat(1, at(10)), Verdict::InSync);
        node.adopt(seed(2));
        assert_eq!(node.sync(), SyncStatus::Pending);
        assert_eq!(node.heartbeat(1, at(20)), Verdict::NeedSync);
        assert_eq!(node.heartbeat(3, at(30)), Verdict::Ahead);
    }

    #[test]
    fn a_refused_revision_backs_off_until_it_changes() {
        let mut node = NodeState::new(seed(2), StoredState::NEW);
        let mut now = 0;
        for patience in [30, 60, 300, 900, 900] {
            node.failed(2, at(now));
            assert_eq!(node.sync(), SyncStatus::Failed);
            assert_eq!(node.heartbeat(1, at(now + patience - 1)), Verdict::InSync, "{patience}");
            now += patience;
            assert_eq!(node.heartbeat(1, at(now)), Verdict::NeedSync, "{patience}");
        }
        node.failed(2, at(now));
        node.adopt(seed(3));
        assert_eq!(node.heartbeat(1, at(now)), Verdict::NeedSync);
    }

    #[test]
    fn an_admin_ends_the_patience() {
        let mut node = NodeState::new(seed(2), StoredState::NEW);
        node.failed(2, at(0));
        node.retry();
        assert_eq!(
            (node.sync(), node.heartbeat(1, at(1))),
            (SyncStatus::Pending, Verdict::NeedSync)
        );
    }

    #[test]
    fn three_healthy_beats_end_an_error() {
        let mut node = NodeState::new(seed(2), StoredState::NEW);
        node.failed(2, at(0));
        for beat in 1..=2 {
            node.heartbeat(2, at(beat));
            assert_eq!(node.sync(), SyncStatus::Failed);
        }
        node.heartbeat(1, at(3));
        for beat in 4..=5 {
            node.heartbeat(2, at(beat));
        }
        assert_eq!(node.sync(), SyncStatus::Failed);
        node.heartbeat(2, at(6));
        assert_eq!((node.sync(), node.applied_revision()), (SyncStatus::Synced, 2));
    }

    #[test]
    fn the_rhythm_forgets_outages() {
        let mut node = NodeState::new(seed(1), StoredState::NEW);
        for beat in [0, 60, 120, 4000, 4060] {
            node.heartbeat(1, at(beat));
        }
        assert_eq!(node.beat_interval(), Some(Duration::from_mins(1)));
    }

    #[test]
    fn a_receipt_spells_out_ten_reasons() {
        let mut node = NodeState::new(seed(1), StoredState::NEW);
        let item = crate::model::usage::UsageItem {
            user_id: 1,
            subscription_id: None,
            node_protocol_id: 99,
            bytes_up: 1,
            bytes_down: 1,
            recorded_at: "".into(),
        };
        let (entry, receipt) = node.usage(&UsageReport::new(None, vec![item; 25]), at(0), |_| true);
        assert_eq!((receipt.rejected, receipt.reasons.len()), (25, 10));
        assert!(
            matches!(entry.payload, Payload::Usage(report) if report.rejected.len() == 25 && report.rows.is_empty())
        );
        assert!(!node.clock_skew());
    }
}
