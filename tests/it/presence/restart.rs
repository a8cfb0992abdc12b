//! A start of Core is nobody's arrival.

use std::time::Duration;

use super::world::World;

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
        (world.told("user.online").await.len() == 10_000).then_some(())
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
    world.inside.stop().await;
}
