//! Nodes with their actors, and nothing around them but a journal: what the benches of single calls stand on.

use std::sync::Arc;

use actix::{ArbiterHandle, SystemRunner};
use criterion::async_executor::AsyncExecutor;
use tempfile::TempDir;
use vpn_core::{
    clock::Clock,
    events::Events,
    journal::{Journal, Options, RealDisk},
    model::{
        NodeId, ProtocolId, SubscriptionId, Time, UserId,
        clients::Clients,
        entry::Entry,
        node::{NodeRecord, Own, Seed, StoredState},
        node_config::{ConfigHash, NodeConfig, Rendered},
        presence::OnlineSet,
        stats::StatsSnapshot,
    },
    node::{Audience, Meter, Surroundings, registry::Nodes},
    store::sqlite::SqliteStore,
};

/// The revision of every node's config.
pub const REVISION: i64 = 1;

/// The inbound of every node.
pub const PROTOCOL: ProtocolId = ProtocolId(7);

/// The users 1 to this are clients of every node, with a subscription of the same number.
pub const CLIENTS: i64 = 100;

/// Hears everything, and does nothing.
struct Nobody;

impl Meter for Nobody {
    fn acknowledged(&self, _: &Entry, _: f64) {}

    fn knows(&self, _: SubscriptionId) -> bool {
        true
    }
}

impl Audience for Nobody {
    fn online(&self, _: &Arc<OnlineSet>) {}

    fn stats(&self, _: NodeId, _: &Arc<StatsSnapshot>) {}
}

/// See the module.
pub struct Heart {
    /// The nodes from 1 on, for calls that land on the shard of this thread.
    pub nodes: Nodes,
    /// Where reports become durable.
    pub journal: Journal,
    /// Where the store's file would be.
    pub store: Arc<SqliteStore>,
    _dir: TempDir,
}

impl Heart {
    /// So many nodes, whose actors live on this shard.
    pub fn new(shard: ArbiterHandle, count: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let journal = Journal::open(dir.path(), Options::default(), clock.clone(), Arc::new(RealDisk)).unwrap();
        let store = Arc::new(SqliteStore::open(&dir.path().join("core.db")).unwrap());
        let around = Surroundings {
            journal: journal.clone(),
            meter: Arc::new(Nobody),
            audience: Arc::new(Nobody),
            events: Events::new(clock.clone()),
            clock,
        };
        let nodes = Nodes::new(vec![shard], Arc::clone(&store) as Arc<_>, around);
        (1..=count).for_each(|id| nodes.adopt(seed(id)));
        Self {
            nodes: nodes.at(0),
            journal,
            store,
            _dir: dir,
        }
    }
}

/// A node as the catalogue knows it.
pub fn seed(id: i64) -> Seed {
    let rendered = Rendered {
        client_map: "{}".to_owned(),
        mtproto_client_map: "{}".to_owned(),
        services: "{}".to_owned(),
        structure: ConfigHash([0; 32]),
        users: ConfigHash([0; 32]),
        problems: Vec::new(),
    };
    let clients = (1..=CLIENTS).map(|id| (SubscriptionId(id), UserId(id)));
    let clients = Clients::default().follow(clients, Time::default());
    let record = NodeRecord {
        id: NodeId(id),
        name: format!("node-{id}"),
        ip: "192.0.2.1".parse().unwrap(),
        port: 8000,
        region: "de".to_owned(),
        domain: None,
        enabled: true,
        traffic_multiplier: 1.0,
        revision: REVISION,
        config_hash: None,
        state: StoredState::NEW,
        created_at: Time::default(),
        version: 1,
    };
    Seed {
        record: Arc::new(record),
        own: Own::new([PROTOCOL], ["direct".into()]).with_clients(Arc::new(clients)),
        config: Arc::new(NodeConfig::new(REVISION, rendered)),
    }
}

/// Runs what is measured on the thread of the system, as a shard does.
pub struct Here<'a>(pub &'a SystemRunner);

impl AsyncExecutor for Here<'_> {
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}
