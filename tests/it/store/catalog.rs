//! The catalogue: imports, and the sequence of changes.

use serde_json::json;
use vpn_core::{
    model::{
        LinkId, LsId, NodeId, OutboundId, ProtocolId, SubscriptionId, UserId,
        catalog::{Catalog, CatalogImport, ImportedNode, NodeOutbound, SubscriptionStatus},
        node::{NodePatch, StoredState},
        node_config::ConfigHash,
        secrets::SecretHash,
    },
    store::{Change, Store},
};

use super::world::{
    Journal, all, by, import, make_node, on_each, outbound_usage, protocol, refused, second, settle, small_import,
    usage,
};

#[tokio::test]
async fn what_was_imported_is_read_back() {
    on_each(|store| async move {
        let sent = small_import();
        import(&*store, &sent).await;
        let fleet = store.load_fleet().await.unwrap();
        let node = &fleet.nodes[0];
        assert_eq!((node.id, node.name.as_str(), node.revision), (NodeId(1), "edge-1", 1));
        assert_eq!((node.state, node.created_at), (StoredState::NEW, second(0)));
        let read = fleet.catalog;
        assert_eq!(read.users, sent.catalog.users);
        assert_eq!(read.subscriptions, sent.catalog.subscriptions);
        assert_eq!(read.links, sent.catalog.links);
        assert_eq!(read.subscription_links, sent.catalog.subscription_links);
        assert_eq!(read.node_protocols, sent.catalog.node_protocols);
        assert_eq!(read.node_protocol_links, sent.catalog.node_protocol_links);
        assert_eq!(read.node_routing_rules, sent.catalog.node_routing_rules);
        assert_eq!(read.node_outbounds[0], sent.catalog.node_outbounds[0]);
        let tags: Vec<_> = read
            .node_outbounds
            .iter()
            .map(|outbound| outbound.tag.as_str())
            .collect();
        assert_eq!(tags, ["out-21", "direct", "block"]);
        // None of the file's outbounds becomes the default route by chance.
        let place = |tag: &str| {
            read.node_outbounds
                .iter()
                .find(|row| row.tag == tag)
                .map(|row| row.position)
        };
        assert!(place("direct") < Some(0) && place("block") > Some(1_000_000));
    })
    .await;
}

#[tokio::test]
async fn an_import_replaces_rows_and_keeps_what_they_counted() {
    on_each(|store| async move {
        let mut sent = small_import();
        import(&*store, &sent).await;
        let mut journal = Journal::new();
        let counted = vec![
            usage("a", second(0), 10, 20),
            outbound_usage("b", second(0), "out-21", 1, 2),
        ];
        journal.flush(&*store, counted).await;
        settle(&*store, NodeId(1), ConfigHash([1; 32]), 4).await;
        let before = store.totals().await.unwrap();

        sent.nodes[0].name = "renamed".to_owned();
        sent.catalog.users[0].name = "Bob".to_owned();
        sent.catalog.subscriptions[0].status = SubscriptionStatus::Paused;
        sent.catalog.links[0].enabled = false;
        sent.catalog.subscription_links[0].subscription_id = None;
        sent.catalog.node_protocols[0].deleted_at = Some(second(5));
        sent.catalog.node_outbounds[0].config = json!({});
        sent.catalog.node_routing_rules[0].enabled = false;
        import(&*store, &sent).await;
        import(&*store, &sent).await;

        let fleet = store.load_fleet().await.unwrap();
        assert_eq!((fleet.nodes[0].name.as_str(), fleet.nodes[0].revision), ("renamed", 5));
        assert_eq!(fleet.nodes.len(), 1);
        let read = fleet.catalog;
        assert_eq!(read.users, sent.catalog.users);
        assert_eq!(read.subscriptions, sent.catalog.subscriptions);
        assert_eq!(read.links, sent.catalog.links);
        assert_eq!(read.subscription_links, sent.catalog.subscription_links);
        assert_eq!(read.node_protocols, sent.catalog.node_protocols);
        assert_eq!(read.node_outbounds.len(), 3);
        assert_eq!(read.node_outbounds[0], sent.catalog.node_outbounds[0]);
        assert_eq!(read.node_routing_rules, sent.catalog.node_routing_rules);
        assert_eq!(store.totals().await.unwrap(), before);
    })
    .await;
}

#[tokio::test]
async fn deleted_outbounds_are_read_and_count() {
    on_each(|store| async move {
        let mut sent = small_import();
        sent.catalog.node_outbounds[0].deleted_at = Some(second(1));
        import(&*store, &sent).await;
        let read = store.load_fleet().await.unwrap().catalog;
        assert_eq!(read.node_outbounds[0].deleted_at, Some(second(1)));
        Journal::new()
            .flush(&*store, vec![outbound_usage("a", second(2), "out-21", 3, 4)])
            .await;
        let totals = store.totals().await.unwrap();
        assert_eq!((totals.outbounds_up, totals.outbounds_down), (3, 4));
    })
    .await;
}

/// A flaw, and the field that must be named.
type Flaw = (&'static str, fn(&mut CatalogImport));

const FLAWS: &[Flaw] = &[
    ("nodes[0].id", |it| it.nodes[0].id = NodeId(0)),
    ("nodes[1].name", |it| {
        let twin = ImportedNode {
            id: NodeId(2),
            ..it.nodes[0].clone()
        };
        it.nodes.push(twin);
    }),
    ("users[0].id", |it| it.catalog.users[0].id = UserId(i64::MAX)),
    ("users[1].uuid", |it| {
        let mut twin = it.catalog.users[0].clone();
        twin.id = UserId(2);
        it.catalog.users.push(twin);
    }),
    ("subscriptions[0].userId", |it| {
        it.catalog.subscriptions[0].user_id = UserId(404);
    }),
    ("links[0].userId", |it| it.catalog.links[0].user_id = UserId(404)),
    ("subscriptionLinks[0].linkId", |it| {
        it.catalog.subscription_links[0].link_id = LinkId(404);
    }),
    ("subscriptionLinks[0].subscriptionId", |it| {
        it.catalog.subscription_links[0].subscription_id = Some(SubscriptionId(404));
    }),
    ("subscriptionLinks[1].uuid", |it| {
        let mut twin = it.catalog.subscription_links[0].clone();
        (twin.id, twin.subscription_id) = (LsId(10), None);
        it.catalog.subscription_links.push(twin);
    }),
    ("nodeProtocols[0].nodeId", |it| {
        it.catalog.node_protocols[0].node_id = NodeId(404);
    }),
    ("nodeProtocols[2].tag", |it| {
        for id in [12, 13] {
            let mut twin = protocol(id, 1);
            twin.tag = Some("in".to_owned());
            it.catalog.node_protocols.push(twin);
        }
    }),
    ("nodeOutbounds[0].nodeId", |it| {
        it.catalog.node_outbounds[0].node_id = NodeId(404);
    }),
    ("nodeOutbounds[1].tag", |it| {
        let mut twin = it.catalog.node_outbounds[0].clone();
        twin.id = OutboundId(22);
        it.catalog.node_outbounds.push(twin);
    }),
    ("nodeRoutingRules[0].nodeId", |it| {
        it.catalog.node_routing_rules[0].node_id = NodeId(404);
    }),
    ("nodeRoutingRules[0].outboundId", |it| {
        it.catalog.node_routing_rules[0].outbound_id = Some(OutboundId(404));
    }),
    ("nodeProtocolLinks[0].protoId", |it| {
        it.catalog.node_protocol_links[0].proto_id = ProtocolId(404);
    }),
    ("nodeProtocolLinks[0].lsId", |it| {
        it.catalog.node_protocol_links[0].ls_id = LsId(404);
    }),
];

#[tokio::test]
async fn a_flaw_is_named_and_nothing_is_changed() {
    on_each(|store| async move {
        let before = store.load_fleet().await.unwrap();
        for (field, spoil) in FLAWS {
            let mut flawed = small_import();
            spoil(&mut flawed);
            let (named, message) = refused(store.import(&flawed, &by("cli")).await);
            assert_eq!(named, *field, "{message}");
        }
        assert_eq!(store.load_fleet().await.unwrap(), before);
        assert_eq!(store.audit(all()).await.unwrap(), []);
        import(&*store, &small_import()).await;
    })
    .await;
}

#[tokio::test]
async fn a_row_never_changes_its_node() {
    on_each(|store| async move {
        make_node(&*store, "first").await;
        let mut sent = small_import();
        sent.nodes[0].id = NodeId(2);
        sent.catalog.node_protocols[0].node_id = NodeId(2);
        sent.catalog.node_outbounds[0].node_id = NodeId(2);
        sent.catalog.node_routing_rules[0].node_id = NodeId(2);
        import(&*store, &sent).await;

        let outbound = |id: OutboundId, node: i64, tag: &str| CatalogImport {
            catalog: Catalog {
                node_outbounds: vec![NodeOutbound {
                    id,
                    node_id: NodeId(node),
                    tag: tag.to_owned(),
                    ..small_import().catalog.node_outbounds[0].clone()
                }],
                ..Default::default()
            },
            ..CatalogImport::default()
        };
        let mut moved = CatalogImport::default();
        moved.catalog.node_protocols = vec![protocol(11, 1)];
        assert_eq!(refused(store.import(&moved, &by("cli")).await).0, "nodeProtocols[0].id");
        let moved = outbound(OutboundId(21), 1, "out-21");
        assert_eq!(refused(store.import(&moved, &by("cli")).await).0, "nodeOutbounds[0].id");

        // The id of an outbound that every node has can't be taken for another.
        let fleet = store.load_fleet().await.unwrap();
        let direct = fleet
            .catalog
            .node_outbounds
            .iter()
            .find(|it| it.tag == "direct" && it.node_id == NodeId(1));
        let direct = direct.unwrap().id;
        let stolen = outbound(direct, 1, "warp");
        assert_eq!(
            refused(store.import(&stolen, &by("cli")).await).0,
            "nodeOutbounds[0].id"
        );
        import(&*store, &outbound(direct, 1, "direct")).await;

        // A rule leads to an outbound of its own node.
        let mut crossed = CatalogImport::default();
        crossed.catalog.node_routing_rules = sent.catalog.node_routing_rules.clone();
        crossed.catalog.node_routing_rules[0].outbound_id = Some(direct);
        assert_eq!(
            refused(store.import(&crossed, &by("cli")).await).0,
            "nodeRoutingRules[0].outboundId"
        );
    })
    .await;
}

async fn moves<T>(store: &dyn Store, what: &str, change: impl Future<Output = T>) -> T {
    let before = store.catalog_seq().await.unwrap();
    let done = change.await;
    assert!(
        store.catalog_seq().await.unwrap() > before,
        "{what} must move the sequence"
    );
    done
}

async fn stays<T>(store: &dyn Store, what: &str, change: impl Future<Output = T>) -> T {
    let before = store.catalog_seq().await.unwrap();
    let done = change.await;
    assert_eq!(
        store.catalog_seq().await.unwrap(),
        before,
        "{what} must not move the sequence"
    );
    done
}

#[tokio::test]
async fn the_sequence_moves_with_configs_only() {
    on_each(|store| async move {
        let store = &*store;
        assert_eq!(store.catalog_seq().await.unwrap(), 0);
        moves(store, "an import", import(store, &small_import())).await;
        assert_eq!(
            store.load_fleet().await.unwrap().catalog_seq,
            store.catalog_seq().await.unwrap()
        );
        let node = moves(store, "a registration", make_node(store, "edge")).await.id;
        let patch = NodePatch {
            enabled: Some(false),
            ..NodePatch::default()
        };
        moves(store, "a patch", store.patch_node(node, patch, None, &by("admin")))
            .await
            .unwrap();

        let mut journal = Journal::new();
        let counted = vec![
            usage("a", second(0), 1, 1),
            outbound_usage("b", second(0), "direct", 1, 1),
        ];
        stays(store, "a flush", journal.flush(store, counted)).await;
        stays(
            store,
            "a state",
            store.save_states(second(1), &[(node, StoredState::NEW)]),
        )
        .await
        .unwrap();
        stays(store, "a revision", settle(store, node, ConfigHash([7; 32]), 9)).await;
        stays(store, "a raise", store.raise_revision(node, 99)).await.unwrap();
        let used = [(SecretHash::of("key-of-edge"), second(1))];
        stays(store, "a first use", store.mark_keys_used(&used)).await.unwrap();

        let issue = |_: NodeId| SecretHash::of("k2");
        let key = moves(store, "a new key", store.add_key(node, &issue, &by("admin"))).await;
        let key = key.unwrap().unwrap().id;
        let used = [(SecretHash::of("k2"), second(1))];
        moves(store, "a use that kills", store.mark_keys_used(&used))
            .await
            .unwrap();
        moves(store, "a revocation", store.revoke_key(node, key, &by("admin")))
            .await
            .unwrap();
        moves(store, "a deletion", store.delete_node(node, &by("admin")))
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_import_is_audited_by_its_counts() {
    on_each(|store| async move {
        let by = Change {
            at: second(7),
            ..by("cli")
        };
        store.import(&small_import(), &by).await.unwrap();
        let audit = store.audit(all()).await.unwrap();
        assert_eq!(
            (audit.len(), audit[0].action.as_str(), audit[0].at),
            (1, "catalog.import", second(7))
        );
        assert_eq!(
            (&audit[0].details["users"], &audit[0].details["nodes"]),
            (&json!(1), &json!(1))
        );
    })
    .await;
}
