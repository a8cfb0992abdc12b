//! What it costs to bring configs up to date after a change of the catalogue.
//!
//! - `node_of_100000_clients`: one config from the catalogue in memory to the bytes that are served.
//! - `user_on_1000_nodes`: one user is added who is on 1,000 nodes of 100 clients each. The delta goes into the snapshot, and exactly the nodes that
//!   it touches are rendered; once with these nodes alone in the catalogue, once with 10,000 others beside them, which must not cost more. Beside it
//!   the same nodes from nothing: all rows sorted, all nodes rendered.
//!
//! The bare control of each is what no renderer can do without: writing the same configs as JSON out of trees that are built already, and hashing
//! the text once. `cargo bench --bench render`.

use std::{cell::RefCell, collections::BTreeMap, hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use uuid::Uuid;
use vpn_core::{
    catalog::{render::render, snapshot::Snapshot},
    model::{
        LinkId, LsId, NodeId, ProtocolId, SubscriptionId, Time, UserId,
        catalog::{Catalog, NodeProtocolLink},
        catalog_change::RowRef,
        node::{NodeRecord, StoredState},
        node_config::{ConfigHash, NodeConfig},
    },
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The nodes that the new user is on.
const AFFECTED: i64 = 1_000;
const OTHERS: i64 = 10_000;
const CLIENTS_A_NODE: i64 = 100;
const PEOPLE: i64 = 10_000;
/// Whose rows all have this number.
const NEWCOMER: i64 = PEOPLE + 1;

criterion_group!(benches, large_node, one_user_added);
criterion_main!(benches);

fn large_node(criterion: &mut Criterion) {
    const CLIENTS: i64 = 100_000;
    let mut catalog = Catalog::default();
    add_people(&mut catalog, 1, CLIENTS);
    add_node(&mut catalog, 1);
    catalog.node_protocol_links = (1..=CLIENTS).map(|ls| member(1, ls)).collect();
    let (record, snapshot) = (record(1), Snapshot::new(catalog));
    let config = config(&record, &snapshot);
    assert_eq!(config.problems(), []);
    let tree = tree(&config);
    eprintln!("a node of {CLIENTS} clients: {} bytes", config.body_len());

    let mut group = criterion.benchmark_group("node_of_100000_clients");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("control_write_and_hash", |bencher| {
        bencher.iter_with_large_drop(|| write_and_hash(black_box(&tree)));
    });
    group.bench_function("render", |bencher| {
        bencher.iter_with_large_drop(|| self::config(&record, black_box(&snapshot)));
    });
    group.finish();
}

fn one_user_added(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("user_on_1000_nodes");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    let trees: Vec<Value> = World::new(AFFECTED).take_newcomer(delta()).iter().map(tree).collect();
    group.bench_function("control_write_and_hash", |bencher| {
        bencher.iter_with_large_drop(|| black_box(&trees).iter().map(write_and_hash).collect::<Vec<_>>());
    });
    drop(trees);
    group.bench_function("from_nothing", |bencher| {
        bencher.iter_batched(
            || whole(AFFECTED),
            |catalog| {
                let world = World::of(catalog, AFFECTED);
                let configs = world.render((1..=AFFECTED).map(NodeId));
                (world, configs)
            },
            BatchSize::PerIteration,
        );
    });
    for (name, nodes) in [("delta", AFFECTED), ("delta_beside_10000_others", AFFECTED + OTHERS)] {
        let world = RefCell::new(World::new(nodes));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    world.borrow_mut().forget_newcomer();
                    delta()
                },
                |delta| world.borrow_mut().take_newcomer(delta),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// A catalogue in memory, and the nodes that it is of.
struct World {
    snapshot: Snapshot,
    records: BTreeMap<NodeId, NodeRecord>,
}

impl World {
    fn new(nodes: i64) -> Self {
        Self::of(whole(nodes), nodes)
    }

    fn of(catalog: Catalog, nodes: i64) -> Self {
        Self {
            snapshot: Snapshot::new(catalog),
            records: (1..=nodes).map(|id| (NodeId(id), record(id))).collect(),
        }
    }

    fn render(&self, nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeConfig> {
        let nodes = nodes.into_iter();
        nodes.map(|node| config(&self.records[&node], &self.snapshot)).collect()
    }

    /// What Core does when the store says that these rows changed.
    fn take_newcomer(&mut self, delta: Catalog) -> Vec<NodeConfig> {
        let touched = self.snapshot.apply(delta, &[], &affected());
        assert_eq!(touched.len(), affected().len());
        self.render(touched)
    }

    fn forget_newcomer(&mut self) {
        let rows = Catalog {
            node_protocol_links: members(AFFECTED),
            ..Catalog::default()
        };
        let gone = [
            RowRef::User(UserId(NEWCOMER)),
            RowRef::Subscription(SubscriptionId(NEWCOMER)),
            RowRef::Link(LinkId(NEWCOMER)),
            RowRef::SubscriptionLink(LsId(NEWCOMER)),
        ];
        self.snapshot.apply(rows, &gone, &affected());
    }
}

/// What the store gives of the change: the newcomer's rows, and of each inbound that he joined all members.
fn delta() -> Catalog {
    let mut delta = Catalog::default();
    add_people(&mut delta, NEWCOMER, NEWCOMER);
    delta.node_protocol_links = members(AFFECTED);
    let joins = (1..=AFFECTED).map(|node| member(node, NEWCOMER));
    delta.node_protocol_links.extend(joins);
    delta
}

fn affected() -> Vec<ProtocolId> {
    (1..=AFFECTED).map(ProtocolId).collect()
}

/// A catalogue of so many nodes without the newcomer.
fn whole(nodes: i64) -> Catalog {
    let mut catalog = Catalog::default();
    add_people(&mut catalog, 1, PEOPLE);
    (1..=nodes).for_each(|node| add_node(&mut catalog, node));
    catalog.node_protocol_links = members(nodes);
    catalog
}

fn members(nodes: i64) -> Vec<NodeProtocolLink> {
    let of_node = |node| {
        let before = node * CLIENTS_A_NODE % PEOPLE;
        (before + 1..=before + CLIENTS_A_NODE).map(move |ls| member(node, ls))
    };
    (1..=nodes).flat_map(of_node).collect()
}

const fn member(node: i64, ls: i64) -> NodeProtocolLink {
    NodeProtocolLink {
        proto_id: ProtocolId(node),
        ls_id: LsId(ls),
        slot: None,
    }
}

/// Each with a subscription, a link and credentials of his number.
fn add_people(catalog: &mut Catalog, first: i64, last: i64) {
    for id in first..=last {
        let uuid = Uuid::from_u128(0x5000_8000_u128 << 64 | u128::from(id.unsigned_abs()));
        catalog.users.push(row(json!({"id": id, "uuid": uuid, "name": "user"})));
        catalog.subscriptions.push(row(json!({"id": id, "userId": id})));
        catalog
            .links
            .push(row(json!({"id": id, "userId": id, "name": "phone"})));
        let credentials = json!({"id": id, "uuid": uuid, "linkId": id, "subscriptionId": id});
        catalog.subscription_links.push(row(credentials));
    }
}

/// A node with one inbound and one outbound of its number.
fn add_node(catalog: &mut Catalog, id: i64) {
    let inbound = json!({"id": id, "nodeId": id, "protocol": "vless", "port": 443});
    catalog.node_protocols.push(row(inbound));
    let outbound = json!({"id": id, "nodeId": id, "tag": "exit", "protocol": "freedom"});
    catalog.node_outbounds.push(row(outbound));
}

fn row<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).expect("it is a row")
}

fn record(id: i64) -> NodeRecord {
    NodeRecord {
        id: NodeId(id),
        name: format!("node-{id}"),
        ip: std::net::Ipv4Addr::new(192, 0, 2, 1).into(),
        port: 8000,
        region: "de".to_owned(),
        domain: None,
        enabled: true,
        traffic_multiplier: 1.0,
        revision: 1,
        config_hash: None,
        state: StoredState::NEW,
        created_at: Time::default(),
        version: 1,
    }
}

/// The way of every config: rendered, put under a revision, kept as bytes.
fn config(record: &NodeRecord, snapshot: &Snapshot) -> NodeConfig {
    NodeConfig::new(record.revision + 1, render(record, snapshot, Time::default()))
}

fn tree(config: &NodeConfig) -> Value {
    serde_json::from_str(&config.body()).expect("a config is JSON")
}

fn write_and_hash(tree: &Value) -> (String, ConfigHash) {
    let text = tree.to_string();
    let hash = ConfigHash::of([text.as_str()]);
    (text, hash)
}
