//! `user.online`: once when somebody comes, never when somebody only seems to.

use serde_json::json;

use super::world::{World, address, user};

const ARRIVED: &str = "user.online";

/// Past the time after the start in which nobody comes who is not known.
const LATER: u64 = 30;

#[tokio::test]
async fn a_user_comes_when_he_was_away_from_every_node() {
    let world = World::new(2).await;
    let (first, second) = (&world.nodes[0], &world.nodes[1]);
    world.wait(LATER);
    first.reports([42]).await;
    let arrival = json!({"userId": 42, "nodeId": first.id, "nodeProtocolId": 7, "ip": address(42), "gapSeconds": null});
    crate::harness::eventually("the first arrival", || async {
        (world.told(ARRIVED).await == [arrival.clone()]).then_some(())
    })
    .await;
    // He moves to another node, and comes back within 10 s.
    for (node, users) in [(first, vec![]), (second, vec![42]), (second, vec![]), (first, vec![42])] {
        world.wait(5);
        node.reports(users).await;
    }
    assert_eq!(world.told(ARRIVED).await.len(), 1);
    world.wait(11);
    second.reports([42]).await;
    let told = world.told(ARRIVED).await;
    assert_eq!(
        (told.len(), &told[1]["gapSeconds"], &told[1]["nodeId"]),
        (2, &json!(11), &json!(second.id))
    );
    world.inside.stop().await;
}

#[tokio::test]
async fn a_gap_is_known_from_the_store_when_memory_has_let_go() {
    let world = World::new(1).await;
    world.wait(LATER);
    world.nodes[0].reports([42]).await;
    let world = world.restart(std::time::Duration::from_hours(2)).await;
    world.wait(LATER);
    world.nodes[0].reports([42, 43]).await;
    let mut told = crate::harness::eventually("both have come", || async {
        let told = world.told(ARRIVED).await;
        (told.len() == 2).then_some(told)
    })
    .await;
    told.sort_by_key(|data| data["userId"].as_i64());
    assert_eq!(told[0]["gapSeconds"], json!(7_200 + LATER));
    assert_eq!(told[1]["gapSeconds"], json!(null));
    world.inside.stop().await;
}

#[tokio::test]
async fn an_event_names_the_address_that_was_seen_last() {
    let world = World::new(1).await;
    world.wait(LATER);
    let mut twice = user(42, 7, "192.0.2.1");
    twice.ips[0].last_seen = "2020-01-01T00:00:00Z".to_owned();
    twice.ips.extend(user(42, 7, "::ffff:192.0.2.2").ips);
    let mut bad = user(43, 8, "not an address");
    bad.ips.extend(user(43, 8, "2001:db8::1").ips);
    world.nodes[0].reports_as(vec![twice, bad]).await;
    let told = crate::harness::eventually("both have come", || async {
        let told = world.told(ARRIVED).await;
        (told.len() == 2).then_some(told)
    })
    .await;
    let ip = |user: i64| told.iter().find(|it| it["userId"] == user).unwrap()["ip"].clone();
    assert_eq!((ip(42), ip(43)), (json!("192.0.2.2"), json!("2001:db8::1")));
    world.inside.stop().await;
}
