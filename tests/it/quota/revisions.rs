//! A revision moves only when a config does, and not once for each of many changes.

use serde_json::json;
use vpn_core::clock::Stopwatch;

use super::{
    nodes::Node,
    scene::{Plan, Scene},
};

async fn revisions(scene: &Scene) -> Vec<i64> {
    let pulled = scene.nodes.iter().map(Node::pull);
    let configs = futures_util::future::join_all(pulled).await;
    configs.into_iter().map(|config| config.revision).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_config_shows_moves_no_revision() {
    let mut scene = Scene::new(Plan {
        subscription: |_| json!({"trafficLimitBytes": 1_000_000}),
        ..Plan::new(3, 3)
    })
    .await;
    let before = revisions(&scene).await;
    scene.patch("/admin/users/1", &json!({"name": "another name"})).await;
    scene.patch("/admin/links/1", &json!({"name": "tablet"})).await;
    scene.patch("/admin/nodes/2", &json!({"region": "nl"})).await;
    scene.patch("/admin/nodes/2", &json!({"name": "renamed"})).await;
    scene
        .patch("/admin/subscriptions/1", &json!({"trafficLimitBytes": 2_000_000}))
        .await;
    scene.node(1).report("a counter", 1, 5000).await;
    scene.until_counted(1, 5000).await;
    scene.post("/admin/subscriptions/1/reset", &json!({})).await;
    // A change that does show comes after all of them, and is one step.
    scene
        .patch("/admin/protocols/31", &json!({"settings": {"decryption": "none"}}))
        .await;
    scene.patch("/admin/protocols/11", &json!({"port": 444})).await;
    scene
        .until("the change is there", async || revisions(&scene).await[0] > before[0])
        .await;
    assert_eq!(revisions(&scene).await, [before[0] + 1, before[1], before[2]]);
    scene.stop().await;
}

/// A panel that writes the tables itself, each edit for itself.
fn edit(file: &std::path::Path, users: i64) -> f64 {
    let db = rusqlite::Connection::open(file).unwrap();
    db.busy_timeout(crate::harness::PATIENCE).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let mut update = db
        .prepare("UPDATE users SET status = 'disabled' WHERE id = ?1")
        .unwrap();
    let watch = Stopwatch::start();
    for user in 1..=users {
        assert_eq!(update.execute([user]).unwrap(), 1);
    }
    watch.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_edits_move_a_revision_a_few_times() {
    const USERS: i64 = 1000;
    let mut scene = Scene::new(Plan {
        on: |node, user| (user <= USERS) == (node < 3),
        ..Plan::new(3, USERS + 1)
    })
    .await;
    let before = revisions(&scene).await;
    let file = scene.file();
    let seconds = tokio::task::spawn_blocking(move || edit(&file, USERS)).await.unwrap();
    scene.until_on(1, &[]).await;
    scene.until_on(2, &[]).await;
    let after = revisions(&scene).await;
    // One step in half a second, and one for the rest: within a second that is three.
    #[allow(clippy::cast_possible_truncation, reason = "a few seconds")]
    let most = 1 + (2.0 * seconds).ceil().max(2.0) as i64;
    println!("{USERS} edits in {seconds:.2} s: {before:?} -> {after:?}, at most {most} steps");
    for node in [0, 1] {
        assert!(after[node] - before[node] <= most, "{before:?} -> {after:?}");
    }
    assert_eq!(after[2], before[2]);
    assert_eq!(scene.users(3).await, [USERS + 1]);
    scene.stop().await;
}
