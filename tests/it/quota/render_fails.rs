//! Configs can't be rendered for a while.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use serde_json::json;
use vpn_core::{
    catalog::{render::render, snapshot::Snapshot},
    model::{Time, node::NodeRecord, node_config::Rendered},
};

use super::scene::{Plan, Scene};

const PULLS: u64 = 10_000;
const PULLERS: u64 = 4;

static BROKEN: AtomicBool = AtomicBool::new(false);
static FAILURES: AtomicU64 = AtomicU64::new(0);

fn fragile(node: &NodeRecord, snapshot: &Snapshot, now: Time) -> Rendered {
    if BROKEN.load(SeqCst) {
        FAILURES.fetch_add(1, SeqCst);
        panic!("the test says so");
    }
    render(node, snapshot, now)
}

/// Pulls again and again; a config has either everybody or all but who was cut off, and once he is off he stays off.
async fn pull_all_the_while(scene: &Scene, pulled: &AtomicU64) {
    let pullers = (0..PULLERS).map(|puller| async move {
        let node = scene.node(1 + i64::try_from(puller).unwrap() % 2);
        let mut off = false;
        while pulled.fetch_add(1, SeqCst) < PULLS {
            let users: Vec<i64> = node.pull().await.users.into_iter().collect();
            match users.as_slice() {
                [1, 2, 3, 4] => assert!(!off, "he came back"),
                [2, 3, 4] => off = true,
                other => panic!("a config that never was good: {other:?}"),
            }
        }
    });
    futures_util::future::join_all(pullers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_keep_the_last_good_config() {
    let mut scene = Scene::new(Plan {
        subscription: |user| {
            if user == 1 {
                json!({"trafficLimitBytes": 100})
            } else {
                json!({})
            }
        },
        renderer: fragile,
        ..Plan::new(2, 4)
    })
    .await;
    BROKEN.store(true, SeqCst);
    let pulled = Arc::new(AtomicU64::new(0));
    let edits = async {
        scene.patch("/admin/users/2", &json!({"status": "disabled"})).await;
        scene
            .until("it fails", async || {
                FAILURES.load(SeqCst) > 0 && pulled.load(SeqCst) > PULLS / 4
            })
            .await;
        scene.patch("/admin/protocols/11", &json!({"port": 444})).await;
        scene.node(2).report("all", 1, 100).await;
        scene.until_on(1, &[2, 3, 4]).await;
        scene.until_on(2, &[2, 3, 4]).await;
        scene.until_status(1, "limited").await;
        scene.patch("/admin/users/4", &json!({"status": "disabled"})).await;
    };
    futures_util::future::join(pull_all_the_while(&scene, &pulled), edits).await;

    BROKEN.store(false, SeqCst);
    scene.until_on(1, &[3]).await;
    scene.until_on(2, &[3]).await;
    scene.patch("/admin/users/4", &json!({"status": "active"})).await;
    scene.post("/admin/subscriptions/1/reset", &json!({})).await;
    scene.until_on(1, &[1, 3, 4]).await;
    scene.until_on(2, &[1, 3, 4]).await;
    scene.stop().await;
}
