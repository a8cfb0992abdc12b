//! A start of Core is nobody's arrival.

use std::time::Duration;

use super::world::{World, metrics};

/// How many arrivals were told since the test began: more than the events that are kept.
async fn arrivals(world: &World) -> u64 {
    let metrics = metrics(&world.inside).await;
    let line = "core_events_total{type=\"user.online\"} ";
    let count = metrics.lines().find_map(|it| it.strip_prefix(line));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_restart_with_ten_thousand_users_online_tells_of_nobody() {
    let world = World::new(10).await;
    let users = |node: usize| {
        let first = i64::try_from(node * 1_000).unwrap();
        first..first + 1_000
    };
    world.wait(30);
    for (n, node) in world.nodes.iter().enumerate() {
        node.reports(users(n)).await;
    }
    crate::harness::eventually("all came", || async {
        (arrivals(&world).await == 10_000).then_some(())
    })
    .await;
    let world = world.restart(Duration::from_secs(12)).await;
    // The nodes find their way back one after the other.
    for (n, node) in world.nodes.iter().enumerate() {
        world.wait(1);
        node.reports(users(n)).await;
    }
    for _ in 0..3 {
        world.wait(5);
        for (n, node) in world.nodes.iter().enumerate() {
            node.reports(users(n)).await;
        }
    }
    assert_eq!(world.online("?limit=1000").await.len(), 1_000);
    assert_eq!(world.told("user.online").await.len(), 0);
    assert_eq!(arrivals(&world).await, 10_000);
    world.inside.stop().await;
}
