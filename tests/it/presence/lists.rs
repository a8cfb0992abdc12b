//! `/admin/online`: who is there now, and who is no longer.

use serde_json::{Value, json};
use vpn_core::model::Time;

use crate::harness::{eventually, http::node_post};

use super::world::{World, user};

#[tokio::test]
async fn a_report_is_a_full_set() {
    let world = World::new(2).await;
    let (first, second) = (&world.nodes[0], &world.nodes[1]);
    first.reports([3, 1]).await;
    second
        .reports_as(vec![user(1, 8, "192.0.2.1"), user(1, 7, "192.0.2.2")])
        .await;
    let all = [(first.id, 1), (first.id, 3), (second.id, 1), (second.id, 1)];
    assert_eq!(world.online("").await, all);
    assert_eq!(world.online("?user=1&protocol=8").await, [(second.id, 1)]);
    assert_eq!(world.online(&format!("?node={}", first.id)).await, all[..2]);
    let shown = world.inside.admin().get(&format!("/admin/nodes/{}", second.id)).await;
    assert_eq!(shown["onlineUsers"], json!(1), "a user on two inbounds is one user");
    first.reports([3]).await;
    assert_eq!(world.online(&format!("?node={}", first.id)).await, [(first.id, 3)]);
    // Nobody is online 20 s after the last report that named him.
    world.wait(19);
    second.reports([9]).await;
    world.wait(1);
    assert_eq!(world.online("").await, [(second.id, 9)]);
    let shown = world.inside.admin().get(&format!("/admin/nodes/{}", first.id)).await;
    assert_eq!(shown["onlineUsers"], json!(0));
    world.inside.stop().await;
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let world = World::new(3).await;
    for node in &world.nodes {
        node.reports(1..=50).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/admin/online?limit=40&cursor={cursor}");
        let page = world.inside.admin().get(&path).await;
        let place = |item: &Value| (item["nodeId"].as_i64().unwrap(), item["userId"].as_i64().unwrap());
        seen.extend(page["items"].as_array().unwrap().iter().map(place));
        match page["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    let all = world
        .nodes
        .iter()
        .flat_map(|node| (1..=50).map(move |user| (node.id, user)));
    assert_eq!(seen, all.collect::<Vec<_>>());
    world.inside.stop().await;
}

#[tokio::test]
async fn who_went_after_the_report_is_not_there_until_the_next() {
    let world = World::new(1).await;
    let node = &world.nodes[0];
    node.reports([1, 2]).await;
    let offline =
        |user: i64, at: Time| json!({"userId": user, "protocol": "vless", "eventType": "OFFLINE", "occurredAt": at});
    let before = world.clock.now().minus(std::time::Duration::from_secs(1));
    world.wait(2);
    let events = json!({"events": [offline(1, world.clock.now()), offline(2, before)]});
    let port = world.inside.ports.http;
    let answer = node_post(port, "/node/session-events", Some(&node.agent.key), &events).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    eventually("the first has left", || async {
        (world.online("").await == [(node.id, 2)]).then_some(())
    })
    .await;
    assert_eq!(
        world.inside.admin().get(&format!("/admin/nodes/{}", node.id)).await["onlineUsers"],
        json!(1)
    );
    world.wait(3);
    node.reports([1, 2]).await;
    assert_eq!(world.online("").await, [(node.id, 1), (node.id, 2)]);
    world.inside.stop().await;
}
