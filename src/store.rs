//! What Core keeps for good. One page says what every store can do; each store does it in its own words.

mod changing;
mod deleting;
mod details;
mod importing;
pub mod in_time;
mod leases;
mod moving;
mod naming;
pub mod postgres;
pub mod refusals;
mod reserved;
mod row_rules;
mod samples;
mod sightings;
pub mod sqlite;
mod standing;
mod suspects;
mod table;
mod tables;
mod weighing;

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::watch;

pub use self::{
    leases::Leases,
    samples::Samples,
    sightings::Sightings,
    suspects::{Judged, Suspects},
};
use crate::model::{
    CodeId, JournalId, KeyId, NodeId, Position, ProtocolId, SubscriptionId, Time, TokenId, UserId,
    catalog::{Catalog, CatalogImport},
    catalog_change::{CatalogChange, CatalogRow, RowRef, RowsOf, StoredRow},
    entry::Entry,
    finding::Finding,
    node::{
        NewCode, NodeErrorRow, NodeKey, NodePatch, NodeRecord, RegisterOutcome, Registration, RegistrationCode,
        StoredState,
    },
    node_config::ConfigHash,
    quota::{Quota, StatusChange},
    secrets::{AdminToken, NewToken, SecretHash},
};

/// What the rest of Core asks of a store; four subjects have a page of their own. Every call is one transaction: it is done and durable, or it
/// left nothing behind.
#[async_trait]
pub trait Store: Sightings + Samples + Leases + Suspects + Send + Sync + 'static {
    /// Brings the schema up to date; gives the names of the migrations that were run.
    async fn migrate(&self) -> Result<Vec<String>, StoreError>;
    /// The migrations that [`Store::migrate`] would run. Changes nothing.
    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError>;
    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Moves when the catalogue may have changed, where the store tells it by itself; then it need not be asked all the time. A word may be lost.
    fn changes(&self) -> Option<watch::Receiver<u64>>;
    /// Everything that Core holds in memory, as of one moment.
    async fn load_fleet(&self) -> Result<Fleet, StoreError>;
    /// The last `catalog_changes.seq`; 0 = none. It moves with every change of a row that [`Store::load_fleet`] gives, whoever made it
    /// (but not with counters and states).
    async fn catalog_seq(&self) -> Result<i64, StoreError>;

    /// The key with this hash, dead or alive.
    async fn find_key(&self, hash: SecretHash) -> Result<Option<NodeKey>, StoreError>;
    /// Consumes the code and makes the node and its key, all or nothing.
    async fn register(&self, registration: Registration<'_>) -> Result<RegisterOutcome, StoreError>;
    /// Notes the first use of keys; older keys of the same nodes die at that moment.
    async fn mark_keys_used(&self, used: &[(SecretHash, Time)]) -> Result<(), StoreError>;
    /// Writes what is known of live nodes, where it is newer than what is there. Nodes that are gone are passed over.
    async fn save_states(&self, at: Time, states: &[(NodeId, StoredState)]) -> Result<(), StoreError>;
    /// Says which contents the configs of nodes now have; gives the revisions for them, in order, in one transaction. A revision moves past itself
    /// and past `above` when the hash is not the one that is there; the first hash of a node leaves it as it is. `None`: no such node.
    async fn settle_revisions(&self, wanted: &[Wanted]) -> Result<Vec<Option<i64>>, StoreError>;
    /// The node's revision, after it was lifted above `reported` if it was below that. `None`: no such node.
    async fn raise_revision(&self, node: NodeId, reported: i64) -> Result<Option<i64>, StoreError>;

    /// How far this journal has been taken over; `None`: never.
    async fn watermark(&self, journal: JournalId) -> Result<Option<Position>, StoreError>;
    /// Takes over a piece of a journal, exactly once: see [`Batch`].
    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError>;

    /// Changes a node. `if_version`: only if that is its version.
    async fn patch_node(
        &self,
        id: NodeId,
        patch: NodePatch,
        if_version: Option<i64>,
        by: &Change,
    ) -> Result<PatchOutcome, StoreError>;
    /// Deletes a node and its keys; what it counted stays. False: no such node.
    async fn delete_node(&self, id: NodeId, by: &Change) -> Result<bool, StoreError>;
    /// The errors of a node, newest first.
    async fn node_errors(&self, node: NodeId, page: Page) -> Result<Vec<NodeErrorRow>, StoreError>;
    /// The keys of a node, newest first.
    async fn node_keys(&self, node: NodeId) -> Result<Vec<NodeKey>, StoreError>;
    /// Adds a key to a node; older ones die at its first use. `issue` as in [`Registration`]. `None`: no such node.
    async fn add_key(
        &self,
        node: NodeId,
        issue: &(dyn Fn(NodeId) -> SecretHash + Send + Sync),
        by: &Change,
    ) -> Result<Option<NodeKey>, StoreError>;
    /// Kills a key; gives it if it was alive.
    async fn revoke_key(&self, node: NodeId, key: KeyId, by: &Change) -> Result<Option<NodeKey>, StoreError>;

    /// Makes a registration code. `None`: it is for a node that is not there.
    async fn create_code(&self, code: NewCode, by: &Change) -> Result<Option<RegistrationCode>, StoreError>;
    /// The registration codes, newest first.
    async fn codes(&self, page: Page) -> Result<Vec<RegistrationCode>, StoreError>;
    /// One registration code.
    async fn code(&self, id: CodeId) -> Result<Option<RegistrationCode>, StoreError>;
    /// Takes a registration code back. False: no such code.
    async fn delete_code(&self, id: CodeId, by: &Change) -> Result<bool, StoreError>;

    /// Makes an admin token.
    async fn create_token(&self, token: NewToken, by: &Change) -> Result<AdminToken, StoreError>;
    /// The admin tokens, newest first.
    async fn tokens(&self, page: Page) -> Result<Vec<AdminToken>, StoreError>;
    /// The admin token with this hash, if it has not ended by `at`; notes the use, to the minute.
    async fn use_token(&self, hash: SecretHash, at: Time) -> Result<Option<AdminToken>, StoreError>;
    /// Deletes an admin token. False: no such token.
    async fn delete_token(&self, id: TokenId, by: &Change) -> Result<bool, StoreError>;

    /// Items that were put aside, newest first.
    async fn rejected(&self, what: RejectedTable, page: Page) -> Result<Vec<RejectedRow>, StoreError>;
    /// Who changed what, newest first.
    async fn audit(&self, page: Page) -> Result<Vec<AuditRow>, StoreError>;
    /// Makes these changes in order, all or none, each with an audit row; gives the rows that were put, in order, with their ids. What is wrong is
    /// named by its place in the list: `changes[3].userId`.
    async fn change_catalog(&self, changes: Vec<CatalogChange>, by: &Change) -> Result<CatalogOutcome, StoreError>;
    /// One row.
    async fn catalog_row(&self, row: RowRef) -> Result<Option<StoredRow>, StoreError>;
    /// Rows of one owner, newest first; without those that were deleted.
    async fn catalog_rows(&self, of: RowsOf, page: Page) -> Result<Vec<StoredRow>, StoreError>;
    /// What changed since this `catalog_changes.seq`: see [`CatalogDelta`].
    async fn load_changes(&self, since: i64) -> Result<CatalogDelta, StoreError>;
    /// Changes the status of subscriptions where it still is what it was; gives those that were changed.
    async fn change_statuses(&self, changes: &[StatusChange], by: &Change) -> Result<Vec<SubscriptionId>, StoreError>;
    /// Begins a new period at `at` for these subscriptions: `period_bytes` is 0, `limited` becomes `active`. Gives those that are there.
    async fn reset_subscriptions(
        &self,
        ids: &[SubscriptionId],
        at: Time,
        by: &Change,
    ) -> Result<Vec<SubscriptionId>, StoreError>;
    /// Begins the period that is due by each subscription's strategy, at most once a period whoever asks (`WHERE last_reset_at` is before it).
    /// Gives those that were reset; many go in several transactions, and what an absent store left out is due at the next call.
    async fn reset_due(&self, now: Time) -> Result<Vec<SubscriptionId>, StoreError>;
    /// The bytes of a user, summed by step, oldest first. Steps are whole ones, UTC: all that the span touches. Hours and days stay when their minutes go.
    async fn usage(&self, user: UserId, span: UsageSpan) -> Result<Vec<UsagePoint>, StoreError>;
    /// Brings `usage_hours` and `usage_days` up to the minutes, a bounded piece of work; true: there is more.
    async fn roll_up(&self) -> Result<bool, StoreError>;
    /// Keeps house as of `now`: makes room for the days that come and lets go of what is older than `keep`. A bounded piece of work a call;
    /// [`Upkeep::more`] says that there is more to do.
    async fn maintain(&self, now: Time, keep: Retention) -> Result<Upkeep, StoreError>;
    /// Writes the rows of an import: by id, new or in place of what was there. All or nothing.
    async fn import(&self, import: &CatalogImport, by: &Change) -> Result<(), StoreError>;
    /// The bytes that the store has counted, per table: what a check against an agent's own sums needs.
    async fn totals(&self) -> Result<Totals, StoreError>;
    /// What an operator should know of the store as it is, `now` being this machine's time. Changes nothing.
    async fn checkup(&self, now: Time) -> Result<Vec<Finding>, StoreError>;
}

/// Why a store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer now; the same call may work later.
    #[error("the store is away: {0}")]
    Away(String),
    /// It refuses this, and will again: `field` names what is wrong.
    #[error("{field} {message}")]
    Refused {
        /// The path of what is wrong, as the caller named it.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// A watermark or a row is not what it must be: going on would count wrongly.
    #[error("the store contradicts the journal: {0}")]
    Contradiction(String),
    /// A fault of ours.
    #[error("the store failed: {0}")]
    Broken(String),
}

impl StoreError {
    /// Its kind, as metrics name it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Away(_) => "away",
            Self::Refused { .. } => "refused",
            Self::Contradiction(_) => "contradiction",
            Self::Broken(_) => "broken",
        }
    }
}

/// Who makes a change, for the audit log: written in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// A token's name, or `cli`.
    pub actor: String,
    /// From where; none at the command line.
    pub address: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
    /// Now.
    pub at: Time,
}

/// A page of a list: ids below `before`, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only ids below this.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Everything that Core holds in memory, as of one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fleet {
    /// The last change that is in it.
    pub catalog_seq: i64,
    /// All nodes.
    pub nodes: Vec<NodeRecord>,
    /// All keys that live.
    pub keys: Vec<NodeKey>,
    /// Everything that configs are made of, deleted inbounds and outbounds included.
    pub catalog: Catalog,
    /// What subscriptions with a limit have used.
    pub quotas: Vec<Quota>,
}

/// A config that wants a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Whose config.
    pub node: NodeId,
    /// Its content.
    pub hash: ConfigHash,
    /// A revision that was given out without the store: the new one must be above it; 0 = none.
    pub above: i64,
}

/// What became of changes of the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub enum CatalogOutcome {
    /// All were made.
    Done(Vec<CatalogRow>),
    /// None was made: this row is not there.
    Missing(RowRef),
    /// None was made: this row does not say what the change expects.
    Stale(RowRef),
}

/// What changed of the catalogue: rows as they now are, and rows that are gone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CatalogDelta {
    /// The last change that is in it.
    pub seq: i64,
    /// So much changed, or the changes are no longer known: load everything.
    pub too_much: bool,
    /// Rows that are new or changed, deleted inbounds and outbounds included. Of members: all of each inbound whose members changed.
    pub rows: Catalog,
    /// Rows that are gone.
    pub gone: Vec<RowRef>,
    /// What the subscriptions in `rows` have used.
    pub quotas: Vec<Quota>,
    /// Inbounds whose members are all in `rows`.
    pub memberships: Vec<ProtocolId>,
    /// Whether nodes or keys changed: then they are all here.
    pub fleet: Option<(Vec<NodeRecord>, Vec<NodeKey>)>,
}

/// Which usage, and how it is summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageSpan {
    /// From this moment on.
    pub from: Time,
    /// Before this moment.
    pub to: Time,
    /// How it is summed.
    pub step: UsageStep,
}

/// How usage is summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum UsageStep {
    Minute,
    Hour,
    Day,
}

/// The bytes of a user within one step, per node, subscription and inbound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the columns of its name")]
pub struct UsagePoint {
    pub at: Time,
    pub node_id: NodeId,
    pub subscription_id: Option<SubscriptionId>,
    pub node_protocol_id: ProtocolId,
    pub bytes_up: i64,
    pub bytes_down: i64,
}

/// A piece of a journal. The store takes it over only if its watermark for the journal is `after`, and moves it to `upto` in the same
/// transaction. Entries whose identity was seen within their window are passed over, before the fold. What the store refuses for what is in it is put
/// aside, piece by piece ([`crate::model::piece`]): it never holds up the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The journal.
    pub journal: JournalId,
    /// Whose it is.
    pub instance: String,
    /// The watermark that must be there; [`Position::START`] also fits a journal that the store never met.
    pub after: Position,
    /// The last position of the piece; later than the last entry where records were damaged.
    pub upto: Position,
    /// Its entries, in order.
    pub entries: Vec<Entry>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Taken over.
    Committed {
        /// Entries that were repeats of others.
        repeats: u64,
        /// Sums that did not fit a column and were held at 2^63-1.
        saturated: u64,
        /// Rows that the store would not take, put aside one by one with its words.
        refused: u64,
        /// What the subscriptions that this batch counted for have now used.
        quotas: Vec<Quota>,
    },
    /// The watermark was another: nothing was changed.
    Elsewhere {
        /// The watermark that is there.
        watermark: Position,
    },
}

/// How long a store keeps what is counted over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Rows of `usage_minutes`.
    pub usage_minutes: Duration,
    /// Rows of `usage_hours`.
    pub usage_hours: Duration,
    /// Rows of `session_events`.
    pub session_events: Duration,
    /// Rows of `node_stats`.
    pub node_stats: Duration,
}

/// What keeping house came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upkeep {
    /// Partitions that were made.
    pub partitions_made: u64,
    /// Partitions that were dropped.
    pub partitions_dropped: u64,
    /// Rows that stood in no partition of their day and now do.
    pub rows_moved: u64,
    /// Rows that were deleted one by one.
    pub rows_deleted: u64,
    /// There is more to do.
    pub more: bool,
}

/// What became of a change of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum PatchOutcome {
    /// Done; the node as it now is.
    Done(Box<NodeRecord>),
    /// No such node.
    Missing,
    /// Its version is another.
    Stale,
    /// Another node has the name.
    NameTaken,
}

/// The two tables of items that were put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectedTable {
    /// `usage_rejected`.
    Usage,
    /// `events_rejected`.
    Events,
}

/// An item that was put aside.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RejectedRow {
    /// Grows with time.
    pub id: i64,
    /// Who sent it.
    pub node_id: NodeId,
    /// In which call.
    pub kind: String,
    /// Why it does not count.
    pub reason: String,
    /// The item as it was sent.
    pub item: serde_json::Value,
    /// When Core took it.
    pub received_at: Time,
}

/// A line of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRow {
    /// Grows with time.
    pub id: i64,
    /// When.
    pub at: Time,
    /// A token's name, or `cli`.
    pub actor: String,
    /// What was done: `node.patch`, `code.create`, …
    pub action: String,
    /// To which row.
    pub subject_id: Option<i64>,
    /// With which values; never a secret.
    pub details: serde_json::Value,
    /// From where.
    pub address: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
}

/// The bytes that a store has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "up and down of the table of its name")]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    pub usage_up: i64,
    pub usage_down: i64,
    pub hours_up: i64,
    pub hours_down: i64,
    pub days_up: i64,
    pub days_down: i64,
    pub subscriptions_up: i64,
    pub subscriptions_down: i64,
    pub outbounds_up: i64,
    pub outbounds_down: i64,
    pub session_events: i64,
}
