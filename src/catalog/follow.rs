//! Follows the store: what changed, whose time has come, who crossed a limit; and brings the nodes that it touches up to date.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    events::Events,
    model::{
        NodeId, SubscriptionId, Time,
        catalog::{Subscription, SubscriptionStatus},
        catalog_change::{CatalogChange, RowRef},
        clients::Clients,
        node::{NodeKey, NodeRecord},
    },
    store::{Change, Fleet, Store, StoreError},
};

use super::{
    NodeSink,
    due::Due,
    ledger::Ledger,
    seat::{RENDERER, Renderer, Why},
    snapshot::Snapshot,
    words::Words,
};

/// A change waits for others so long; but the first of a row of changes not longer than that.
const QUIET: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// How often a config that could not be rendered is tried again.
const RENDER_AGAIN_EVERY: Duration = Duration::from_secs(1);

/// What a node was given.
#[derive(Debug)]
pub struct Given {
    /// Of its config.
    pub revision: i64,
    /// Whose bytes it might report.
    pub clients: Option<Arc<Clients>>,
}

/// The catalogue, as one owner holds it.
pub struct Catalogue {
    pub(super) store: Arc<dyn Store>,
    pub(super) sink: Arc<dyn NodeSink>,
    pub(super) events: Events,
    pub(super) clock: Clock,
    pub(super) renderer: Renderer,
    pub(super) snapshot: Snapshot,
    pub(super) records: HashMap<NodeId, Arc<NodeRecord>>,
    /// Whose bytes each node may report, as it was last told.
    pub(super) clients: HashMap<NodeId, Arc<Clients>>,
    /// Nodes whose configs are not what the catalogue says.
    pub(super) dirty: BTreeSet<NodeId>,
    /// Nodes whose configs could not be rendered, and when they are tried again.
    pub(super) fallen: BTreeSet<NodeId>,
    render_again_at: Time,
    /// Revisions that were given out without the store.
    pub(super) provisional: HashMap<NodeId, i64>,
    /// What was given out before the last stop: the store need not have heard of it.
    given_out: HashMap<NodeId, i64>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) crossed: mpsc::Receiver<SubscriptionId>,
    pub(super) due: Due,
    /// Statuses that the store has not heard of yet.
    pub(super) unsaid: HashMap<SubscriptionId, (SubscriptionStatus, SubscriptionStatus)>,
    /// The change up to which everything is known; `None` = nothing is.
    seq: Option<i64>,
    /// Where the store tells of changes by itself.
    words: Option<Words>,
    /// Changes that wait for quiet: the last that was seen, when it was, and when the first was.
    waiting: Option<(i64, Time, Time)>,
    pub(super) resets_at: Time,
    /// All nodes and keys, to be told when the nodes are seated: a key must never lead to a node that is not there yet.
    pending_keys: Option<(HashSet<NodeId>, Vec<NodeKey>)>,
}

impl Catalogue {
    /// A catalogue that knows nothing yet.
    pub fn new(
        store: Arc<dyn Store>,
        sink: Arc<dyn NodeSink>,
        (events, clock): (Events, Clock),
        (ledger, crossed): (Arc<Ledger>, mpsc::Receiver<SubscriptionId>),
    ) -> Self {
        let words = store.changes().map(Words::new);
        Self {
            store,
            sink,
            events,
            clock,
            renderer: RENDERER,
            snapshot: Snapshot::default(),
            records: HashMap::new(),
            clients: HashMap::new(),
            dirty: BTreeSet::new(),
            fallen: BTreeSet::new(),
            render_again_at: Time::default(),
            provisional: HashMap::new(),
            given_out: HashMap::new(),
            ledger,
            crossed,
            due: Due::default(),
            unsaid: HashMap::new(),
            seq: None,
            words,
            waiting: None,
            resets_at: Time::default(),
            pending_keys: None,
        }
    }

    /// Makes configs another way.
    pub fn with_renderer(self, renderer: Renderer) -> Self {
        Self { renderer, ..self }
    }

    /// What nodes were given before the last stop: no other content may have those revisions, and who was a client then is one who left if he is none now.
    pub fn remember(&mut self, given: HashMap<NodeId, Given>) {
        for (node, given) in given {
            self.given_out.insert(node, given.revision);
            if let Some(clients) = given.clients {
                self.clients.insert(node, clients);
            }
        }
    }

    /// One look at everything. Cut-offs come first, and never wait for the store. The first load is not this one's: what was acknowledged before must
    /// be in the store by then, or limits that it crossed would not hold.
    pub async fn look(&mut self) -> Result<(), StoreError> {
        self.heed_calls().await;
        self.pass_time().await;
        self.render_again();
        if self.seq.is_none() {
            return Ok(());
        }
        self.say_statuses().await?;
        self.reset_due().await?;
        if self.is_time_to_load().await? {
            self.load().await?;
        }
        self.seat_dirty(Why::Change).await
    }

    /// Loads what changed, or everything, at once. `serving`: nodes are answered meanwhile.
    pub async fn reload(&mut self, serving: bool) -> Result<(), StoreError> {
        let why = if serving { Why::Change } else { Why::Start };
        self.load().await?;
        self.pass_time().await;
        self.seat_dirty(why).await
    }

    /// Loads what is in the store before these changes are tried, if they could clash with it.
    pub(super) async fn catch_up(&mut self, changes: &[CatalogChange]) -> Result<(), StoreError> {
        let of_people = |change: &CatalogChange| {
            let row = match change {
                CatalogChange::Put { row, .. } => row.reference(),
                CatalogChange::Delete { row, .. } => *row,
                CatalogChange::Join { .. } | CatalogChange::Leave { .. } => return false,
            };
            matches!(row, RowRef::User(_) | RowRef::Subscription(_) | RowRef::Link(_))
        };
        if changes.iter().all(of_people) || self.seq == Some(self.store.catalog_seq().await?) {
            return Ok(());
        }
        self.load().await
    }

    /// A node that just registered.
    pub async fn welcome(&mut self, record: NodeRecord) {
        let node = record.id;
        self.records.insert(node, Arc::new(record));
        if let Err(error) = self.seat(&BTreeSet::from([node]), Why::Change).await {
            tracing::warn!(node = %node, %error, "a new node's config waits for its revision");
        }
    }

    async fn is_time_to_load(&mut self) -> Result<bool, StoreError> {
        let Some(known) = self.seq else { return Ok(false) };
        let now = self.clock.now();
        if self.waiting.is_none() && self.words.as_mut().is_some_and(|words| !words.say_so(now)) {
            return Ok(false);
        }
        let seq = self.store.catalog_seq().await?;
        self.words.iter_mut().for_each(|words| words.was_asked(now));
        if seq == known {
            self.waiting = None;
            return Ok(false);
        }
        let (last, since, first) = self.waiting.unwrap_or((seq, now, now));
        let since = if last == seq { since } else { now };
        self.waiting = Some((seq, since, first));
        Ok(now.since(since) >= QUIET || now.since(first) >= LONGEST_WAIT)
    }

    async fn load(&mut self) -> Result<(), StoreError> {
        self.waiting = None;
        let Some(known) = self.seq else {
            return self.load_all().await;
        };
        let mark = self.ledger.mark();
        let delta = self.store.load_changes(known).await?;
        if delta.too_much {
            return self.load_all().await;
        }
        self.note_subscriptions(&delta.rows.subscriptions);
        delta.quotas.iter().for_each(|quota| self.ledger.counted(*quota, mark));
        for row in &delta.gone {
            if let RowRef::Subscription(id) = row {
                self.due.forget(*id);
                self.ledger.forget(*id);
            }
        }
        let subscriptions: Vec<SubscriptionId> = delta.rows.subscriptions.iter().map(|row| row.id).collect();
        let touched = self.snapshot.apply(delta.rows, &delta.gone, &delta.memberships);
        self.dirty.extend(touched);
        self.reconsider(&subscriptions).await;
        if let Some((nodes, keys)) = delta.fleet {
            self.take_fleet(nodes, keys);
        }
        self.seq = Some(delta.seq);
        Ok(())
    }

    async fn load_all(&mut self) -> Result<(), StoreError> {
        let mark = self.ledger.mark();
        let Fleet {
            catalog_seq,
            nodes,
            keys,
            catalog,
            quotas,
        } = self.store.load_fleet().await?;
        quotas.iter().for_each(|quota| self.ledger.counted(*quota, mark));
        self.note_subscriptions(&catalog.subscriptions);
        self.snapshot = Snapshot::new(catalog);
        self.dirty.extend(nodes.iter().map(|node| node.id));
        self.take_fleet(nodes, keys);
        self.seq = Some(catalog_seq);
        let subscriptions: Vec<SubscriptionId> = self.snapshot.subscriptions().map(|row| row.id).collect();
        self.reconsider(&subscriptions).await;
        Ok(())
    }

    fn take_fleet(&mut self, nodes: Vec<NodeRecord>, keys: Vec<NodeKey>) {
        let ids: HashSet<NodeId> = nodes.iter().map(|node| node.id).collect();
        self.records.retain(|id, _| ids.contains(id));
        self.clients.retain(|id, _| ids.contains(id));
        self.dirty.retain(|id| ids.contains(id));
        self.fallen.retain(|id| ids.contains(id));
        let given_out = std::mem::take(&mut self.given_out);
        for record in nodes {
            if let Some(given) = given_out.get(&record.id).filter(|given| **given > record.revision) {
                self.provisional.insert(record.id, *given);
            }
            if !self
                .records
                .get(&record.id)
                .is_some_and(|known| same_identity(known, &record))
            {
                self.dirty.insert(record.id);
            }
            self.records.insert(record.id, Arc::new(record));
        }
        self.pending_keys = Some((ids, keys));
    }

    fn note_subscriptions(&mut self, rows: &[Subscription]) {
        for row in rows {
            self.due.note(row);
            self.ledger.set_limit(row.id, row.traffic_limit_bytes);
            self.unsaid.remove(&row.id);
        }
    }

    /// Whether changed subscriptions are what they say: one that is over its limit or time ends, one that was renewed comes back.
    pub(super) async fn reconsider(&mut self, subscriptions: &[SubscriptionId]) {
        let now = self.clock.now();
        for id in subscriptions {
            let Some(row) = self.snapshot.subscription(*id) else {
                continue;
            };
            let (over, late) = (self.ledger.is_over(*id), row.expires_at.is_some_and(|at| at <= now));
            match row.status {
                SubscriptionStatus::Active if late => self.end(*id, SubscriptionStatus::Expired).await,
                SubscriptionStatus::Active if over => self.end(*id, SubscriptionStatus::Limited).await,
                SubscriptionStatus::Limited if !over => self.revive(*id, SubscriptionStatus::Limited),
                SubscriptionStatus::Expired if !late => self.revive(*id, SubscriptionStatus::Expired),
                _ => {}
            }
        }
    }

    fn revive(&mut self, subscription: SubscriptionId, from: SubscriptionStatus) {
        tracing::info!(subscription = %subscription, "a subscription serves again");
        self.unsaid.insert(subscription, (from, SubscriptionStatus::Active));
        let touched = self.snapshot.set_status(subscription, SubscriptionStatus::Active);
        self.dirty.extend(touched);
    }

    async fn seat_dirty(&mut self, why: Why) -> Result<(), StoreError> {
        let mut left: Vec<NodeId> = self.dirty.iter().copied().collect();
        while !left.is_empty() {
            let slice: BTreeSet<NodeId> = left.drain(..left.len().min(why.slice())).collect();
            self.seat(&slice, why).await?;
            self.heed_calls().await;
        }
        if let Some((ids, keys)) = self.pending_keys.take() {
            self.sink.complete(&ids, keys);
        }
        Ok(())
    }

    fn render_again(&mut self) {
        let now = self.clock.now();
        if !self.fallen.is_empty() && now >= self.render_again_at {
            self.render_again_at = now.plus(RENDER_AGAIN_EVERY);
            self.dirty.append(&mut self.fallen);
        }
    }

    pub(super) fn by_core(&self) -> Change {
        Change {
            actor: "core".to_owned(),
            address: None,
            request_id: None,
            at: self.clock.now(),
        }
    }
}

/// Whether two rows of a node say the same of what configs and lists show.
fn same_identity(a: &NodeRecord, b: &NodeRecord) -> bool {
    let identity = |it: &NodeRecord| {
        (
            it.name.clone(),
            it.ip,
            it.port,
            it.region.clone(),
            it.domain.clone(),
            it.enabled,
        )
    };
    identity(a) == identity(b)
        && a.version == b.version
        && a.traffic_multiplier.to_bits() == b.traffic_multiplier.to_bits()
}
