//! The embedded store: one `SQLite` file. One thread writes and one reads, so that no look-up waits for a flush.

mod admin;
mod asking;
mod catalog;
mod changing;
mod checkup;
mod codes;
mod commit;
mod connection;
mod counting;
mod deleting;
mod delta;
mod fault;
pub mod giving;
mod keys;
mod leases;
mod migrate;
mod nodes;
mod quotas;
mod rows;
mod samples;
mod sifting;
mod sightings;
mod suspects;
mod table;
mod upkeep;
mod usage;
mod values;
mod worker;
mod writing;

use std::path::Path;

use async_trait::async_trait;
use rusqlite::Transaction;
use tokio::sync::watch;

use self::{
    asking::answering,
    codes::Request,
    connection::{Line, Purpose},
    fault::Fault,
    worker::Worker,
};
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

/// A store in one file. Clones share its threads; several processes may open the file.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Worker,
    reader: Worker,
}

impl SqliteStore {
    /// Opens the file, and makes it if it is missing. The schema is another matter: [`Store::migrate`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let line = |purpose| Line::open(path, purpose).map_err(Fault::into_store_error);
        // The writer first: it makes the file what the reader expects.
        let (writing, reading) = (line(Purpose::Write)?, line(Purpose::Read)?);
        Ok(Self {
            writer: Worker::start("store-write", writing)?,
            reader: Worker::start("store-read", reading)?,
        })
    }

    /// Opens a file that is there, only to look at it: every change fails, and the file is not made what Core would make it.
    pub fn open_to_look(path: &Path) -> Result<Self, StoreError> {
        let line = || Line::existing(path, Purpose::Read);
        Ok(Self {
            writer: Worker::start("store-write", line())?,
            reader: Worker::start("store-read", line())?,
        })
    }

    /// The one door to a change: a transaction under the write lock, all or nothing.
    async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer.transact(name, work).await
    }

    /// The one door to a look-up: a transaction that sees one moment.
    async fn read<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.reader.transact(name, work).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.writer.with("migrate", migrate::migrate).await
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        self.read("pending_migrations", |tx| Ok(migrate::standing(tx)?.pending))
            .await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read("ping", |tx| {
            Ok(tx.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?)
        })
        .await
    }

    /// The file tells nobody; asking it costs some 20 us.
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    async fn load_fleet(&self) -> Result<Fleet, StoreError> {
        self.read("load_fleet", |tx| catalog::fleet(tx)).await
    }

    async fn catalog_seq(&self) -> Result<i64, StoreError> {
        self.read("catalog_seq", |tx| catalog::seq(tx)).await
    }

    async fn find_key(&self, hash: SecretHash) -> Result<Option<NodeKey>, StoreError> {
        self.read("find_key", move |tx| keys::find(tx, hash)).await
    }

    async fn register(&self, registration: Registration<'_>) -> Result<RegisterOutcome, StoreError> {
        let Registration {
            code,
            identity,
            at,
            issue_key,
        } = registration;
        let request = Request { code, identity, at };
        answering(issue_key, |questions| {
            self.write("register", move |tx| codes::register(tx, &request, &questions))
        })
        .await
    }

    async fn mark_keys_used(&self, used: &[(SecretHash, Time)]) -> Result<(), StoreError> {
        let used = used.to_vec();
        self.write("mark_keys_used", move |tx| keys::mark_used(tx, &used)).await
    }

    async fn save_states(&self, at: Time, states: &[(NodeId, StoredState)]) -> Result<(), StoreError> {
        let states = states.to_vec();
        self.write("save_states", move |tx| nodes::save_states(tx, at, &states))
            .await
    }

    async fn settle_revisions(&self, wanted: &[Wanted]) -> Result<Vec<Option<i64>>, StoreError> {
        let wanted = wanted.to_vec();
        self.write("settle_revisions", move |tx| nodes::settle_revisions(tx, &wanted))
            .await
    }

    async fn raise_revision(&self, node: NodeId, reported: i64) -> Result<Option<i64>, StoreError> {
        self.write("raise_revision", move |tx| nodes::raise_revision(tx, node, reported))
            .await
    }

    async fn watermark(&self, journal: JournalId) -> Result<Option<Position>, StoreError> {
        self.read("watermark", move |tx| commit::watermark(tx, journal)).await
    }

    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError> {
        let (outcome, refusals) = self.write("commit", move |tx| commit::commit(tx, batch)).await?;
        refusals.tell();
        Ok(outcome)
    }

    async fn patch_node(
        &self,
        id: NodeId,
        patch: NodePatch,
        if_version: Option<i64>,
        by: &Change,
    ) -> Result<PatchOutcome, StoreError> {
        let by = by.clone();
        self.write("patch_node", move |tx| nodes::patch(tx, id, &patch, if_version, &by))
            .await
    }

    async fn delete_node(&self, id: NodeId, by: &Change) -> Result<bool, StoreError> {
        let by = by.clone();
        self.write("delete_node", move |tx| nodes::delete(tx, id, &by)).await
    }

    async fn node_errors(&self, node: NodeId, page: Page) -> Result<Vec<NodeErrorRow>, StoreError> {
        self.read("node_errors", move |tx| nodes::errors(tx, node, page)).await
    }

    async fn node_keys(&self, node: NodeId) -> Result<Vec<NodeKey>, StoreError> {
        self.read("node_keys", move |tx| keys::of_node(tx, node)).await
    }

    async fn add_key(
        &self,
        node: NodeId,
        issue: &(dyn Fn(NodeId) -> SecretHash + Send + Sync),
        by: &Change,
    ) -> Result<Option<NodeKey>, StoreError> {
        let by = by.clone();
        answering(issue, |questions| {
            self.write("add_key", move |tx| keys::add(tx, node, &questions, &by))
        })
        .await
    }

    async fn revoke_key(&self, node: NodeId, key: KeyId, by: &Change) -> Result<Option<NodeKey>, StoreError> {
        let by = by.clone();
        self.write("revoke_key", move |tx| keys::revoke(tx, node, key, &by))
            .await
    }

    async fn create_code(&self, code: NewCode, by: &Change) -> Result<Option<RegistrationCode>, StoreError> {
        let by = by.clone();
        self.write("create_code", move |tx| codes::create(tx, &code, &by)).await
    }

    async fn codes(&self, page: Page) -> Result<Vec<RegistrationCode>, StoreError> {
        self.read("codes", move |tx| codes::list(tx, page)).await
    }

    async fn code(&self, id: CodeId) -> Result<Option<RegistrationCode>, StoreError> {
        self.read("code", move |tx| codes::find(tx, id)).await
    }

    async fn delete_code(&self, id: CodeId, by: &Change) -> Result<bool, StoreError> {
        let by = by.clone();
        self.write("delete_code", move |tx| codes::delete(tx, id, &by)).await
    }

    async fn create_token(&self, token: NewToken, by: &Change) -> Result<AdminToken, StoreError> {
        let by = by.clone();
        self.write("create_token", move |tx| admin::create_token(tx, &token, &by))
            .await
    }

    async fn tokens(&self, page: Page) -> Result<Vec<AdminToken>, StoreError> {
        self.read("tokens", move |tx| admin::tokens(tx, page)).await
    }

    async fn use_token(&self, hash: SecretHash, at: Time) -> Result<Option<AdminToken>, StoreError> {
        let found = self
            .read("find_token", move |tx| admin::find_token(tx, hash, at))
            .await?;
        let Some(mut token) = found else {
            return Ok(None);
        };
        let minute = at.minute();
        if token.last_used_at.is_none_or(|noted| noted < minute) {
            // A full disk must not lock the admins out: the note is a courtesy, and the next call tries again.
            let note = self.write("note_token_use", move |tx| admin::note_token_use(tx, token.id, minute));
            match note.await {
                Ok(()) => token.last_used_at = Some(minute),
                Err(error) => tracing::warn!(token = %token.id, %error, "the use of an admin token is not noted"),
            }
        }
        Ok(Some(token))
    }

    async fn delete_token(&self, id: TokenId, by: &Change) -> Result<bool, StoreError> {
        let by = by.clone();
        self.write("delete_token", move |tx| admin::delete_token(tx, id, &by))
            .await
    }

    async fn rejected(&self, what: RejectedTable, page: Page) -> Result<Vec<RejectedRow>, StoreError> {
        self.read("rejected", move |tx| admin::rejected(tx, what, page)).await
    }

    async fn audit(&self, page: Page) -> Result<Vec<AuditRow>, StoreError> {
        self.read("audit", move |tx| admin::audit_rows(tx, page)).await
    }

    async fn change_catalog(&self, changes: Vec<CatalogChange>, by: &Change) -> Result<CatalogOutcome, StoreError> {
        let by = by.clone();
        self.write("change_catalog", move |tx| changing::change(tx, changes, &by))
            .await
    }

    async fn catalog_row(&self, row: RowRef) -> Result<Option<StoredRow>, StoreError> {
        self.read("catalog_row", move |tx| table::row(tx, row)).await
    }

    async fn catalog_rows(&self, of: RowsOf, page: Page) -> Result<Vec<StoredRow>, StoreError> {
        self.read("catalog_rows", move |tx| table::list(tx, of, page)).await
    }

    async fn load_changes(&self, since: i64) -> Result<CatalogDelta, StoreError> {
        self.read("load_changes", move |tx| delta::since(tx, since)).await
    }

    async fn change_statuses(&self, changes: &[StatusChange], by: &Change) -> Result<Vec<SubscriptionId>, StoreError> {
        let (changes, by) = (changes.to_vec(), by.clone());
        self.write("change_statuses", move |tx| quotas::change_statuses(tx, &changes, &by))
            .await
    }

    async fn reset_subscriptions(
        &self,
        ids: &[SubscriptionId],
        at: Time,
        by: &Change,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        let (ids, by) = (ids.to_vec(), by.clone());
        self.write("reset_subscriptions", move |tx| quotas::reset(tx, &ids, at, &by))
            .await
    }

    async fn reset_due(&self, now: Time) -> Result<Vec<SubscriptionId>, StoreError> {
        // Nearly always nothing is due, and no flush has to wait to learn that.
        if !self.read("is_any_due", move |tx| quotas::is_any_due(tx, now)).await? {
            return Ok(Vec::new());
        }
        let mut done = Vec::new();
        loop {
            match self.write("reset_due", move |tx| quotas::reset_due(tx, now)).await {
                Ok(reset) => {
                    let is_last = reset.len() < quotas::RESETS_MAX as usize;
                    done.extend(reset);
                    if is_last {
                        return Ok(done);
                    }
                }
                // What was reset must be told; the rest is due at the next call.
                Err(error) if !done.is_empty() => {
                    tracing::warn!(%error, done = done.len(), "not all periods that are due could begin");
                    return Ok(done);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn usage(&self, user: UserId, span: UsageSpan) -> Result<Vec<UsagePoint>, StoreError> {
        self.read("usage", move |tx| usage::sums(tx, user, span)).await
    }

    /// They grow with the minutes: there is nothing to do.
    async fn roll_up(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn maintain(&self, now: Time, keep: Retention) -> Result<Upkeep, StoreError> {
        self.write("maintain", move |tx| upkeep::maintain(tx, now, keep)).await
    }

    async fn import(&self, import: &CatalogImport, by: &Change) -> Result<(), StoreError> {
        let (import, by) = (import.clone(), by.clone());
        self.write("import", move |tx| changing::import(tx, import, &by)).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.read("totals", |tx| counting::totals(tx)).await
    }

    async fn checkup(&self, _: Time) -> Result<Vec<Finding>, StoreError> {
        self.read("checkup", |tx| checkup::checkup(tx)).await
    }
}
