//! Following the catalogue by what changed.

use uuid::Uuid;
use vpn_core::{
    model::{
        LsId, NodeId, OutboundId, ProtocolId, UserId,
        catalog::{Catalog, SubscriptionLink},
        catalog_change::{CatalogRow, RowRef},
        node::NodePatch,
    },
    store::CatalogDelta,
};

use super::world::{
    Journal, by, catalog, change, delete, import, join, leave, make_node, on_each, put, second, small_import, usage,
    user,
};

#[tokio::test]
async fn nothing_new_is_an_empty_delta() {
    on_each(|store| async move {
        assert_eq!(store.load_changes(0).await.unwrap(), CatalogDelta::default());
        import(&*store, &small_import()).await;
        Journal::new().flush(&*store, vec![usage("a", second(0), 1, 1)]).await;
        let seq = store.catalog_seq().await.unwrap();
        let delta = CatalogDelta {
            seq,
            ..CatalogDelta::default()
        };
        assert_eq!(store.load_changes(seq).await.unwrap(), delta);
    })
    .await;
}

#[tokio::test]
async fn from_the_beginning_a_delta_is_everything() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let delta = store.load_changes(0).await.unwrap();
        let fleet = store.load_fleet().await.unwrap();
        assert_eq!((delta.seq, delta.too_much), (fleet.catalog_seq, false));
        assert_eq!(delta.rows, fleet.catalog);
        assert_eq!(delta.memberships, [ProtocolId(11)]);
        assert_eq!(delta.gone, []);
        assert_eq!(delta.fleet, Some((fleet.nodes, fleet.keys)));
    })
    .await;
}

#[tokio::test]
async fn a_delta_has_rows_as_they_now_are() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let seq = store.catalog_seq().await.unwrap();
        change(&*store, vec![put(CatalogRow::User(user(1, 1, "Bob")))]).await;
        change(&*store, vec![put(CatalogRow::User(user(1, 1, "Cid")))]).await;
        let made = change(&*store, vec![put(CatalogRow::User(user(0, 2, "Dan")))]).await[0].reference();
        change(&*store, vec![delete(made), delete(RowRef::Outbound(OutboundId(21)))]).await;
        let delta = store.load_changes(seq).await.unwrap();
        let expected = CatalogDelta {
            seq: store.catalog_seq().await.unwrap(),
            rows: Catalog {
                users: vec![user(1, 1, "Cid")],
                node_outbounds: vec![catalog(&*store).await.node_outbounds[0].clone()],
                ..Catalog::default()
            },
            gone: vec![made],
            ..CatalogDelta::default()
        };
        assert!(expected.rows.node_outbounds[0].deleted_at.is_some());
        assert_eq!(delta, expected);
    })
    .await;
}

#[tokio::test]
async fn members_come_complete_for_each_inbound_that_changed() {
    on_each(|store| async move {
        let mut sent = small_import();
        let mut other = sent.catalog.node_protocols[0].clone();
        (other.id, other.port) = (ProtocolId(12), 444);
        sent.catalog.node_protocols.push(other);
        let own = sent.catalog.subscription_links[0].clone();
        sent.catalog.subscription_links.push(SubscriptionLink {
            id: LsId(10),
            uuid: Uuid::from_u128(10),
            subscription_id: None,
            ..own
        });
        import(&*store, &sent).await;
        change(&*store, vec![join(12, &[9])]).await;
        let seq = store.catalog_seq().await.unwrap();

        change(&*store, vec![join(11, &[10])]).await;
        let delta = store.load_changes(seq).await.unwrap();
        assert_eq!(delta.memberships, [ProtocolId(11)]);
        let ids = |delta: &CatalogDelta| -> Vec<_> {
            delta
                .rows
                .node_protocol_links
                .iter()
                .map(|it| (it.proto_id.0, it.ls_id.0))
                .collect()
        };
        assert_eq!(ids(&delta), [(11, 9), (11, 10)]);
        assert_eq!(delta.rows.subscription_links, []);

        change(&*store, vec![leave(11, &[9, 10])]).await;
        let delta = store.load_changes(seq).await.unwrap();
        assert_eq!(
            (delta.memberships.as_slice(), ids(&delta)),
            (&[ProtocolId(11)][..], vec![])
        );

        // Credentials that go take their memberships of every inbound along.
        change(&*store, vec![delete(RowRef::User(UserId(1)))]).await;
        let delta = store.load_changes(seq).await.unwrap();
        assert_eq!(delta.memberships, [ProtocolId(11), ProtocolId(12)]);
        assert_eq!(ids(&delta), []);
        assert_eq!(delta.gone.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn nodes_and_keys_come_all_when_any_changed() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let seq = store.catalog_seq().await.unwrap();
        make_node(&*store, "edge").await;
        let delta = store.load_changes(seq).await.unwrap();
        let fleet = store.load_fleet().await.unwrap();
        assert_eq!(delta.fleet, Some((fleet.nodes, fleet.keys)));
        assert_eq!(delta.rows.node_outbounds.len(), 2);

        let patch = NodePatch {
            enabled: Some(false),
            ..NodePatch::default()
        };
        store.patch_node(NodeId(1), patch, None, &by("admin")).await.unwrap();
        let delta = store.load_changes(delta.seq).await.unwrap();
        assert!(!delta.fleet.unwrap().0[0].enabled);
        assert_eq!(delta.rows, Catalog::default());

        store.delete_node(NodeId(1), &by("admin")).await.unwrap();
        let delta = store.load_changes(delta.seq).await.unwrap();
        assert_eq!(delta.fleet.unwrap().0.len(), 1);
        assert!(delta.gone.contains(&RowRef::Protocol(ProtocolId(11))));
        assert!(delta.gone.contains(&RowRef::Rule(31)));
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_can_not_follow_is_told() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let seq = store.catalog_seq().await.unwrap();
        let too_much = CatalogDelta {
            seq,
            too_much: true,
            ..CatalogDelta::default()
        };
        // It followed a store that was set back since.
        assert_eq!(store.load_changes(seq + 1).await.unwrap(), too_much);
        assert_eq!(store.load_changes(i64::MAX).await.unwrap(), too_much);

        let many = (0..20_001).map(|index| put(CatalogRow::User(user(0, 1_000 + index, "somebody"))));
        change(&*store, many.collect()).await;
        let delta = store.load_changes(seq).await.unwrap();
        assert_eq!((delta.too_much, delta.rows), (true, Catalog::default()));
        let delta = store.load_changes(seq + 1).await.unwrap();
        assert_eq!((delta.too_much, delta.rows.users.len()), (false, 20_000));
    })
    .await;
}
