//! The store in PostgreSQL, 15 or newer: one schema, a pool of connections, one door for transactions.

mod address;
mod admin;
mod catalog;
mod changing;
mod checkup;
mod codes;
mod commit;
mod copy;
mod counting;
mod deleting;
mod delta;
mod door;
mod fault;
mod home;
mod ids;
mod keys;
mod known;
mod leases;
mod line;
mod listen;
mod migrate;
mod nodes;
mod quotas;
mod repeats;
mod rows;
mod samples;
mod sifting;
mod sightings;
mod suspects;
mod table;
mod taking;
mod tls;
mod upkeep;
mod usage;
mod values;
mod writing;

use async_trait::async_trait;
use tokio::sync::watch;

pub use self::address::{Address, AddressError};
use self::{codes::Request, door::Door};
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

/// A store in one schema of a database. Clones share its connections; several instances may have the same schema.
#[derive(Clone)]
pub struct PostgresStore {
    door: Door,
    schema: String,
}

impl PostgresStore {
    /// A store at this address. It connects when it is first asked: a database that is away is no reason not to start.
    pub fn new(address: &Address) -> Result<Self, AddressError> {
        Ok(Self {
            door: Door::new(address)?,
            schema: address.schema.clone(),
        })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        let migrated = migrate::migrate(&self.door, &self.schema).await;
        migrated.map_err(fault::Fault::into_store_error)
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        let looking = self.door.read("pending_migrations", |line| async move {
            Ok(migrate::standing(&line).await?.pending)
        });
        looking.await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        let asking = self.door.glance("ping", |line| async move {
            line.query_one("SELECT 1", &[]).await?;
            Ok(())
        });
        asking.await
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(listen::listen(self.door.lines.clone(), self.schema.clone()))
    }

    async fn load_fleet(&self) -> Result<Fleet, StoreError> {
        let loading = self
            .door
            .read("load_fleet", |line| async move { catalog::fleet(&line).await });
        loading.await
    }

    async fn catalog_seq(&self) -> Result<i64, StoreError> {
        let asking = self
            .door
            .glance("catalog_seq", |line| async move { catalog::seq(&line).await });
        asking.await
    }

    async fn find_key(&self, hash: SecretHash) -> Result<Option<NodeKey>, StoreError> {
        let asking = self
            .door
            .glance("find_key", |line| async move { keys::find(&line, hash).await });
        asking.await
    }

    async fn register(&self, registration: Registration<'_>) -> Result<RegisterOutcome, StoreError> {
        let request = Request {
            code: registration.code,
            identity: &registration.identity,
            at: registration.at,
            issue: registration.issue_key,
        };
        let request = &request;
        self.door
            .write("register", |line| async move { codes::register(&line, request).await })
            .await
    }

    async fn mark_keys_used(&self, used: &[(SecretHash, Time)]) -> Result<(), StoreError> {
        self.door
            .write(
                "mark_keys_used",
                |line| async move { keys::mark_used(&line, used).await },
            )
            .await
    }

    async fn save_states(&self, at: Time, states: &[(NodeId, StoredState)]) -> Result<(), StoreError> {
        self.door
            .write("save_states", |line| async move {
                nodes::save_states(&line, at, states).await
            })
            .await
    }

    async fn settle_revisions(&self, wanted: &[Wanted]) -> Result<Vec<Option<i64>>, StoreError> {
        self.door
            .write("settle_revisions", |line| async move {
                nodes::settle_revisions(&line, wanted).await
            })
            .await
    }

    async fn raise_revision(&self, node: NodeId, reported: i64) -> Result<Option<i64>, StoreError> {
        self.door
            .write("raise_revision", |line| async move {
                nodes::raise_revision(&line, node, reported).await
            })
            .await
    }

    async fn watermark(&self, journal: JournalId) -> Result<Option<Position>, StoreError> {
        self.door
            .glance(
                "watermark",
                |line| async move { commit::watermark(&line, journal).await },
            )
            .await
    }

    async fn commit(&self, batch: Batch) -> Result<CommitOutcome, StoreError> {
        commit::take_over(&self.door, batch).await
    }

    async fn patch_node(
        &self,
        id: NodeId,
        patch: NodePatch,
        if_version: Option<i64>,
        by: &Change,
    ) -> Result<PatchOutcome, StoreError> {
        let patch = &patch;
        self.door
            .write("patch_node", |line| async move {
                nodes::patch(&line, id, patch, if_version, by).await
            })
            .await
    }

    async fn delete_node(&self, id: NodeId, by: &Change) -> Result<bool, StoreError> {
        self.door
            .write("delete_node", |line| async move { nodes::delete(&line, id, by).await })
            .await
    }

    async fn node_errors(&self, node: NodeId, page: Page) -> Result<Vec<NodeErrorRow>, StoreError> {
        self.door
            .glance(
                "node_errors",
                |line| async move { nodes::errors(&line, node, page).await },
            )
            .await
    }

    async fn node_keys(&self, node: NodeId) -> Result<Vec<NodeKey>, StoreError> {
        self.door
            .glance("node_keys", |line| async move { keys::of_node(&line, node).await })
            .await
    }

    async fn add_key(
        &self,
        node: NodeId,
        issue: &(dyn Fn(NodeId) -> SecretHash + Send + Sync),
        by: &Change,
    ) -> Result<Option<NodeKey>, StoreError> {
        self.door
            .write("add_key", |line| async move { keys::add(&line, node, issue, by).await })
            .await
    }

    async fn revoke_key(&self, node: NodeId, key: KeyId, by: &Change) -> Result<Option<NodeKey>, StoreError> {
        self.door
            .write(
                "revoke_key",
                |line| async move { keys::revoke(&line, node, key, by).await },
            )
            .await
    }

    async fn create_code(&self, code: NewCode, by: &Change) -> Result<Option<RegistrationCode>, StoreError> {
        let code = &code;
        self.door
            .write(
                "create_code",
                |line| async move { codes::create(&line, code, by).await },
            )
            .await
    }

    async fn codes(&self, page: Page) -> Result<Vec<RegistrationCode>, StoreError> {
        self.door
            .glance("codes", |line| async move { codes::list(&line, page).await })
            .await
    }

    async fn code(&self, id: CodeId) -> Result<Option<RegistrationCode>, StoreError> {
        self.door
            .glance("code", |line| async move { codes::find(&line, id).await })
            .await
    }

    async fn delete_code(&self, id: CodeId, by: &Change) -> Result<bool, StoreError> {
        self.door
            .write("delete_code", |line| async move { codes::delete(&line, id, by).await })
            .await
    }

    async fn create_token(&self, token: NewToken, by: &Change) -> Result<AdminToken, StoreError> {
        let token = &token;
        self.door
            .write("create_token", |line| async move {
                admin::create_token(&line, token, by).await
            })
            .await
    }

    async fn tokens(&self, page: Page) -> Result<Vec<AdminToken>, StoreError> {
        self.door
            .glance("tokens", |line| async move { admin::tokens(&line, page).await })
            .await
    }

    async fn use_token(&self, hash: SecretHash, at: Time) -> Result<Option<AdminToken>, StoreError> {
        admin::use_token(&self.door, hash, at).await
    }

    async fn delete_token(&self, id: TokenId, by: &Change) -> Result<bool, StoreError> {
        self.door
            .write("delete_token", |line| async move {
                admin::delete_token(&line, id, by).await
            })
            .await
    }

    async fn rejected(&self, what: RejectedTable, page: Page) -> Result<Vec<RejectedRow>, StoreError> {
        self.door
            .glance(
                "rejected",
                |line| async move { admin::rejected(&line, what, page).await },
            )
            .await
    }

    async fn audit(&self, page: Page) -> Result<Vec<AuditRow>, StoreError> {
        self.door
            .glance("audit", |line| async move { admin::audit_rows(&line, page).await })
            .await
    }

    async fn change_catalog(&self, changes: Vec<CatalogChange>, by: &Change) -> Result<CatalogOutcome, StoreError> {
        let changes = &changes;
        self.door
            .write("change_catalog", |line| async move {
                changing::change(&line, changes.clone(), by).await
            })
            .await
    }

    async fn catalog_row(&self, row: RowRef) -> Result<Option<StoredRow>, StoreError> {
        self.door
            .glance("catalog_row", |line| async move { table::row(&line, row).await })
            .await
    }

    async fn catalog_rows(&self, of: RowsOf, page: Page) -> Result<Vec<StoredRow>, StoreError> {
        self.door
            .glance("catalog_rows", |line| async move { table::list(&line, of, page).await })
            .await
    }

    async fn load_changes(&self, since: i64) -> Result<CatalogDelta, StoreError> {
        self.door
            .read("load_changes", |line| async move { delta::since(&line, since).await })
            .await
    }

    async fn change_statuses(&self, changes: &[StatusChange], by: &Change) -> Result<Vec<SubscriptionId>, StoreError> {
        self.door
            .write("change_statuses", |line| async move {
                quotas::change_statuses(&line, changes, by).await
            })
            .await
    }

    async fn reset_subscriptions(
        &self,
        ids: &[SubscriptionId],
        at: Time,
        by: &Change,
    ) -> Result<Vec<SubscriptionId>, StoreError> {
        self.door
            .write("reset_subscriptions", |line| async move {
                quotas::reset(&line, ids, at, by).await
            })
            .await
    }

    async fn reset_due(&self, now: Time) -> Result<Vec<SubscriptionId>, StoreError> {
        quotas::reset_all_due(&self.door, now).await
    }

    async fn usage(&self, user: UserId, span: UsageSpan) -> Result<Vec<UsagePoint>, StoreError> {
        self.door
            .glance("usage", |line| async move { usage::sums(&line, user, span).await })
            .await
    }

    async fn roll_up(&self) -> Result<bool, StoreError> {
        self.door
            .write("roll_up", |line| async move { usage::roll_up(&line).await })
            .await
    }

    async fn maintain(&self, now: Time, keep: Retention) -> Result<Upkeep, StoreError> {
        upkeep::maintain(&self.door, now, keep).await
    }

    async fn import(&self, import: &CatalogImport, by: &Change) -> Result<(), StoreError> {
        self.door
            .write(
                "import",
                |line| async move { changing::import(&line, import, by).await },
            )
            .await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.door
            .read("totals", |line| async move { usage::totals(&line).await })
            .await
    }

    async fn checkup(&self, now: Time) -> Result<Vec<Finding>, StoreError> {
        let schema = &self.schema;
        self.door
            .glance(
                "checkup",
                |line| async move { checkup::checkup(&line, schema, now).await },
            )
            .await
    }
}
