//! Rows of the catalogue as lists show them.

use serde_json::json;
use vpn_core::{
    model::{
        LinkId, NodeId, OutboundId, ProtocolId, SubscriptionId, UserId,
        catalog_change::{CatalogRow, RowRef, RowsOf, StoredRow},
    },
    store::Page,
};

use super::world::{
    Journal, all, by, change, delete, import, on_each, outbound_usage, put, second, small_import, usage, user,
};

const NONE: [i64; 0] = [];

fn ids(rows: &[StoredRow]) -> Vec<i64> {
    rows.iter().map(|it| it.row.reference().id()).collect()
}

#[tokio::test]
async fn lists_are_of_one_owner_without_what_was_deleted() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let list = async |of| ids(&store.catalog_rows(of, all()).await.unwrap());
        assert_eq!(list(RowsOf::Users).await, [1]);
        assert_eq!(list(RowsOf::SubscriptionsOfUser(UserId(1))).await, [5]);
        assert_eq!(list(RowsOf::SubscriptionsOfUser(UserId(2))).await, NONE);
        assert_eq!(list(RowsOf::LinksOfUser(UserId(1))).await, [3]);
        assert_eq!(list(RowsOf::SubscriptionLinksOfLink(LinkId(3))).await, [9]);
        assert_eq!(list(RowsOf::ProtocolsOfNode(NodeId(1))).await, [11]);
        assert_eq!(list(RowsOf::OutboundsOfNode(NodeId(1))).await, [23, 22, 21]);
        assert_eq!(list(RowsOf::RulesOfNode(NodeId(1))).await, [31]);
        assert_eq!(list(RowsOf::BalancersOfNode(NodeId(1))).await, NONE);
        let gone = vec![
            delete(RowRef::Protocol(ProtocolId(11))),
            delete(RowRef::Outbound(OutboundId(21))),
        ];
        change(&*store, gone).await;
        assert_eq!(list(RowsOf::ProtocolsOfNode(NodeId(1))).await, NONE);
        assert_eq!(list(RowsOf::OutboundsOfNode(NodeId(1))).await, [23, 22]);
    })
    .await;
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest() {
    on_each(|store| async move {
        let new = (1..=5)
            .map(|index| put(CatalogRow::User(user(0, index, "somebody"))))
            .collect();
        let mut made: Vec<i64> = change(&*store, new)
            .await
            .iter()
            .map(|row| row.reference().id())
            .collect();
        made.reverse();
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = Page { before, limit: 2 };
            let rows = ids(&store.catalog_rows(RowsOf::Users, page).await.unwrap());
            let Some(last) = rows.last() else { break };
            before = Some(*last);
            seen.extend(rows);
        }
        assert_eq!(seen, made);
    })
    .await;
}

#[tokio::test]
async fn lists_show_what_the_catalogue_does_not_hold() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let counted = vec![
            usage("a", second(0), 10, 20),
            outbound_usage("b", second(0), "out-21", 1, 2),
        ];
        Journal::new().flush(&*store, counted).await;
        let besides = async |row| json!(store.catalog_row(row).await.unwrap().unwrap().besides);
        let created = "2026-11-24T12:00:00Z";
        assert_eq!(
            besides(RowRef::User(UserId(1))).await,
            json!({ "createdAt": created, "updatedAt": created })
        );
        let mut subscription = json!({
            "createdAt": created, "trafficBytesUp": 10, "trafficBytesDown": 20, "periodBytes": 30,
            "periodStartedAt": null, "lastResetAt": null,
        });
        assert_eq!(besides(RowRef::Subscription(SubscriptionId(5))).await, subscription);
        let ids = [SubscriptionId(5)];
        store.reset_subscriptions(&ids, second(60), &by("admin")).await.unwrap();
        for (name, value) in [
            ("periodBytes", json!(0)),
            ("periodStartedAt", json!("2026-11-24T12:01:00Z")),
            ("lastResetAt", json!("2026-11-24T12:01:00Z")),
        ] {
            subscription[name] = value;
        }
        assert_eq!(besides(RowRef::Subscription(SubscriptionId(5))).await, subscription);

        let link = besides(RowRef::Link(LinkId(3))).await;
        assert_eq!(link["token"].as_str().unwrap().len(), 32);
        assert_eq!(
            besides(RowRef::Protocol(ProtocolId(11))).await,
            json!({ "trafficBytesUp": 10, "trafficBytesDown": 20 })
        );
        assert_eq!(
            besides(RowRef::Outbound(OutboundId(21))).await,
            json!({ "trafficBytesUp": 1, "trafficBytesDown": 2 })
        );
        assert_eq!(besides(RowRef::Rule(31)).await, json!({}));
        assert_eq!(store.catalog_row(RowRef::Balancer(1)).await.unwrap(), None);

        let listed = store
            .catalog_rows(RowsOf::SubscriptionsOfUser(UserId(1)), all())
            .await
            .unwrap();
        assert_eq!(json!(listed[0].besides), subscription);
    })
    .await;
}
