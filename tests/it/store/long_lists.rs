//! Long lists of changes, and lists that meet others: a store may write many rows at once, and nobody can tell.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;
use vpn_core::{
    model::{
        LinkId, LsId, NodeId, OutboundId, ProtocolId, SubscriptionId, UserId,
        catalog::{Link, NodeBalancer, NodeOutbound, NodeRoutingRule, SubscriptionLink},
        catalog_change::{CatalogChange, CatalogRow, RowRef},
    },
    store::{CatalogOutcome, StoreError},
};

use super::world::{
    all, by, catalog, change, delete, import, in_each_place, join, leave, on_each, protocol, put, refused,
    small_import, user,
};

fn new_user(uuid: u128) -> CatalogChange {
    put(CatalogRow::User(user(0, uuid, "somebody")))
}

fn new_users(uuids: std::ops::Range<u128>) -> Vec<CatalogChange> {
    uuids.map(new_user).collect()
}

fn link(id: i64, user: i64) -> CatalogRow {
    CatalogRow::Link(Link {
        id: LinkId(id),
        user_id: UserId(user),
        ..small_import().catalog.links[0].clone()
    })
}

fn outbound(id: i64, tag: &str) -> CatalogRow {
    CatalogRow::Outbound(NodeOutbound {
        id: OutboundId(id),
        tag: tag.to_owned(),
        ..small_import().catalog.node_outbounds[0].clone()
    })
}

#[tokio::test]
async fn the_first_flaw_of_a_long_list_is_the_one_that_is_named() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let before = store.load_fleet().await.unwrap();
        let twins = |list: &mut Vec<CatalogChange>, places: &[usize]| {
            places.iter().for_each(|at| list[*at] = new_user(1));
        };
        let mut taken = new_users(1_000..1_300);
        twins(&mut taken, &[200, 250]);
        // What the rules refuse comes after what only the table refuses.
        let mut and_a_rule = new_users(1_000..1_100);
        twins(&mut and_a_rule, &[20]);
        and_a_rule.push(put(link(0, 404)));
        let mut and_stale = new_users(1_000..1_100);
        twins(&mut and_stale, &[20]);
        and_stale.push(put(CatalogRow::User(user(404, 9, "nobody"))));
        let mut within = new_users(1_000..1_100);
        within[70] = new_user(1_060);
        let mut and_a_join = new_users(1_000..1_010);
        twins(&mut and_a_join, &[7]);
        and_a_join.push(join(11, &[9]));
        let lists = [
            ("changes[200].uuid", taken),
            ("changes[20].uuid", and_a_rule),
            ("changes[20].uuid", and_stale),
            ("changes[70].uuid", within),
            ("changes[7].uuid", and_a_join),
        ];
        for (named, list) in lists {
            let (field, message) = refused(store.change_catalog(list, &by("admin")).await);
            assert_eq!((field.as_str(), message.as_str()), (named, "is taken by another user"));
        }
        assert_eq!(store.load_fleet().await.unwrap(), before);
        assert_eq!(store.audit(all()).await.unwrap().len(), 1);

        let mut flawed = small_import();
        flawed.catalog.users = (2..50)
            .map(|id| user(id, u128::from(id.unsigned_abs()) + 5, "x"))
            .collect();
        flawed.catalog.users[30].uuid = flawed.catalog.users[29].uuid;
        flawed.catalog.links[0].user_id = UserId(404);
        let (field, _) = refused(store.import(&flawed, &by("cli")).await);
        assert_eq!(field, "users[30].uuid");
    })
    .await;
}

#[tokio::test]
async fn rows_of_all_tables_go_together_in_one_long_list() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let mut list = Vec::new();
        for index in 1..=40_i64 {
            let credentials = SubscriptionLink {
                id: LsId(-index),
                uuid: Uuid::from_u128(9_000 + u128::from(index.unsigned_abs())),
                link_id: LinkId(-index),
                subscription_id: None,
                enabled: true,
            };
            let mut inbound = protocol(-index, 1);
            inbound.tag = Some(format!("in-{index}"));
            let balancer = NodeBalancer {
                id: 0,
                node_id: NodeId(1),
                tag: format!("b-{index}"),
                config: json!({ "selector": ["out", index] }),
            };
            let rule = NodeRoutingRule {
                id: 0,
                position: index,
                outbound_id: Some(OutboundId(-index)),
                ..small_import().catalog.node_routing_rules[0].clone()
            };
            list.extend([
                put(CatalogRow::User(user(
                    -index,
                    7_000 + u128::from(index.unsigned_abs()),
                    "somebody",
                ))),
                put(link(-index, -index)),
                put(CatalogRow::SubscriptionLink(credentials)),
                put(CatalogRow::Protocol(inbound)),
                put(outbound(-index, &format!("o-{index}"))),
                put(CatalogRow::Rule(rule)),
                put(CatalogRow::Balancer(balancer)),
                join(-index, &[-index, 9]),
            ]);
        }
        let rows = change(&*store, list).await;
        assert_eq!(rows.len(), 40 * 7);
        for row in &rows {
            assert_eq!(&store.catalog_row(row.reference()).await.unwrap().unwrap().row, row);
        }
        let members = catalog(&*store).await.node_protocol_links;
        assert_eq!(members.len(), 1 + 80);
        let audit = store.audit(all()).await.unwrap();
        assert_eq!(audit.len(), 1 + 40 * 8);
        let last: Vec<_> = audit[..8].iter().rev().map(|row| row.action.as_str()).collect();
        assert_eq!(
            last,
            [
                "user.create",
                "link.create",
                "subscription-link.create",
                "protocol.create",
                "outbound.create",
                "rule.create",
                "balancer.create",
                "protocol.join",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_list_sees_what_it_did_before() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let named = |name: &str| put(CatalogRow::User(user(1, 1, name)));
        let mut list = new_users(50..60);
        list.extend([named("Bob"), named("Cid"), named("Dan")]);
        list.extend(new_users(60..70));
        change(&*store, list).await;
        assert_eq!(catalog(&*store).await.users[0].name, "Dan");
        let audit = store.audit(all()).await.unwrap();
        let renamed = audit.iter().filter(|row| row.action == "user.update");
        let said: Vec<_> = renamed.map(|row| row.details.clone()).collect();
        assert_eq!(said.len(), 3);
        assert_eq!(said[0]["before"]["name"], json!("Cid"));

        // A tag that is free again, by whoever had it.
        let mut list = new_users(70..80);
        list.extend([
            put(outbound(0, "warp")),
            delete(RowRef::Outbound(OutboundId(21))),
            put(outbound(0, "out-21")),
            put(outbound(0, "other")),
        ]);
        let rows = change(&*store, list).await;
        assert_eq!(rows[11].reference(), RowRef::Outbound(OutboundId(21)));

        // Whoever goes takes what is his along, for the rest of the list too.
        let gone = vec![delete(RowRef::User(UserId(1))), put(link(3, 1))];
        let outcome = store.change_catalog(gone, &by("admin")).await.unwrap();
        assert_eq!(outcome, CatalogOutcome::Missing(RowRef::Link(LinkId(3))));
        let gone = vec![delete(RowRef::User(UserId(1))), join(11, &[9])];
        assert_eq!(
            refused(store.change_catalog(gone, &by("admin")).await),
            (
                "changes[1].links[0]".to_owned(),
                "9 is not in subscription_links".to_owned()
            )
        );
        change(
            &*store,
            vec![
                leave(11, &[9]),
                join(11, &[9]),
                delete(RowRef::SubscriptionLink(LsId(9))),
                delete(RowRef::Protocol(ProtocolId(11))),
            ],
        )
        .await;
        assert_eq!(catalog(&*store).await.node_protocol_links, []);
    })
    .await;
}

#[tokio::test]
async fn new_ids_are_none_that_somebody_wrote_himself() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        let mut sent = small_import();
        sent.catalog.users.push(user(700, 700, "Ann"));
        import(&*store, &sent).await;
        let made = change(&*store, new_users(800..803)).await;
        let ids = |rows: &[CatalogRow]| rows.iter().map(|row| row.reference().id()).collect::<Vec<_>>();
        assert_eq!(ids(&made), [701, 702, 703]);

        place
            .run(
                "INSERT INTO users (id, uuid, name) VALUES (900, '00000000-0000-0000-0000-000000000900', 'a panel''s')",
            )
            .await;
        let made = change(&*store, new_users(810..812)).await;
        assert_eq!(ids(&made), [901, 902]);
        assert_eq!(store.import(&small_import(), &by("cli")).await.ok(), Some(()));
        assert_eq!(ids(&change(&*store, new_users(820..821)).await), [903]);
    })
    .await;
}

#[tokio::test]
async fn a_text_is_stored_as_it_is_or_refused_by_its_name() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let mut inbound = protocol(0, 1);
        inbound.tag = Some("in".to_owned());
        inbound.settings = json!({ "fallbacks": [{ "alpn\0": "x" }] });
        let odd = [
            ("changes[0].name", CatalogRow::User(user(0, 90, "a\0b"))),
            ("changes[0].settings", CatalogRow::Protocol(inbound)),
            ("changes[0].tag", outbound(0, "\0")),
        ];
        for (named, row) in odd {
            match store.change_catalog(vec![put(row)], &by("admin")).await {
                Ok(CatalogOutcome::Done(rows)) => {
                    let stored = store.catalog_row(rows[0].reference()).await.unwrap().unwrap();
                    assert_eq!(stored.row, rows[0]);
                }
                other => assert_eq!(refused(other).0, named),
            }
        }
        let whole = json!({ "text": "\u{1}\u{fffd}\u{10ffff}", "number": 1e300, "none": null, "deep": [[[{}]]] });
        let mut good = small_import().catalog.node_outbounds[0].clone();
        good.config = whole;
        change(&*store, vec![put(CatalogRow::Outbound(good.clone()))]).await;
        assert_eq!(catalog(&*store).await.node_outbounds[0], good);
    })
    .await;
}

#[tokio::test]
async fn a_row_that_can_not_be_read_is_left_out_alone() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        let mut sent = small_import();
        let mut spoiled = sent.catalog.subscriptions[0].clone();
        spoiled.id = SubscriptionId(6);
        sent.catalog.subscriptions.push(spoiled);
        import(&*store, &sent).await;
        let seq = store.catalog_seq().await.unwrap();
        place
            .run("UPDATE subscriptions SET reset_strategy = 'sometimes' WHERE id = 6; UPDATE node_protocols SET listen = 'here'")
            .await;
        let read = catalog(&*store).await;
        assert_eq!(read.subscriptions, sent.catalog.subscriptions[..1]);
        assert_eq!(read.node_protocols[0].port, 0);
        let delta = store.load_changes(seq).await.unwrap();
        let of = RowRef::Subscription(SubscriptionId(6));
        assert_eq!(delta.gone, [of]);
        assert_eq!(delta.rows.node_protocols, read.node_protocols);
        assert_eq!(store.catalog_row(of).await.unwrap(), None);
        // An import puts it right.
        import(&*store, &sent).await;
        assert_eq!(catalog(&*store).await, {
            let mut right = read.clone();
            right.subscriptions = sent.catalog.subscriptions.clone();
            right.node_protocols = sent.catalog.node_protocols.clone();
            right
        });
    })
    .await;
}

#[tokio::test]
async fn of_two_who_change_what_both_read_one_wins() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        import(&*store, &small_import()).await;
        let others = [place.open(), place.open(), place.open(), place.open()];
        for _ in 0..10 {
            let read = store.catalog_row(RowRef::User(UserId(1))).await.unwrap().unwrap().row;
            let changes = others.iter().enumerate().map(|(index, other)| {
                let change = CatalogChange::Put {
                    row: CatalogRow::User(user(1, 1, &format!("{index} after {:?}", read.tag().0[0]))),
                    if_match: Some(read.tag()),
                };
                async move { other.change_catalog(vec![change], &by("admin")).await.unwrap() }
            });
            let outcomes = join_all(changes).await;
            let won = outcomes
                .iter()
                .filter(|it| matches!(it, CatalogOutcome::Done(_)))
                .count();
            assert_eq!(won, 1, "{outcomes:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_comes_while_its_owner_goes_goes_with_him_or_is_refused() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        let others = [place.open(), place.open(), place.open()];
        for round in 0..15_u128 {
            let owner = change(&*store, vec![new_user(10_000 + round)]).await[0]
                .reference()
                .id();
            let adding = others.iter().map(|other| async move {
                let list = vec![put(link(0, owner)), put(link(0, owner))];
                match other.change_catalog(list, &by("admin")).await {
                    Ok(CatalogOutcome::Done(_)) => {}
                    Err(StoreError::Refused { field, .. }) => assert_eq!(field, "changes[0].userId"),
                    other => panic!("{other:?}"),
                }
            });
            let deleting = async {
                let gone = change(&*store, vec![delete(RowRef::User(UserId(owner)))]).await;
                assert_eq!(gone, []);
            };
            futures_util::join!(join_all(adding), deleting);
        }
        let there = catalog(&*store).await;
        assert_eq!((there.users, there.links), (vec![], vec![]));
    })
    .await;
}

#[tokio::test]
async fn many_lists_at_once_lose_nothing_for_those_who_follow() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        import(&*store, &small_import()).await;
        let mut known: BTreeSet<i64> = BTreeSet::new();
        let mut seq = store.catalog_seq().await.unwrap();
        let writers = [place.open(), place.open(), place.open()];
        let writing = writers.iter().enumerate().map(|(writer, store)| async move {
            for round in 0..20 {
                let first = 100_000 * (writer as u128 + 1) + 100 * round;
                change(&**store, new_users(first..first + 5)).await;
            }
        });
        let mut writing = std::pin::pin!(join_all(writing));
        loop {
            let done = futures_util::poll!(&mut writing).is_ready();
            let delta = store.load_changes(seq).await.unwrap();
            assert!(!delta.too_much);
            seq = delta.seq;
            known.extend(delta.rows.users.iter().map(|user| user.id.0));
            if done {
                break;
            }
        }
        let there: BTreeSet<i64> = catalog(&*store).await.users.iter().map(|user| user.id.0).collect();
        assert_eq!(there.len(), 301);
        known.insert(1);
        assert_eq!(known, there);
    })
    .await;
}
