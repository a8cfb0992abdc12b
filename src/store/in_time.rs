//! A store that answers in time, whatever the one behind it does: one that hangs is away, one that panics failed.

mod leases;
mod samples;
mod sightings;
mod suspects;

use std::{future::Future, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::sync::watch;

use super::{
    AuditRow, Batch, CatalogDelta, CatalogOutcome, Change, CommitOutcome, Fleet, Page, PatchOutcome, RejectedRow,
    RejectedTable, Retention, Store, StoreError, Totals, Upkeep, UsagePoint, UsageSpan, Wanted,
};
use crate::model::{
    CodeId, JournalId, KeyId, NodeId, Position, SubscriptionId, Time, TokenId, UserId,
    catalog::CatalogImport,
    catalog_change::{CatalogChange, RowRef, RowsOf, StoredRow},
    finding::Finding,
    node::{NewCode, NodeErrorRow, NodeKey, NodePatch, RegisterOutcome, Registration, RegistrationCode, StoredState},
    quota::StatusChange,
    secrets::{AdminToken, NewToken, SecretHash},
};

/// For calls that somebody waits for: register and admin calls are answered with 503 within 3 s, and most make one such call before they
/// know.
const QUICK: Duration = Duration::from_secs(2);

/// For calls that carry much and that nobody waits for: a batch of 30,000 rows takes a second or two on a slow disk, a fleet of 10,000 nodes some
/// seconds.
const LONG: Duration = Duration::from_secs(30);

/// A list of more changes than this carries much: 4,000 take 0.1 s.
const MANY: usize = 1_000;

/// See the module. A call that is given up may still be done, as with any lost answer.
pub struct InTime(Arc<dyn Store>);

impl InTime {
    /// The same store, in time.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(limit, whole(call)).await.unwrap_or_else(|_| {
        metrics::counter!("core_store_timeouts_total").increment(1);
        Err(StoreError::Away(format!("no answer within {} s", limit.as_secs())))
    })
}

/// A call that panics ends alone: the actors and jobs that ask the store are not revived by anybody.
async fn whole<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let caught = AssertUnwindSafe(call).catch_unwind().await;
    caught.unwrap_or_else(|_| Err(StoreError::Broken("it panicked".to_owned())))
}

#[async_trait]
impl Store for InTime {
    /// Without a limit: it may have to rebuild tables of any size.
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        whole(self.0.migrate()).await
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        within(QUICK, self.0.pending_migrations()).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        within(QUICK, self.0.ping()).await
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        self.0.changes()
    }

    async fn load_fleet(&self) -> Result<Fleet, StoreError> {
        within(LONG, self.0.load_fleet()).await
    }

    async fn catalog_seq(&self) -> Result<i64, StoreError> {
        within(QUICK, self.0.catalog_seq()).await
    }

    async fn find_key(&self, hash: SecretHash) -> Result<Option<NodeKey>, StoreError> {
        within(QUICK, self.0.find_key(hash)).await
    }

    async fn register(&self, registration: Registration<'_>) -> Result<RegisterOutcome, StoreError> {
        within(QUICK, self.0.register(registration)).await
    }

    async fn mark_keys_used(&self, used: &[(SecretHash, Time)]) -> Result<(), StoreError> {
        within(QUICK, self.0.mark_keys_used(used)).await
    }

    async fn save_states(&self, at: Time, states: &[(NodeId, StoredState)]) -> Result<(), StoreError> {
        within(LONG, self.0.save_states(at, states)).await
    }

    async fn settle_revisions(&self, wanted: &[Wanted]) -> Result<Vec<Option<i64>>, StoreError> {
        within(QUICK, self.0.settle_revisions(wanted)).await
    }

    async fn change_catalog(&self, changes: Vec<CatalogChange>, by: &Change) -> Result<CatalogOutcome, StoreError> {
        let limit = if changes.len() > MANY { LONG } else { QUICK };
        within(limit, self.0.change_catalog(changes, by)).await
    }

    async fn catalog_row(&self, row: RowRef) -> Result<Option<StoredRow>, StoreError> {
        within(QUICK, self.0.catalog_row(row)).await
    }

    async fn catalog_rows(&self, of: RowsOf, page: Page) -> Result<Vec<StoredRow>, StoreError> {
        within(QUICK, self.0.catalog_rows(of, page)).await
    }

    async fn load_changes(&self, since: i64) -> Result<CatalogDelta, StoreError> {
        within(LONG, self.0.load_changes(since)).await
    }

    async fn change_statuses(&self, changes: &[StatusChange], by: &Change) -> Result<Vec<SubscriptionId>, StoreError> {
        within(QUICK, self.0.change_statuses(changes, by)).await
    }

    async fn reset_subscriptions(
        &self,
        ids: &[SubscriptionId],
        at: Time,
        by: &Change,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        within(QUICK, self.0.reset_subscriptions(ids, at, by)).await
    }

    async fn reset_due(&self, now: Time) -> Result<Vec<SubscriptionId>, StoreError> {
        within(LONG, self.0.reset_due(now)).await
    }

    async fn usage(&self, user: UserId, span: UsageSpan) -> Result<Vec<UsagePoint>, StoreError> {
        within(QUICK, self.0.usage(user, span)).await
    }

    async fn roll_up(&self) -> Result<bool, StoreError> {
        within(LONG, self.0.roll_up()).await
    }

    async fn maintain(&self, now: Time, keep: Retention) -> Result<Upkeep, StoreError> {
        within(LONG, self.0.maintain(now, keep)).await
    }

    async fn raise_revision(&self, node: NodeId, reported: i64) -> Result<Option<i64>, StoreError> {
        within(QUICK, self.0.raise_revision(node, reported)).await
    }

    async fn watermark(&self, journal: JournalId) -> Result<Option<Position>, StoreError> {
        within(QUICK, self.0.watermark(journal)).await
    }

    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError> {
        within(LONG, self.0.commit(batch)).await
    }

    async fn patch_node(
        &self,
        id: NodeId,
        patch: NodePatch,
        if_version: Option<i64>,
        by: &Change,
    ) -> Result<PatchOutcome, StoreError> {
        within(QUICK, self.0.patch_node(id, patch, if_version, by)).await
    }

    async fn delete_node(&self, id: NodeId, by: &Change) -> Result<bool, StoreError> {
        within(QUICK, self.0.delete_node(id, by)).await
    }

    async fn node_errors(&self, node: NodeId, page: Page) -> Result<Vec<NodeErrorRow>, StoreError> {
        within(QUICK, self.0.node_errors(node, page)).await
    }

    async fn node_keys(&self, node: NodeId) -> Result<Vec<NodeKey>, StoreError> {
        within(QUICK, self.0.node_keys(node)).await
    }

    async fn add_key(
        &self,
        node: NodeId,
        issue: &(dyn Fn(NodeId) -> SecretHash + Send + Sync),
        by: &Change,
    ) -> Result<Option<NodeKey>, StoreError> {
        within(QUICK, self.0.add_key(node, issue, by)).await
    }

    async fn revoke_key(&self, node: NodeId, key: KeyId, by: &Change) -> Result<Option<NodeKey>, StoreError> {
        within(QUICK, self.0.revoke_key(node, key, by)).await
    }

    async fn create_code(&self, code: NewCode, by: &Change) -> Result<Option<RegistrationCode>, StoreError> {
        within(QUICK, self.0.create_code(code, by)).await
    }

    async fn codes(&self, page: Page) -> Result<Vec<RegistrationCode>, StoreError> {
        within(QUICK, self.0.codes(page)).await
    }

    async fn code(&self, id: CodeId) -> Result<Option<RegistrationCode>, StoreError> {
        within(QUICK, self.0.code(id)).await
    }

    async fn delete_code(&self, id: CodeId, by: &Change) -> Result<bool, StoreError> {
        within(QUICK, self.0.delete_code(id, by)).await
    }

    async fn create_token(&self, token: NewToken, by: &Change) -> Result<AdminToken, StoreError> {
        within(QUICK, self.0.create_token(token, by)).await
    }

    async fn tokens(&self, page: Page) -> Result<Vec<AdminToken>, StoreError> {
        within(QUICK, self.0.tokens(page)).await
    }

    async fn use_token(&self, hash: SecretHash, at: Time) -> Result<Option<AdminToken>, StoreError> {
        within(QUICK, self.0.use_token(hash, at)).await
    }

    async fn delete_token(&self, id: TokenId, by: &Change) -> Result<bool, StoreError> {
        within(QUICK, self.0.delete_token(id, by)).await
    }

    async fn rejected(&self, what: RejectedTable, page: Page) -> Result<Vec<RejectedRow>, StoreError> {
        within(QUICK, self.0.rejected(what, page)).await
    }

    async fn audit(&self, page: Page) -> Result<Vec<AuditRow>, StoreError> {
        within(QUICK, self.0.audit(page)).await
    }

    async fn import(&self, import: &CatalogImport, by: &Change) -> Result<(), StoreError> {
        within(LONG, self.0.import(import, by)).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        within(LONG, self.0.totals()).await
    }

    async fn checkup(&self, now: Time) -> Result<Vec<Finding>, StoreError> {
        within(LONG, self.0.checkup(now)).await
    }
}
