//! A store that does what the test wants: works, fails every call, hangs, or does what it is asked and loses the answer.

mod history;

use std::{
    future::Future,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use tokio::sync::watch;
use vpn_core::{
    model::{
        CodeId, JournalId, KeyId, NodeId, Position, SubscriptionId, Time, TokenId, UserId,
        catalog::CatalogImport,
        catalog_change::{CatalogChange, RowRef, RowsOf, StoredRow},
        finding::Finding,
        node::{
            NewCode, NodeErrorRow, NodeKey, NodePatch, RegisterOutcome, Registration, RegistrationCode, StoredState,
        },
        quota::StatusChange,
        secrets::{AdminToken, NewToken, SecretHash},
    },
    store::{
        AuditRow, Batch, CatalogDelta, CatalogOutcome, Change, CommitOutcome, Fleet, Page, PatchOutcome, RejectedRow,
        RejectedTable, Retention, Store, StoreError, Totals, Upkeep, UsagePoint, UsageSpan, Wanted,
        sqlite::SqliteStore,
    },
};

/// What a store does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It does it.
    Well,
    /// It fails at once.
    Away,
    /// It does nothing and says nothing until its mood changes.
    Hanging,
    /// It does it; but if it is a change, it says that it failed.
    Mute,
    /// It panics.
    Falling,
}

const READS: bool = false;
const CHANGES: bool = true;

/// See the module.
pub struct FaultyStore {
    inner: Mutex<Arc<dyn Store>>,
    mood: watch::Sender<Mood>,
    /// What it does with calls to sum hours and days, when it is well otherwise.
    pub rolling: watch::Sender<Mood>,
    /// Calls to sum hours and days.
    pub rolls: AtomicU64,
    /// Calls that did not get through.
    pub failures: AtomicU64,
}

impl FaultyStore {
    /// Over the embedded store in this file.
    pub fn open(file: &Path, mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Arc::new(SqliteStore::open(file).unwrap())),
            mood: watch::Sender::new(mood),
            rolling: watch::Sender::new(Mood::Well),
            rolls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    /// From now on.
    pub fn feel(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// Puts another store in place of the one behind, as a restore of a backup does.
    pub fn swap(&self, file: &Path) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(SqliteStore::open(file).unwrap());
    }

    fn inner(&self) -> Arc<dyn Store> {
        Arc::clone(&self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn through<T>(
        &self,
        changes: bool,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let mut mood = self.mood.subscribe();
        let now = *mood.borrow_and_update();
        if now != Mood::Well {
            self.failures.fetch_add(1, SeqCst);
        }
        let then = *mood.wait_for(|mood| *mood != Mood::Hanging).await.unwrap();
        match then {
            Mood::Well | Mood::Hanging => call.await,
            Mood::Mute if !changes => call.await,
            Mood::Away => Err(StoreError::Away("the test says so".to_owned())),
            Mood::Mute => {
                call.await?;
                Err(StoreError::Away("the answer is lost".to_owned()))
            }
            Mood::Falling => panic!("the test says so"),
        }
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.migrate()).await
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.pending_migrations()).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let inner = self.inner();
        self.through(READS, inner.ping()).await
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        self.inner().changes()
    }

    async fn load_fleet(&self) -> Result<Fleet, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.load_fleet()).await
    }

    async fn catalog_seq(&self) -> Result<i64, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.catalog_seq()).await
    }

    async fn find_key(&self, hash: SecretHash) -> Result<Option<NodeKey>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.find_key(hash)).await
    }

    async fn register(&self, registration: Registration<'_>) -> Result<RegisterOutcome, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.register(registration)).await
    }

    async fn mark_keys_used(&self, used: &[(SecretHash, Time)]) -> Result<(), StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.mark_keys_used(used)).await
    }

    async fn save_states(&self, at: Time, states: &[(NodeId, StoredState)]) -> Result<(), StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.save_states(at, states)).await
    }

    async fn settle_revisions(&self, wanted: &[Wanted]) -> Result<Vec<Option<i64>>, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.settle_revisions(wanted)).await
    }

    async fn change_catalog(&self, changes: Vec<CatalogChange>, by: &Change) -> Result<CatalogOutcome, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.change_catalog(changes, by)).await
    }

    async fn catalog_row(&self, row: RowRef) -> Result<Option<StoredRow>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.catalog_row(row)).await
    }

    async fn catalog_rows(&self, of: RowsOf, page: Page) -> Result<Vec<StoredRow>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.catalog_rows(of, page)).await
    }

    async fn load_changes(&self, since: i64) -> Result<CatalogDelta, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.load_changes(since)).await
    }

    async fn change_statuses(&self, changes: &[StatusChange], by: &Change) -> Result<Vec<SubscriptionId>, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.change_statuses(changes, by)).await
    }

    async fn reset_subscriptions(
        &self,
        ids: &[SubscriptionId],
        at: Time,
        by: &Change,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.reset_subscriptions(ids, at, by)).await
    }

    async fn reset_due(&self, now: Time) -> Result<Vec<SubscriptionId>, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.reset_due(now)).await
    }

    async fn usage(&self, user: UserId, span: UsageSpan) -> Result<Vec<UsagePoint>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.usage(user, span)).await
    }

    async fn roll_up(&self) -> Result<bool, StoreError> {
        let inner = self.inner();
        self.rolls.fetch_add(1, SeqCst);
        let mut rolling = self.rolling.subscribe();
        if *rolling.wait_for(|mood| *mood != Mood::Hanging).await.unwrap() == Mood::Away {
            return Err(StoreError::Away("the test says so".to_owned()));
        }
        self.through(CHANGES, inner.roll_up()).await
    }

    async fn maintain(&self, now: Time, keep: Retention) -> Result<Upkeep, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.maintain(now, keep)).await
    }

    async fn raise_revision(&self, node: NodeId, reported: i64) -> Result<Option<i64>, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.raise_revision(node, reported)).await
    }

    async fn watermark(&self, journal: JournalId) -> Result<Option<Position>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.watermark(journal)).await
    }

    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.commit(batch)).await
    }

    async fn patch_node(
        &self,
        id: NodeId,
        patch: NodePatch,
        if_version: Option<i64>,
        by: &Change,
    ) -> Result<PatchOutcome, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.patch_node(id, patch, if_version, by)).await
    }

    async fn delete_node(&self, id: NodeId, by: &Change) -> Result<bool, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.delete_node(id, by)).await
    }

    async fn node_errors(&self, node: NodeId, page: Page) -> Result<Vec<NodeErrorRow>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.node_errors(node, page)).await
    }

    async fn node_keys(&self, node: NodeId) -> Result<Vec<NodeKey>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.node_keys(node)).await
    }

    async fn add_key(
        &self,
        node: NodeId,
        issue: &(dyn Fn(NodeId) -> SecretHash + Send + Sync),
        by: &Change,
    ) -> Result<Option<NodeKey>, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.add_key(node, issue, by)).await
    }

    async fn revoke_key(&self, node: NodeId, key: KeyId, by: &Change) -> Result<Option<NodeKey>, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.revoke_key(node, key, by)).await
    }

    async fn create_code(&self, code: NewCode, by: &Change) -> Result<Option<RegistrationCode>, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.create_code(code, by)).await
    }

    async fn codes(&self, page: Page) -> Result<Vec<RegistrationCode>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.codes(page)).await
    }

    async fn code(&self, id: CodeId) -> Result<Option<RegistrationCode>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.code(id)).await
    }

    async fn delete_code(&self, id: CodeId, by: &Change) -> Result<bool, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.delete_code(id, by)).await
    }

    async fn create_token(&self, token: NewToken, by: &Change) -> Result<AdminToken, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.create_token(token, by)).await
    }

    async fn tokens(&self, page: Page) -> Result<Vec<AdminToken>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.tokens(page)).await
    }

    async fn use_token(&self, hash: SecretHash, at: Time) -> Result<Option<AdminToken>, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.use_token(hash, at)).await
    }

    async fn delete_token(&self, id: TokenId, by: &Change) -> Result<bool, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.delete_token(id, by)).await
    }

    async fn rejected(&self, what: RejectedTable, page: Page) -> Result<Vec<RejectedRow>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.rejected(what, page)).await
    }

    async fn audit(&self, page: Page) -> Result<Vec<AuditRow>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.audit(page)).await
    }

    async fn import(&self, import: &CatalogImport, by: &Change) -> Result<(), StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.import(import, by)).await
    }

    async fn checkup(&self, now: Time) -> Result<Vec<Finding>, StoreError> {
        self.through(READS, self.inner().checkup(now)).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.totals()).await
    }
}
