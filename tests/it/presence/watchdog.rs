//! A fleet on a clock that the test moves: who is offline, who is unknown, and what is told of it. The watchdog looks once a real second.

use serde_json::{Value, json};

use crate::harness::eventually;

use super::world::{Node, World, told};

async fn all_beat(nodes: &[Node]) {
    for node in nodes {
        node.beats().await;
    }
}

/// Waits until the watchdog has told so many events of this type; gives them.
async fn tells(world: &World, kind: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} times {kind}"), || async {
        let told = told(&world.inside.events, kind);
        (told.len() >= count).then_some(told)
    })
    .await
}

async fn status(world: &World, node: &Node) -> Value {
    world.inside.admin().get(&format!("/admin/nodes/{}", node.id)).await["status"].clone()
}

/// Ten seconds of life for these nodes, so often.
async fn live(world: &World, nodes: &[Node], times: usize) {
    for _ in 0..times {
        world.wait(10);
        all_beat(nodes).await;
    }
}

#[tokio::test]
async fn one_of_a_fleet_goes_alone_and_most_of_it_together() {
    let world = World::new(100).await;
    all_beat(&world.nodes).await;
    assert_eq!(told(&world.inside.events, "node.online").len(), 100);
    live(&world, &world.nodes, 7).await;
    // One stops: offline after its 30 s.
    live(&world, &world.nodes[1..], 3).await;
    assert_eq!(status(&world, &world.nodes[0]).await, "online");
    world.wait(1);
    assert_eq!(
        tells(&world, "node.offline", 1).await,
        [json!({"nodeId": world.nodes[0].id})]
    );
    assert_eq!(status(&world, &world.nodes[0]).await, "offline");
    world.nodes[0].beats().await;
    assert_eq!(told(&world.inside.events, "node.online").len(), 101);
    // 60 of 100 stop: unknown, one event, offline after 5 minutes.
    all_beat(&world.nodes).await;
    live(&world, &world.nodes[60..], 4).await;
    tells(&world, "node.unknown", 60).await;
    assert_eq!(
        told(&world.inside.events, "fleet.mass_loss"),
        [json!({"lost": 60, "of": 100})]
    );
    assert_eq!(told(&world.inside.events, "node.offline").len(), 1);
    assert_eq!(status(&world, &world.nodes[59]).await, "unknown");
    live(&world, &world.nodes[60..], 26).await;
    // Ten come back in the last moment.
    live(&world, &world.nodes[50..], 4).await;
    world.wait(2);
    all_beat(&world.nodes[50..]).await;
    tells(&world, "node.offline", 51).await;
    let recovered = tells(&world, "fleet.recovered", 1).await;
    assert_eq!(recovered, [json!({"back": 10, "offline": 50})]);
    assert_eq!(told(&world.inside.events, "fleet.mass_loss").len(), 1);
    assert_eq!(told(&world.inside.events, "node.unknown").len(), 60);
    world.inside.stop().await;
}

#[tokio::test]
async fn nobody_is_offline_in_the_minute_after_a_start() {
    let world = World::new(2).await;
    all_beat(&world.nodes).await;
    let world = world.restart(std::time::Duration::from_mins(10)).await;
    // The watchdog looks at 0, 30 and 59 s after the start: the other node's calls show that it had the time to.
    for seconds in [0, 30, 29] {
        world.wait(seconds);
        let looks = world.looks().await;
        eventually("the watchdog looks twice", || async {
            (world.looks().await >= looks + 2).then_some(())
        })
        .await;
        assert_eq!(status(&world, &world.nodes[0]).await, "online");
    }
    world.nodes[1].beats().await;
    world.wait(1);
    tells(&world, "node.offline", 1).await;
    assert_eq!(status(&world, &world.nodes[0]).await, "offline");
    assert_eq!(status(&world, &world.nodes[1]).await, "online");
    world.inside.stop().await;
}
