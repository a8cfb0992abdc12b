//! A report that crosses a limit takes the user off every node, whatever the store does.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use serde_json::json;

use super::scene::{Plan, Scene};
use crate::faults::store::Mood;

const NODES: i64 = 50;

/// From the report to `needSync: true` on every node: a deadline, not a measure.
const DEADLINE: Duration = Duration::from_secs(5);

/// Users 1 to 3 on all nodes; the first may use 1,000 bytes.
async fn scene() -> Scene {
    Scene::new(Plan {
        subscription: |user| {
            if user == 1 {
                json!({"trafficLimitBytes": 1000})
            } else {
                json!({})
            }
        },
        ..Plan::new(NODES, 3)
    })
    .await
}

/// One node's report crosses the limit; every node hears of it in time, and its next config is without the user. Gives the revisions.
async fn cross(scene: &Scene) -> BTreeMap<i64, i64> {
    for node in &scene.nodes {
        assert!(!node.needs_sync().await, "node {}", node.id);
    }
    scene.node(7).report("all but one", 1, 999).await;
    assert_eq!(scene.users(7).await, [1, 2, 3]);
    scene.node(8).report("the last one", 1, 1).await;
    let heard = scene.nodes.iter().map(|node| async move {
        scene
            .until("it needs a new config", async || node.needs_sync().await)
            .await;
        let config = node.apply().await;
        assert_eq!(config.users.into_iter().collect::<Vec<_>>(), [2, 3], "node {}", node.id);
        (node.id, config.revision)
    });
    tokio::time::timeout(DEADLINE, join_all(heard))
        .await
        .expect("all nodes hear of it in time")
        .into_iter()
        .collect()
}

/// Waits until the store is told, and checks what the nodes have then. While it waits, the user must not be on any node.
async fn told(scene: &Scene) {
    scene
        .until("the subscription is limited in the store", async || {
            for node in &scene.nodes {
                let users: Vec<i64> = node.pull().await.users.into_iter().collect();
                assert_eq!(users, [2, 3], "node {}", node.id);
            }
            scene.column::<String>(1, "status") == "limited"
        })
        .await;
    scene.until_counted(1, 1000).await;
}

/// Waits until every node has a revision above the one that was given out without the store.
async fn above(scene: &Scene, provisional: &BTreeMap<i64, i64>) {
    for node in &scene.nodes {
        scene
            .until("a revision above the provisional one", async || {
                let config = node.apply().await;
                assert!(!config.users.contains(&1), "node {}", node.id);
                config.revision > provisional[&node.id]
            })
            .await;
    }
}

/// Somebody else is taken off and comes back: new contents, and none under an old number.
async fn life_goes_on(scene: &Scene) {
    for (status, users) in [("disabled", &[3][..]), ("active", &[2, 3])] {
        scene.patch("/admin/users/2", &json!({"status": status})).await;
        for node in &scene.nodes {
            scene.until_on(node.id, users).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crossed_limit_reaches_every_node() {
    let mut scene = scene().await;
    cross(&scene).await;
    told(&scene).await;
    life_goes_on(&scene).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crossed_limit_reaches_every_node_without_the_store() {
    let mut scene = scene().await;
    scene.store.feel(Mood::Away);
    let provisional = cross(&scene).await;
    scene.store.feel(Mood::Well);
    told(&scene).await;
    above(&scene, &provisional).await;
    life_goes_on(&scene).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_holds_over_a_restart_without_the_store() {
    let mut scene = scene().await;
    scene.store.feel(Mood::Away);
    let provisional = cross(&scene).await;
    scene.stop().await;
    scene.start().await;
    for node in &scene.nodes {
        assert!(!node.needs_sync().await, "node {}", node.id);
        assert!(!node.pull().await.users.contains(&1), "node {}", node.id);
    }
    scene.store.feel(Mood::Well);
    told(&scene).await;
    above(&scene, &provisional).await;
    life_goes_on(&scene).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_holds_over_a_restart_at_which_the_store_is_back() {
    let mut scene = scene().await;
    scene.store.feel(Mood::Away);
    let provisional = cross(&scene).await;
    scene.stop().await;
    scene.store.feel(Mood::Well);
    scene.start().await;
    told(&scene).await;
    above(&scene, &provisional).await;
    life_goes_on(&scene).await;
    scene.stop().await;
}
