//! Changes of the catalogue by admins: rows put, credentials joined to inbounds.

use serde_json::json;
use uuid::Uuid;
use vpn_core::{
    model::{
        LinkId, LsId, NodeId, OutboundId, ProtocolId, SubscriptionId, UserId,
        catalog::{Link, NodeBalancer, NodeOutbound, NodeRoutingRule, Subscription, SubscriptionLink},
        catalog_change::{CatalogChange, CatalogRow, RowRef},
    },
    store::CatalogOutcome,
};

use super::world::{
    all, by, catalog, change, delete, import, join, leave, make_node, on_each, protocol, put, refused, reserved,
    second, small_import, user,
};

fn subscription(id: i64, user: i64) -> CatalogRow {
    CatalogRow::Subscription(Subscription {
        id: SubscriptionId(id),
        user_id: UserId(user),
        ..small_import().catalog.subscriptions[0].clone()
    })
}

fn link(id: i64, user: i64) -> CatalogRow {
    CatalogRow::Link(Link {
        id: LinkId(id),
        user_id: UserId(user),
        ..small_import().catalog.links[0].clone()
    })
}

fn subscription_link(id: i64, uuid: u128, link: i64, subscription: Option<i64>) -> CatalogRow {
    CatalogRow::SubscriptionLink(SubscriptionLink {
        id: LsId(id),
        uuid: Uuid::from_u128(uuid),
        link_id: LinkId(link),
        subscription_id: subscription.map(SubscriptionId),
        enabled: true,
    })
}

fn outbound(id: i64, tag: &str) -> NodeOutbound {
    NodeOutbound {
        id: OutboundId(id),
        tag: tag.to_owned(),
        ..small_import().catalog.node_outbounds[0].clone()
    }
}

fn rule(id: i64, outbound: Option<i64>, balancer: Option<&str>) -> CatalogRow {
    CatalogRow::Rule(NodeRoutingRule {
        id,
        outbound_id: outbound.map(OutboundId),
        balancer_tag: balancer.map(str::to_owned),
        ..small_import().catalog.node_routing_rules[0].clone()
    })
}

fn balancer(id: i64, tag: &str) -> CatalogRow {
    CatalogRow::Balancer(NodeBalancer {
        id,
        node_id: NodeId(1),
        tag: tag.to_owned(),
        config: json!({ "selector": ["out"] }),
    })
}

fn new_protocol(tag: &str) -> CatalogRow {
    let mut row = protocol(0, 1);
    row.tag = Some(tag.to_owned());
    CatalogRow::Protocol(row)
}

#[tokio::test]
async fn new_rows_refer_to_each_other_before_they_have_ids() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let mut inbound = protocol(-1, 1);
        inbound.tag = Some("new".to_owned());
        let rows = change(
            &*store,
            vec![
                put(CatalogRow::User(user(-1, 101, "Bob"))),
                put(CatalogRow::User(user(0, 102, "Cid"))),
                put(subscription(-1, -1)),
                put(link(-1, -1)),
                put(subscription_link(-1, 103, -1, Some(-1))),
                put(CatalogRow::Protocol(inbound)),
                put(CatalogRow::Outbound(outbound(-7, "warp"))),
                put(rule(0, Some(-7), None)),
                put(balancer(0, "b")),
                join(-1, &[-1, 9]),
            ],
        )
        .await;
        let ids: Vec<i64> = rows.iter().map(|row| row.reference().id()).collect();
        assert!(ids.iter().all(|id| *id > 0), "{ids:?}");
        assert_eq!(rows[2], subscription(ids[2], ids[0]));
        assert_eq!(rows[3], link(ids[3], ids[0]));
        assert_eq!(rows[4], subscription_link(ids[4], 103, ids[3], Some(ids[2])));
        assert_eq!(rows[7], rule(ids[7], Some(ids[6]), None));

        for row in &rows {
            let stored = store.catalog_row(row.reference()).await.unwrap().unwrap();
            assert_eq!((&stored.row, stored.row.tag()), (row, row.tag()));
        }
        let members: Vec<_> = catalog(&*store).await.node_protocol_links;
        let on_new: Vec<i64> = members
            .iter()
            .filter(|it| it.proto_id.0 == ids[5])
            .map(|it| it.ls_id.0)
            .collect();
        assert_eq!(on_new, [9, ids[4]]);
    })
    .await;
}

#[tokio::test]
async fn ids_are_never_given_twice() {
    on_each(|store| async move {
        let first = change(&*store, vec![put(CatalogRow::User(user(0, 1, "Ann")))]).await[0].reference();
        change(&*store, vec![delete(first)]).await;
        let second = change(&*store, vec![put(CatalogRow::User(user(0, 1, "Ann")))]).await[0].reference();
        assert!(second.id() > first.id());
    })
    .await;
}

#[tokio::test]
async fn a_row_is_put_in_place_if_it_says_what_is_expected() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let before = store.catalog_row(RowRef::User(UserId(1))).await.unwrap().unwrap().row;
        let put_if = |name: &str, if_match| CatalogChange::Put {
            row: CatalogRow::User(user(1, 1, name)),
            if_match: Some(if_match),
        };
        let renamed = change(&*store, vec![put_if("Bob", before.tag())]).await;
        assert_eq!(renamed, [CatalogRow::User(user(1, 1, "Bob"))]);

        let admin = by("admin");
        let ask = |changes| store.change_catalog(changes, &admin);
        let stale = CatalogOutcome::Stale(RowRef::User(UserId(1)));
        let harmless = put(CatalogRow::User(user(0, 77, "Dan")));
        assert_eq!(
            ask(vec![harmless.clone(), put_if("Eve", before.tag())]).await.unwrap(),
            stale
        );
        let deletion = CatalogChange::Delete {
            row: RowRef::User(UserId(1)),
            if_match: Some(before.tag()),
        };
        assert_eq!(ask(vec![deletion]).await.unwrap(), stale);
        let missing = vec![harmless, put(CatalogRow::User(user(404, 78, "Eve")))];
        assert_eq!(
            ask(missing).await.unwrap(),
            CatalogOutcome::Missing(RowRef::User(UserId(404)))
        );
        let new_if = CatalogChange::Put {
            row: CatalogRow::User(user(0, 79, "Eve")),
            if_match: Some(before.tag()),
        };
        assert_eq!(
            ask(vec![new_if]).await.unwrap(),
            CatalogOutcome::Stale(RowRef::User(UserId(0)))
        );
        // What came before in these lists was not made either, and a later list is.
        assert_eq!(catalog(&*store).await.users, [user(1, 1, "Bob")]);
        assert_eq!(store.audit(all()).await.unwrap().len(), 2);
        change(&*store, vec![put_if("Eve", renamed[0].tag())]).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_change_does_not_say_stays() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let of = RowRef::Link(LinkId(3));
        let token = store.catalog_row(of).await.unwrap().unwrap().besides["token"].clone();
        let mut renamed = small_import().catalog.links[0].clone();
        renamed.name = "tablet".to_owned();
        change(&*store, vec![put(CatalogRow::Link(renamed.clone()))]).await;
        let stored = store.catalog_row(of).await.unwrap().unwrap();
        assert_eq!(stored.row, CatalogRow::Link(renamed));
        assert_eq!(stored.besides["token"], token);
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_place_and_nothing_is_changed() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        change(&*store, vec![put(new_protocol("in")), put(balancer(0, "b"))]).await;
        let other = make_node(&*store, "other").await.id;
        let direct = reserved(&*store, "direct").await;
        let before = store.load_fleet().await.unwrap();
        let audited = store.audit(all()).await.unwrap().len();

        let mut moved = protocol(11, 1);
        moved.node_id = other;
        let mut moved_outbound = outbound(21, "out-21");
        moved_outbound.node_id = other;
        let mut renamed = direct.clone();
        renamed.tag = "straight".to_owned();
        let mut deleted = outbound(21, "out-21");
        deleted.deleted_at = Some(second(1));
        let mut foreign = small_import().catalog.node_routing_rules[0].clone();
        (foreign.id, foreign.node_id) = (0, other);
        let mut nowhere = protocol(0, 1);
        nowhere.node_id = NodeId(404);
        let flaws = [
            ("changes[0].uuid", vec![put(CatalogRow::User(user(0, 1, "Twin")))]),
            (
                "changes[1].uuid",
                vec![
                    put(CatalogRow::User(user(0, 50, "Bob"))),
                    put(CatalogRow::User(user(0, 50, "Bob"))),
                ],
            ),
            ("changes[0].tag", vec![put(new_protocol("in"))]),
            ("changes[0].tag", vec![put(CatalogRow::Outbound(outbound(0, "out-21")))]),
            (
                "changes[0].tag",
                vec![put(CatalogRow::Outbound(outbound(21, "direct")))],
            ),
            ("changes[0].tag", vec![put(balancer(0, "b"))]),
            ("changes[0].tag", vec![put(CatalogRow::Outbound(renamed))]),
            ("changes[0].tag", vec![delete(RowRef::Outbound(direct.id))]),
            ("changes[0].deletedAt", vec![put(CatalogRow::Outbound(deleted))]),
            ("changes[0].nodeId", vec![put(CatalogRow::Protocol(moved))]),
            ("changes[0].nodeId", vec![put(CatalogRow::Outbound(moved_outbound))]),
            ("changes[0].nodeId", vec![put(CatalogRow::Protocol(nowhere))]),
            ("changes[0].userId", vec![put(subscription(0, 404))]),
            ("changes[0].userId", vec![put(subscription(0, -1))]),
            ("changes[0].userId", vec![put(link(0, 0))]),
            ("changes[0].linkId", vec![put(subscription_link(0, 60, 404, None))]),
            (
                "changes[1].linkId",
                vec![
                    put(CatalogRow::User(user(-1, 61, "Bob"))),
                    put(subscription_link(0, 60, -1, None)),
                ],
            ),
            (
                "changes[0].subscriptionId",
                vec![put(subscription_link(0, 60, 3, Some(404)))],
            ),
            (
                "changes[0].subscriptionId",
                vec![put(subscription_link(0, 60, 3, Some(5)))],
            ),
            ("changes[0].outboundId", vec![put(rule(0, Some(404), None))]),
            ("changes[0].outboundId", vec![put(rule(0, Some(21), Some("b")))]),
            ("changes[0].outboundId", vec![put(rule(0, None, None))]),
            ("changes[0].outboundId", vec![put(CatalogRow::Rule(foreign))]),
            (
                "changes[1].outboundId",
                vec![delete(RowRef::Outbound(OutboundId(21))), put(rule(0, Some(21), None))],
            ),
            (
                "changes[1].id",
                vec![
                    put(CatalogRow::User(user(-1, 62, "Bob"))),
                    put(CatalogRow::User(user(-1, 63, "Cid"))),
                ],
            ),
            ("changes[0].links[1]", vec![join(11, &[9, 404])]),
            ("changes[0].links[0]", vec![join(11, &[-1])]),
            ("changes[0].protocol", vec![leave(-1, &[])]),
        ];
        for (field, changes) in flaws {
            let (named, message) = refused(store.change_catalog(changes, &by("admin")).await);
            assert_eq!(named, field, "{message}");
        }
        assert_eq!(store.load_fleet().await.unwrap(), before);
        assert_eq!(store.audit(all()).await.unwrap().len(), audited);
    })
    .await;
}

#[tokio::test]
async fn a_taken_tag_says_by_what() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let twice = vec![put(new_protocol("in")), put(new_protocol("in"))];
        let (field, message) = refused(store.change_catalog(twice, &by("admin")).await);
        assert_eq!(
            (field.as_str(), message.as_str()),
            ("changes[1].tag", "is taken by another inbound of the node")
        );
    })
    .await;
}

#[tokio::test]
async fn credentials_join_and_leave_as_often_as_one_likes() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let mut changes: Vec<_> = (0..300)
            .map(|index| {
                put(subscription_link(
                    -1 - index,
                    1_000 + u128::from(index.unsigned_abs()),
                    3,
                    None,
                ))
            })
            .collect();
        let new: Vec<i64> = (0..300).map(|index| -1 - index).collect();
        changes.push(join(11, &new));
        let rows = change(&*store, changes).await;
        let ids: Vec<i64> = rows.iter().map(|row| row.reference().id()).collect();
        let members = async || catalog(&*store).await.node_protocol_links.len();
        assert_eq!(members().await, 301);
        change(&*store, vec![join(11, &ids), join(11, &ids[..5])]).await;
        assert_eq!(members().await, 301);
        change(
            &*store,
            vec![leave(11, &ids[..100]), leave(11, &ids[..100]), leave(11, &[404])],
        )
        .await;
        assert_eq!(members().await, 201);

        let audit = store.audit(all()).await.unwrap();
        let said: Vec<_> = audit[..6]
            .iter()
            .map(|row| (row.action.as_str(), row.details["count"].as_i64()))
            .collect();
        assert_eq!(
            said,
            [
                ("protocol.leave", Some(0)),
                ("protocol.leave", Some(0)),
                ("protocol.leave", Some(100)),
                ("protocol.join", Some(0)),
                ("protocol.join", Some(0)),
                ("protocol.join", Some(300)),
            ]
        );
        assert_eq!(audit[0].subject_id, Some(11));

        change(&*store, vec![delete(RowRef::Protocol(ProtocolId(11)))]).await;
        for changes in [vec![join(11, &[9])], vec![leave(11, &[9])], vec![join(404, &[])]] {
            let outcome = store.change_catalog(changes, &by("admin")).await.unwrap();
            assert!(
                matches!(outcome, CatalogOutcome::Missing(RowRef::Protocol(_))),
                "{outcome:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn every_change_is_audited_without_secrets() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let mut inbound = protocol(11, 1);
        inbound.position = 9;
        inbound.stream_settings = json!({ "realitySettings": { "privateKey": "hush" }, "tlsSettings": {} });
        let mut warp = outbound(0, "warp");
        warp.config = json!({ "settings": { "password": "hush" } });
        change(
            &*store,
            vec![
                put(CatalogRow::User(user(0, 0xfeed, "Bob"))),
                put(subscription_link(9, 0xbeef, 3, None)),
                put(CatalogRow::Protocol(inbound)),
                put(CatalogRow::Outbound(warp)),
                put(rule(31, Some(21), None)),
                put(balancer(0, "b")),
                put(link(0, 1)),
                put(subscription(0, 1)),
                delete(RowRef::User(UserId(1))),
            ],
        )
        .await;
        let audit = store.audit(all()).await.unwrap();
        let mut actions: Vec<&str> = audit.iter().map(|row| row.action.as_str()).collect();
        actions.reverse();
        assert_eq!(actions, [
            "catalog.import",
            "user.create",
            "subscription-link.update",
            "protocol.update",
            "outbound.create",
            "rule.update",
            "balancer.create",
            "link.create",
            "subscription.create",
            "user.delete",
        ]);
        let details = |action: &str| &audit.iter().find(|row| row.action == action).unwrap().details;
        assert_eq!(
            details("user.create"),
            &json!({ "after": { "uuid": "***", "name": "Bob", "status": "active" } })
        );
        assert_eq!(
            details("subscription-link.update"),
            &json!({ "before": { "uuid": "***", "subscriptionId": 5 }, "after": { "uuid": "***", "subscriptionId": null } })
        );
        assert_eq!(
            details("protocol.update"),
            &json!({
                "before": { "position": 2 },
                "after": { "position": 9 },
                "keys": { "streamSettings": ["realitySettings", "tlsSettings"] },
            })
        );
        assert_eq!(details("outbound.create")["keys"], json!({ "config": ["settings"] }));
        assert_eq!(
            details("user.delete")["with"],
            json!({ "memberships": 1, "subscriptionLinks": 1, "links": 2, "subscriptions": 2 })
        );
        for row in &audit {
            let text = row.details.to_string();
            assert!(!["hush", "feed", "beef"].iter().any(|secret| text.contains(secret)), "{text}");
            assert_eq!(row.at, second(0));
        }
    })
    .await;
}
