//! Nodes: their states, their revisions, and what admins do to them.

use vpn_core::{
    model::{
        NodeId,
        node::{NodePatch, NodeStatus, StoredState, SyncStatus},
        node_config::ConfigHash,
        secrets::SecretHash,
    },
    store::{PatchOutcome, Wanted},
};

use super::world::{
    Journal, address, all, by, import, make_node, node, on_each, outbound_usage, refused, second, settle, small_import,
    usage,
};

const ONLINE: StoredState = StoredState {
    status: NodeStatus::Online,
    sync_status: SyncStatus::Synced,
    applied_revision: 4,
    last_seen_at: None,
};

#[tokio::test]
async fn the_later_state_wins() {
    on_each(|store| async move {
        let id = make_node(&*store, "edge").await.id;
        let seen = StoredState {
            last_seen_at: Some(second(9)),
            ..ONLINE
        };
        store
            .save_states(second(10), &[(id, seen), (NodeId(999), ONLINE)])
            .await
            .unwrap();
        assert_eq!(node(&*store, id).await.state, seen);
        store.save_states(second(9), &[(id, StoredState::NEW)]).await.unwrap();
        assert_eq!(node(&*store, id).await.state, seen);
        store.save_states(second(10), &[(id, StoredState::NEW)]).await.unwrap();
        assert_eq!(node(&*store, id).await.state, StoredState::NEW);
    })
    .await;
}

#[tokio::test]
async fn a_revision_moves_with_its_content() {
    on_each(|store| async move {
        let id = make_node(&*store, "edge").await.id;
        let (a, b) = (ConfigHash([1; 32]), ConfigHash([2; 32]));
        let settled = |hash, above| {
            let store = &store;
            async move { settle(&**store, id, hash, above).await }
        };
        assert_eq!(settled(a, 0).await, Some(1), "the first hash");
        assert_eq!(node(&*store, id).await.config_hash, Some(a));
        assert_eq!(settled(a, 0).await, Some(1), "the same");
        assert_eq!(settled(b, 0).await, Some(2), "another");
        assert_eq!(settled(a, 0).await, Some(3), "back again is another");
        assert_eq!(settled(a, 2).await, Some(3), "already above");
        assert_eq!(settled(a, 3).await, Some(4), "the same, but it must move past");
        assert_eq!(settled(b, 10).await, Some(11), "another, and it must move past");
        assert_eq!(node(&*store, id).await.revision, 11);
        assert_eq!(settle(&*store, NodeId(999), a, 0).await, None);

        let fresh = make_node(&*store, "fresh").await.id;
        assert_eq!(settle(&*store, fresh, a, 1).await, Some(2), "the first, past 1");

        let wanted =
            [(id, b), (NodeId(999), b), (fresh, b), (id, a)].map(|(node, hash)| Wanted { node, hash, above: 0 });
        assert_eq!(
            store.settle_revisions(&wanted).await.unwrap(),
            [Some(11), None, Some(3), Some(12)],
            "many in order"
        );
        assert_eq!(store.settle_revisions(&[]).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_revision_is_raised_above_what_was_reported() {
    on_each(|store| async move {
        let id = make_node(&*store, "edge").await.id;
        for (reported, revision) in [(0, 1), (1, 1), (5, 6), (5, 6), (6, 6), (i64::MAX, i64::MAX)] {
            assert_eq!(
                store.raise_revision(id, reported).await.unwrap(),
                Some(revision),
                "{reported}"
            );
            assert_eq!(node(&*store, id).await.revision, revision);
        }
        assert_eq!(store.raise_revision(NodeId(999), 1).await.unwrap(), None);
        assert_eq!(settle(&*store, id, ConfigHash([1; 32]), 0).await, Some(i64::MAX));
    })
    .await;
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    on_each(|store| async move {
        let before = make_node(&*store, "edge").await;
        let patch = NodePatch {
            name: Some("renamed".to_owned()),
            ip: Some(address("2001:db8::1")),
            port: Some(1),
            region: Some("us".to_owned()),
            domain: Some(None),
            enabled: Some(false),
            traffic_multiplier: Some(1.5),
        };
        let outcome = store.patch_node(before.id, patch, Some(1), &by("admin")).await.unwrap();
        let PatchOutcome::Done(after) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            (after.name.as_str(), after.ip, after.port),
            ("renamed", address("2001:db8::1"), 1)
        );
        assert_eq!((after.region.as_str(), after.domain.as_deref()), ("us", None));
        assert_eq!((after.enabled, after.version), (false, 2));
        assert!((after.traffic_multiplier - 1.5).abs() < f64::EPSILON);
        assert_eq!(node(&*store, before.id).await, *after);

        let one = NodePatch {
            enabled: Some(true),
            ..NodePatch::default()
        };
        let outcome = store.patch_node(before.id, one, None, &by("admin")).await.unwrap();
        let PatchOutcome::Done(last) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!((last.name.as_str(), last.enabled, last.version), ("renamed", true, 3));
    })
    .await;
}

#[tokio::test]
async fn a_patch_that_can_not_be_changes_nothing() {
    on_each(|store| async move {
        let node_a = make_node(&*store, "a").await;
        make_node(&*store, "b").await;
        let rename = |name: &str| NodePatch {
            name: Some(name.to_owned()),
            ..NodePatch::default()
        };
        let patch = |id, patch, version| {
            let store = &store;
            async move { store.patch_node(id, patch, version, &by("admin")).await }
        };
        assert_eq!(
            patch(NodeId(999), rename("c"), None).await.unwrap(),
            PatchOutcome::Missing
        );
        assert_eq!(
            patch(node_a.id, rename("c"), Some(7)).await.unwrap(),
            PatchOutcome::Stale
        );
        assert_eq!(
            patch(node_a.id, rename("b"), None).await.unwrap(),
            PatchOutcome::NameTaken
        );
        for multiplier in [f64::NAN, f64::INFINITY, -1.0] {
            let weigh = NodePatch {
                traffic_multiplier: Some(multiplier),
                ..NodePatch::default()
            };
            assert_eq!(refused(patch(node_a.id, weigh, None).await).0, "trafficMultiplier");
        }
        assert_eq!(node(&*store, node_a.id).await, node_a);
        assert!(
            store
                .audit(all())
                .await
                .unwrap()
                .iter()
                .all(|row| row.action == "code.create")
        );
        // Its own name is not taken.
        assert!(matches!(
            patch(node_a.id, rename("a"), None).await.unwrap(),
            PatchOutcome::Done(_)
        ));
    })
    .await;
}

#[tokio::test]
async fn a_deleted_node_takes_its_keys_and_leaves_its_usage() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let issue = |_: NodeId| SecretHash::of("k");
        store.add_key(NodeId(1), &issue, &by("admin")).await.unwrap().unwrap();
        let mut journal = Journal::new();
        journal.flush(&*store, vec![usage("a", second(0), 1, 2)]).await;

        assert!(store.delete_node(NodeId(1), &by("admin")).await.unwrap());
        assert!(!store.delete_node(NodeId(1), &by("admin")).await.unwrap());
        assert_eq!(store.find_key(SecretHash::of("k")).await.unwrap(), None);
        let fleet = store.load_fleet().await.unwrap();
        assert_eq!((fleet.nodes.len(), fleet.keys.len()), (0, 0));
        assert_eq!(fleet.catalog.node_protocols, []);
        assert_eq!(fleet.catalog.node_protocol_links, []);
        assert_eq!(fleet.catalog.node_outbounds, []);
        assert_eq!(fleet.catalog.node_routing_rules, []);
        assert_eq!(fleet.catalog.subscriptions.len(), 1);

        // What was acknowledged before counts after it, too.
        let late = vec![
            usage("b", second(1), 10, 20),
            outbound_usage("c", second(1), "direct", 1, 1),
        ];
        assert_eq!(journal.flush(&*store, late).await, (0, 0));
        let totals = store.totals().await.unwrap();
        assert_eq!((totals.usage_up, totals.usage_down), (11, 22));
        assert_eq!((totals.subscriptions_up, totals.subscriptions_down), (11, 22));
        assert_eq!((totals.outbounds_up, totals.outbounds_down), (0, 0));
    })
    .await;
}
