//! A start of Core is nobody's arrival.

use std::time::Duration;

use crate::harness::{eventually, http::send, redis::Server};

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
    restart(World::new(10).await).await;
}

#[tokio::test]
async fn nor_does_one_with_a_mirror() {
    let redis = Server::start().await;
    restart(World::with(10, Some(redis.url())).await).await;
}

/// Waits until Redis has answered at the time of now.
async fn mirrors(world: &World) {
    let url = format!("http://127.0.0.1:{}/readyz", world.inside.ports.http);
    eventually("Redis answers", || async {
        let ready = send(reqwest::Client::new().get(&url)).await;
        (ready.body["redis"] == "ok").then_some(())
    })
    .await;
}

/// Another instance's users are known by the mirror.
#[tokio::test]
async fn who_is_on_another_instance_does_not_come() {
    let redis = Server::start().await;
    let (first, second) = (
        World::with(1, Some(redis.url())).await,
        World::with(1, Some(redis.url())).await,
    );
    first.wait(60);
    second.wait(62);
    mirrors(&first).await;
    first.nodes[0].reports([42]).await;
    eventually("he came", || async {
        (first.told("user.online").await.len() == 1).then_some(())
    })
    .await;
    mirrors(&second).await;
    second.nodes[0].reports([42, 43]).await;
    let told = eventually("the other came", || async {
        let told = second.told("user.online").await;
        (!told.is_empty()).then_some(told)
    })
    .await;
    assert_eq!((told.len(), &told[0]["userId"]), (1, &serde_json::json!(43)));
    first.inside.stop().await;
    second.inside.stop().await;
}

async fn restart(world: World) {
    let users = |node: usize| {
        let first = i64::try_from(node * 1_000).unwrap();
        first..first + 1_000
    };
    world.wait(30);
    for (n, node) in world.nodes.iter().enumerate() {
        node.reports(users(n)).await;
    }
    eventually("all came", || async {
        (arrivals(&world).await == 10_000).then_some(())
    })
    .await;
    let world = world.restart(Duration::from_secs(12)).await;
    // The nodes find their way back late, and go on until long after Core has settled.
    for pause in [9, 5, 5, 5, 5] {
        world.wait(pause);
        for (n, node) in world.nodes.iter().enumerate() {
            node.reports(users(n)).await;
        }
    }
    assert_eq!(world.online("?limit=1000").await.len(), 1_000);
    assert_eq!(world.told("user.online").await.len(), 0);
    assert_eq!(arrivals(&world).await, 10_000);
    world.inside.stop().await;
}
