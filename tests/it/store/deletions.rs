//! What goes with a row of the catalogue that is deleted, and what stays.

use serde_json::json;
use uuid::Uuid;
use vpn_core::{
    model::{
        LinkId, LsId, NodeId, OutboundId, ProtocolId, SubscriptionId, UserId,
        catalog::{NodeBalancer, NodeProtocolLink, SubscriptionLink, VpnProtocol},
        catalog_change::{CatalogRow, RowRef},
    },
    store::CatalogOutcome,
};

use super::world::{
    Journal, by, catalog, change, delete, import, join, leave, on_each, outbound_usage, protocol, put, second,
    small_import, usage, user,
};

#[tokio::test]
async fn a_user_goes_with_all_that_is_his() {
    on_each(|store| async move {
        let mut sent = small_import();
        // Somebody else's link that this user's subscription pays for.
        sent.catalog.users.push(user(2, 2, "Bob"));
        let mut link = sent.catalog.links[0].clone();
        (link.id, link.user_id) = (LinkId(4), UserId(2));
        sent.catalog.links.push(link);
        let own = sent.catalog.subscription_links[0].clone();
        sent.catalog.subscription_links.push(SubscriptionLink {
            id: LsId(10),
            uuid: Uuid::from_u128(10),
            link_id: LinkId(4),
            ..own
        });
        import(&*store, &sent).await;
        Journal::new().flush(&*store, vec![usage("a", second(0), 1, 2)]).await;

        change(&*store, vec![delete(RowRef::User(UserId(1)))]).await;
        let left = catalog(&*store).await;
        assert_eq!(left.users, [user(2, 2, "Bob")]);
        assert_eq!(left.links.len(), 1);
        assert_eq!(left.subscriptions, []);
        assert_eq!(left.subscription_links, []);
        assert_eq!(left.node_protocol_links, []);
        let totals = store.totals().await.unwrap();
        assert_eq!((totals.usage_up, totals.usage_down), (1, 2));
        // His agents still report for him: that never fails, and it counts.
        Journal::new().flush(&*store, vec![usage("b", second(1), 1, 2)]).await;
        assert_eq!(store.totals().await.unwrap().usage_up, 2);
    })
    .await;
}

#[tokio::test]
async fn subscriptions_and_links_go_with_their_credentials() {
    on_each(|store| async move {
        for row in [
            RowRef::Subscription(SubscriptionId(5)),
            RowRef::Link(LinkId(3)),
            RowRef::SubscriptionLink(LsId(9)),
        ] {
            import(&*store, &small_import()).await;
            change(&*store, vec![delete(row)]).await;
            let left = catalog(&*store).await;
            assert_eq!(left.users.len(), 1);
            assert_eq!(left.subscription_links, [], "{row:?}");
            assert_eq!(left.node_protocol_links, [], "{row:?}");
            assert_eq!(left.subscriptions.is_empty(), matches!(row, RowRef::Subscription(_)));
            assert_eq!(left.links.is_empty(), matches!(row, RowRef::Link(_)));
            assert_eq!(store.catalog_row(row).await.unwrap(), None);
        }
    })
    .await;
}

#[tokio::test]
async fn inbounds_and_outbounds_stay_and_count() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let (inbound, outbound) = (RowRef::Protocol(ProtocolId(11)), RowRef::Outbound(OutboundId(21)));
        change(&*store, vec![delete(inbound), delete(outbound)]).await;
        let left = catalog(&*store).await;
        assert_eq!(left.node_protocol_links, []);
        assert_eq!(left.node_protocols[0].deleted_at, Some(second(0)));
        assert_eq!(left.node_outbounds[0].deleted_at, Some(second(0)));
        // The rule that led there stays, for an admin to see.
        assert_eq!(left.node_routing_rules.len(), 1);

        for row in [inbound, outbound] {
            assert_eq!(store.catalog_row(row).await.unwrap(), None);
            let outcome = store.change_catalog(vec![delete(row)], &by("admin")).await.unwrap();
            assert_eq!(outcome, CatalogOutcome::Missing(row));
        }
        let revived = vec![put(CatalogRow::Protocol(protocol(11, 1)))];
        let outcome = store.change_catalog(revived, &by("admin")).await.unwrap();
        assert_eq!(outcome, CatalogOutcome::Missing(inbound));
        Journal::new()
            .flush(&*store, vec![outbound_usage("a", second(2), "out-21", 3, 4)])
            .await;
        assert_eq!(store.totals().await.unwrap().outbounds_up, 3);
    })
    .await;
}

#[tokio::test]
async fn rules_and_balancers_go() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let balancer = NodeBalancer {
            id: 0,
            node_id: NodeId(1),
            tag: "b".to_owned(),
            config: json!({}),
        };
        let made = change(&*store, vec![put(CatalogRow::Balancer(balancer))]).await[0].reference();
        change(&*store, vec![delete(made), delete(RowRef::Rule(31))]).await;
        let left = catalog(&*store).await;
        assert_eq!((left.node_balancers.len(), left.node_routing_rules.len()), (0, 0));
        let again = store.change_catalog(vec![delete(made)], &by("admin")).await.unwrap();
        assert_eq!(again, CatalogOutcome::Missing(made));
    })
    .await;
}

#[tokio::test]
async fn members_have_places_while_their_inbound_is_wireguard() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let slots = async || -> Vec<Option<i64>> {
            let members: Vec<NodeProtocolLink> = catalog(&*store).await.node_protocol_links;
            members.iter().map(|member| member.slot).collect()
        };
        assert_eq!(slots().await, [None]);
        let mut inbound = protocol(11, 1);
        inbound.protocol = VpnProtocol::Wireguard;
        let seq = store.catalog_seq().await.unwrap();
        change(&*store, vec![put(CatalogRow::Protocol(inbound))]).await;
        assert_eq!(slots().await, [Some(2)]);
        let delta = store.load_changes(seq).await.unwrap();
        assert_eq!(delta.memberships, [ProtocolId(11)]);
        assert_eq!(delta.rows.node_protocol_links[0].slot, Some(2));
        change(&*store, vec![put(CatalogRow::Protocol(protocol(11, 1)))]).await;
        assert_eq!(slots().await, [None]);
    })
    .await;
}

#[tokio::test]
async fn places_that_were_given_back_are_taken_first() {
    on_each(|store| async move {
        let mut sent = small_import();
        sent.catalog.node_protocols[0].protocol = VpnProtocol::Wireguard;
        let own = sent.catalog.subscription_links[0].clone();
        for id in 10..=13 {
            sent.catalog.subscription_links.push(SubscriptionLink {
                id: LsId(id),
                uuid: Uuid::from_u128(u128::from(id.unsigned_abs())),
                subscription_id: None,
                ..own.clone()
            });
        }
        import(&*store, &sent).await;
        let places = async || -> Vec<(i64, Option<i64>)> {
            let members = catalog(&*store).await.node_protocol_links;
            members.iter().map(|it| (it.ls_id.0, it.slot)).collect()
        };
        change(&*store, vec![join(11, &[10, 11, 12])]).await;
        assert_eq!(
            places().await,
            [(9, Some(2)), (10, Some(3)), (11, Some(4)), (12, Some(5))]
        );
        // One in the middle and the last.
        change(&*store, vec![leave(11, &[10, 12]), join(11, &[13])]).await;
        assert_eq!(places().await, [(9, Some(2)), (11, Some(4)), (13, Some(3))]);
        change(&*store, vec![join(11, &[10, 12])]).await;
        let all = [(9, Some(2)), (10, Some(5)), (11, Some(4)), (12, Some(6)), (13, Some(3))];
        assert_eq!(places().await, all);
        change(&*store, vec![leave(11, &[9, 10, 11, 12, 13]), join(11, &[13])]).await;
        assert_eq!(places().await, [(13, Some(2))]);
    })
    .await;
}
