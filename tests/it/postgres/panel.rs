//! A panel that writes the tables by SQL is followed.

use serde_json::json;

use super::scene::Scene;
use crate::harness::{
    core::run_with,
    eventually,
    http::{node_post, register},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_panels_inbound_reaches_its_node() {
    let scene = Scene::shared().await;
    let core = scene.start().await;
    // The command asks through the proxy, whose tasks need this thread's runtime.
    let code = tokio::task::block_in_place(|| run_with(scene.folder(), &["code", "new"], &scene.settings()));
    let (node, key) = register(core.ports.http, code.trim(), "of-the-panel").await;
    let needs_sync = async |revision: i64| {
        let body = json!({ "revision": revision });
        let answer = node_post(core.ports.http, "/node/heartbeat", Some(&key), &body).await;
        answer.body["needSync"].as_bool().unwrap()
    };
    eventually("the first config", || async { (!needs_sync(1).await).then_some(()) }).await;
    let panel = scene.db().await;
    panel
        .execute(
            "INSERT INTO core.node_protocols (node_id, protocol, port) VALUES ($1, 'vless', 4433)",
            &[&node],
        )
        .await
        .unwrap();
    eventually("the panel's inbound", || async { needs_sync(1).await.then_some(()) }).await;
    core.stop().await;
}
