//! `/admin/nodes/{id}/keys`: two keys may live, and the old one dies at the first use of the new.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::harness::{eventually, http::send};

use super::{
    caller::{Caller, refused},
    world::World,
};

async fn status(caller: &Caller, key: &str) -> StatusCode {
    caller.with_key(Some(key)).get("/node/config/latest").await.status
}

async fn another(world: &mut World, id: i64) -> (Value, String) {
    let path = format!("/admin/nodes/{id}/keys");
    let answer = send(world.admin().request(Method::POST, &path)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let key = answer.body["authKey"].as_str().expect("a key").to_owned();
    world.keep_secret(&key);
    (answer.body["id"].clone(), key)
}

#[tokio::test]
async fn a_new_key_ends_the_old_at_its_first_use() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let old = node.key.clone().expect("a key");
    assert_eq!(status(&node, &old).await, StatusCode::OK);
    let (_, new) = another(&mut world, 1).await;
    assert!(new.starts_with("core_node_1_"));
    for _ in 0..3 {
        assert_eq!(
            status(&node, &old).await,
            StatusCode::OK,
            "the new one was not used yet"
        );
    }
    assert_eq!(status(&node, &new).await, StatusCode::OK);
    refused(
        &node.get("/node/config/latest").await,
        StatusCode::UNAUTHORIZED,
        "the old key",
    );
    assert_eq!(status(&node, &new).await, StatusCode::OK);

    let admin = world.admin();
    let keys = eventually("the store knows it too", || async {
        let keys = admin.get("/admin/nodes/1/keys").await;
        keys["items"][1]["revokedAt"].is_string().then_some(keys)
    })
    .await;
    let items = keys["items"].as_array().expect("a list");
    assert_eq!(items.len(), 2);
    assert!(items[0]["firstUsedAt"].is_string() && items[0]["revokedAt"].is_null());
    assert!(!keys.to_string().contains("core_node"), "a key is never shown again");

    // A key of one node says nothing of another's.
    let other = world.key(2).await;
    assert_eq!(status(&node, &other).await, StatusCode::OK);
    assert_eq!(status(&node, &new).await, StatusCode::OK);
    world.end();
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let (id, spare) = another(&mut world, 1).await;
    let admin = world.admin();
    let path = format!("/admin/nodes/1/keys/{id}");
    assert_eq!(
        send(admin.request(Method::DELETE, &path)).await.status,
        StatusCode::NO_CONTENT
    );
    assert_eq!(status(&node, &spare).await, StatusCode::UNAUTHORIZED);
    assert_eq!(node.get("/node/config/latest").await.status, StatusCode::OK);
    for path in [
        path.as_str(),
        "/admin/nodes/1/keys/999",
        "/admin/nodes/2/keys/1",
        "/admin/nodes/1/keys/x",
    ] {
        let answer = send(admin.request(Method::DELETE, path)).await;
        refused(&answer, StatusCode::NOT_FOUND, path);
    }
    for (method, path) in [
        (Method::GET, "/admin/nodes/99/keys"),
        (Method::POST, "/admin/nodes/99/keys"),
    ] {
        refused(&send(admin.request(method, path)).await, StatusCode::NOT_FOUND, path);
    }
    world.end();
}
