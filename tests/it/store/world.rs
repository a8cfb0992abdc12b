//! Stores to test, and what the tests put into them.

use std::net::IpAddr;

use serde_json::json;
use uuid::Uuid;
use vpn_core::{
    model::{
        JournalId, LinkId, LsId, NodeId, OutboundId, Position, ProtocolId, SubscriptionId, Time, UserId,
        catalog::{
            Catalog, CatalogImport, ImportedNode, Link, NodeOutbound, NodeProtocol, NodeProtocolLink, NodeRoutingRule,
            ResetStrategy, Subscription, SubscriptionLink, SubscriptionStatus, User, UserStatus, VpnProtocol,
        },
        catalog_change::{CatalogChange, CatalogRow, RowRef},
        entry::{Entry, Identity, Payload, Report},
        node::{NewCode, NodeIdentity, NodeKey, NodeRecord, RegisterOutcome, Registration, RegistrationCode},
        node_config::ConfigHash,
        secrets::SecretHash,
        usage::{OutboundRow, UsageRow},
    },
    store::{Batch, CatalogOutcome, Change, CommitOutcome, Page, Store, StoreError, Wanted},
};

pub use super::place::{in_each_place, on_each};

/// 2026-11-24T12:00:00Z and so many seconds.
pub fn second(seconds: i64) -> Time {
    Time::from_millis(1_795_521_600_000 + seconds * 1_000)
}

pub fn by(actor: &str) -> Change {
    Change {
        actor: actor.to_owned(),
        address: Some("192.0.2.9".to_owned()),
        request_id: Some("r-1".to_owned()),
        at: second(0),
    }
}

pub fn all() -> Page {
    Page {
        before: None,
        limit: 1_000,
    }
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn identity(name: &str) -> NodeIdentity {
    NodeIdentity {
        name: name.to_owned(),
        ip: address("198.51.100.7"),
        port: 4_443,
        region: "eu".to_owned(),
        domain: Some("edge.example.test".to_owned()),
    }
}

/// A code that lives for an hour.
pub fn new_code(text: &str) -> NewCode {
    NewCode {
        hash: SecretHash::of(text),
        name: Some(text.to_owned()),
        node_id: None,
        created_at: second(0),
        expires_at: second(3_600),
        uses: 1,
    }
}

pub async fn make_code(store: &dyn Store, code: NewCode) -> RegistrationCode {
    store.create_code(code, &by("cli")).await.unwrap().unwrap()
}

/// Registers with the code `code`; the key is `key`.
pub async fn register(store: &dyn Store, code: &str, name: &str, key: &str, at: Time) -> RegisterOutcome {
    let issue_key = |_: NodeId| SecretHash::of(key);
    let registration = Registration {
        code: SecretHash::of(code),
        identity: identity(name),
        at,
        issue_key: &issue_key,
    };
    store.register(registration).await.unwrap()
}

pub fn registered(outcome: RegisterOutcome) -> (NodeRecord, NodeKey, Vec<SecretHash>) {
    match outcome {
        RegisterOutcome::Registered { node, key, died } => (*node, key, died),
        other => panic!("not registered: {other:?}"),
    }
}

/// A new node with this name, whose key is `key-of-{name}`.
pub async fn make_node(store: &dyn Store, name: &str) -> NodeRecord {
    let code = format!("code-for-{name}");
    make_code(store, new_code(&code)).await;
    registered(register(store, &code, name, &format!("key-of-{name}"), second(0)).await).0
}

pub async fn node(store: &dyn Store, id: NodeId) -> NodeRecord {
    let fleet = store.load_fleet().await.unwrap();
    fleet.nodes.into_iter().find(|node| node.id == id).unwrap()
}

/// A small catalogue on node 1: user 1, subscription 5, link 3, lsId 9, inbound 11, outbound 21, rule 31.
pub fn small_import() -> CatalogImport {
    let node_id = NodeId(1);
    CatalogImport {
        nodes: vec![ImportedNode {
            id: node_id,
            name: "edge-1".to_owned(),
            ip: address("198.51.100.1"),
            port: 4_443,
            region: "eu".to_owned(),
            domain: None,
        }],
        catalog: Catalog {
            users: vec![User {
                id: UserId(1),
                uuid: Uuid::from_u128(1),
                name: "Ann".to_owned(),
                status: UserStatus::Active,
            }],
            subscriptions: vec![Subscription {
                id: SubscriptionId(5),
                user_id: UserId(1),
                status: SubscriptionStatus::Active,
                starts_at: None,
                expires_at: Some(second(86_400)),
                traffic_limit_bytes: Some(1_000_000),
                reset_strategy: ResetStrategy::None,
                max_ips: None,
                rate_up_bps: None,
                rate_down_bps: None,
            }],
            links: vec![Link {
                id: LinkId(3),
                user_id: UserId(1),
                name: "phone".to_owned(),
                enabled: true,
                revoked_at: None,
            }],
            subscription_links: vec![SubscriptionLink {
                id: LsId(9),
                uuid: Uuid::from_u128(9),
                link_id: LinkId(3),
                subscription_id: Some(SubscriptionId(5)),
                enabled: true,
            }],
            node_protocols: vec![protocol(11, 1)],
            node_protocol_links: vec![NodeProtocolLink {
                proto_id: ProtocolId(11),
                ls_id: LsId(9),
                slot: None,
            }],
            node_outbounds: vec![NodeOutbound {
                id: OutboundId(21),
                node_id,
                tag: "out-21".to_owned(),
                protocol: "freedom".to_owned(),
                config: json!({ "sendThrough": "127.0.0.9" }),
                position: 0,
                enabled: true,
                deleted_at: None,
            }],
            node_balancers: Vec::new(),
            node_routing_rules: vec![NodeRoutingRule {
                id: 31,
                node_id,
                position: 1,
                rule: json!({ "port": "25" }),
                outbound_id: Some(OutboundId(21)),
                balancer_tag: None,
                enabled: true,
            }],
        },
    }
}

pub fn protocol(id: i64, node: i64) -> NodeProtocol {
    NodeProtocol {
        id: ProtocolId(id),
        node_id: NodeId(node),
        protocol: VpnProtocol::Vless,
        tag: None,
        enabled: true,
        listen: address("0.0.0.0"),
        port: 443,
        network: "raw".to_owned(),
        security: "reality".to_owned(),
        flow: "xtls-rprx-vision".to_owned(),
        settings: json!({ "decryption": "none" }),
        stream_settings: json!({ "realitySettings": { "shortIds": ["", "01"] } }),
        sniffing: json!(null),
        public_host: Some("edge.example.test".to_owned()),
        public_port: Some(443),
        position: 2,
        deleted_at: None,
    }
}

pub async fn import(store: &dyn Store, import: &CatalogImport) {
    store.import(import, &by("cli")).await.unwrap();
}

/// Waits until hours and days are what the minutes are: some stores sum them later.
pub async fn roll_up(store: &dyn Store) {
    while store.roll_up().await.unwrap() {}
}

pub async fn settle(store: &dyn Store, node: NodeId, hash: ConfigHash, above: i64) -> Option<i64> {
    store.settle_revisions(&[Wanted { node, hash, above }]).await.unwrap()[0]
}

pub async fn catalog(store: &dyn Store) -> Catalog {
    store.load_fleet().await.unwrap().catalog
}

/// Makes changes; gives the rows that were put.
pub async fn change(store: &dyn Store, changes: Vec<CatalogChange>) -> Vec<CatalogRow> {
    match store.change_catalog(changes, &by("admin")).await.unwrap() {
        CatalogOutcome::Done(rows) => rows,
        other => panic!("not done: {other:?}"),
    }
}

pub fn put(row: CatalogRow) -> CatalogChange {
    CatalogChange::Put { row, if_match: None }
}

pub fn delete(row: RowRef) -> CatalogChange {
    CatalogChange::Delete { row, if_match: None }
}

pub fn join(protocol: i64, links: &[i64]) -> CatalogChange {
    CatalogChange::Join {
        protocol: ProtocolId(protocol),
        links: links.iter().map(|id| LsId(*id)).collect(),
    }
}

pub fn leave(protocol: i64, links: &[i64]) -> CatalogChange {
    CatalogChange::Leave {
        protocol: ProtocolId(protocol),
        links: links.iter().map(|id| LsId(*id)).collect(),
    }
}

pub fn user(id: i64, uuid: u128, name: &str) -> User {
    User {
        id: UserId(id),
        uuid: Uuid::from_u128(uuid),
        name: name.to_owned(),
        status: UserStatus::Active,
    }
}

/// The id that the store gave to `direct` or `block` of node 1.
pub async fn reserved(store: &dyn Store, tag: &str) -> NodeOutbound {
    let outbounds = catalog(store).await.node_outbounds;
    let found = outbounds
        .into_iter()
        .find(|it| it.tag == tag && it.node_id == NodeId(1));
    found.unwrap()
}

/// The field of a refusal.
pub fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> (String, String) {
    match result {
        Err(StoreError::Refused { field, message }) => (field, message),
        other => panic!("not refused: {other:?}"),
    }
}

/// One journal, taken over piece by piece.
pub struct Journal {
    pub id: JournalId,
    position: Position,
}

impl Journal {
    pub fn new() -> Self {
        Self {
            id: JournalId::random(),
            position: Position::START,
        }
    }

    /// The next piece: one position an entry.
    pub fn piece(&mut self, entries: Vec<Entry>) -> Batch {
        let after = self.position;
        self.position = Position(after.0 + entries.len() as u64);
        Batch {
            journal: self.id,
            instance: "core-1".to_owned(),
            after,
            upto: self.position,
            entries,
        }
    }

    /// Takes over the next piece; gives the repeats and the saturated sums.
    pub async fn flush(&mut self, store: &dyn Store, entries: Vec<Entry>) -> (u64, u64) {
        match store.commit(self.piece(entries)).await.unwrap() {
            CommitOutcome::Committed { repeats, saturated, .. } => (repeats, saturated),
            CommitOutcome::Elsewhere { watermark } => panic!("the watermark is at {watermark}"),
        }
    }
}

pub fn entry(node: i64, received_at: Time, payload: Payload) -> Entry {
    Entry {
        node: NodeId(node),
        received_at,
        payload,
    }
}

pub fn report<Row>(key: &str, rows: Vec<Row>) -> Report<Row> {
    Report {
        identity: Identity::of_key(key),
        rows,
        rejected: Vec::new(),
    }
}

/// Bytes of user 1 on subscription 5 through inbound 11.
pub fn usage_row(bytes_up: i64, bytes_down: i64) -> UsageRow {
    UsageRow {
        user: UserId(1),
        subscription: Some(SubscriptionId(5)),
        protocol: ProtocolId(11),
        minute: second(0).minute(),
        bytes_up,
        bytes_down,
        suspect: None,
    }
}

/// A usage report of node 1 with one row.
pub fn usage(key: &str, at: Time, bytes_up: i64, bytes_down: i64) -> Entry {
    entry(
        1,
        at,
        Payload::Usage(report(key, vec![usage_row(bytes_up, bytes_down)])),
    )
}

/// An outbound-usage report of node 1 with one row.
pub fn outbound_usage(key: &str, at: Time, tag: &str, bytes_up: i64, bytes_down: i64) -> Entry {
    let row = OutboundRow {
        tag: tag.to_owned(),
        bytes_up,
        bytes_down,
    };
    entry(1, at, Payload::OutboundUsage(report(key, vec![row])))
}
