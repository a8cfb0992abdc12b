//! A change reaches the configs of the nodes that it is about, and only those.

use serde_json::{Value, json};

use crate::contract::world::World;
use crate::harness::eventually;

use super::kinds::{at, change, delete, make};

/// The config of a node once its revision is above this one.
pub async fn after(world: &World, node: i64, revision: i64) -> Value {
    let admin = world.admin();
    eventually("a higher revision", || async {
        let config = admin.get(&format!("/admin/nodes/{node}/config")).await;
        (config["revision"].as_i64() > Some(revision)).then_some(config)
    })
    .await
}

async fn revision(world: &World, node: i64) -> i64 {
    let config = world.admin().get(&format!("/admin/nodes/{node}/config")).await;
    config["revision"].as_i64().expect("a revision")
}

/// Makes a change on node 1 that must move its revision by one, and those of the others not at all.
async fn moves(world: &World, what: &str, make: impl AsyncFnOnce()) -> Value {
    let before = (revision(world, 1).await, revision(world, 2).await);
    make().await;
    let config = after(world, 1, before.0).await;
    assert_eq!(config["revision"], before.0 + 1, "{what}");
    assert_eq!(revision(world, 2).await, before.1, "{what}");
    config
}

#[tokio::test]
async fn a_change_of_a_nodes_rows_is_one_revision_of_it() {
    let world = World::new().await;
    let admin = world.admin();
    let config = moves(&world, "a new inbound", async || {
        let row = json!({"protocol": "vmess", "port": 20_001, "network": "ws", "position": 9, "tag": "fresh"});
        make(&admin, "/admin/nodes/1/protocols", &row).await;
    })
    .await;
    let inbounds = config["services"]["xray"]["inbounds"]
        .as_array()
        .expect("a list")
        .clone();
    assert!(
        inbounds.iter().any(|it| it["tag"] == "fresh" && it["port"] == 20_001),
        "{inbounds:?}"
    );
    let config = moves(&world, "a changed inbound", async || {
        change(&admin, "/admin/protocols/11", &json!({"port": 4443})).await;
    })
    .await;
    assert_eq!(config["services"]["xray"]["inbounds"][0]["port"], 4443);
    let config = moves(&world, "a new outbound", async || {
        make(
            &admin,
            "/admin/nodes/1/outbounds",
            &json!({"tag": "hole", "protocol": "blackhole", "position": 8}),
        )
        .await;
    })
    .await;
    let tags: Vec<&Value> = config["services"]["xray"]["outbounds"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| &it["tag"])
        .collect();
    assert!(tags.contains(&&json!("hole")), "{tags:?}");
    let config = moves(&world, "a changed rule", async || {
        change(&admin, "/admin/routing-rules/31", &json!({"rule": {"port": "8080"}})).await;
    })
    .await;
    assert!(
        config["services"]["xray"]["routing"].to_string().contains("8080"),
        "{config}"
    );
    let config = moves(&world, "an inbound less", async || {
        delete(&admin, "/admin/protocols/13").await;
    })
    .await;
    assert!(!config.to_string().contains("front.example.test"), "{config}");
    world.end();
}

#[tokio::test]
async fn users_come_and_go_in_every_config() {
    let world = World::new().await;
    let admin = world.admin();
    let before = (revision(&world, 1).await, revision(&world, 2).await);
    change(&admin, "/admin/users/1", &json!({"status": "disabled"})).await;
    for (node, before) in [(1, before.0), (2, before.1)] {
        let config = after(&world, node, before).await;
        assert_eq!(config["revision"], before + 1, "node {node}");
        assert!(!config.to_string().contains("u1.l1"), "{config}");
        assert!(config.to_string().contains("u2.l2"), "{config}");
    }
    for (path, off, on) in [
        ("/admin/users/1", Value::Null, json!({"status": "active"})),
        ("/admin/links/1", json!({"enabled": false}), json!({"enabled": true})),
        (
            "/admin/subscription-links/1",
            json!({"enabled": false}),
            json!({"enabled": true}),
        ),
        (
            "/admin/subscriptions/1",
            json!({"status": "paused"}),
            json!({"status": "active"}),
        ),
        (
            "/admin/subscriptions/1",
            json!({"expiresAt": "2020-01-01T00:00:00Z"}),
            json!({"expiresAt": null}),
        ),
    ] {
        for (body, there) in [(off, false), (on, true)] {
            if body.is_null() {
                continue;
            }
            let before = revision(&world, 1).await;
            change(&admin, path, &body).await;
            let config = after(&world, 1, before).await;
            assert_eq!(config.to_string().contains("u1.l1"), there, "{path} {body}");
        }
    }
    world.end();
}

#[tokio::test]
async fn a_new_lsuuid_is_in_every_config_and_the_old_one_in_none() {
    let world = World::new().await;
    let admin = world.admin();
    let before = revision(&world, 1).await;
    let old = admin.get("/admin/subscription-links/1").await["uuid"].clone();
    let new = change(&admin, "/admin/subscription-links/1", &json!({"uuid": null})).await["uuid"].clone();
    assert_ne!(old, new);
    let config = after(&world, 1, before).await.to_string();
    assert!(config.contains(new.as_str().expect("a text")) && !config.contains(old.as_str().expect("a text")));
    world.end();
}

#[tokio::test]
async fn what_configs_do_not_say_moves_no_revision() {
    let world = World::new().await;
    let admin = world.admin();
    let before = [
        revision(&world, 1).await,
        revision(&world, 2).await,
        revision(&world, 3).await,
    ];
    change(&admin, "/admin/users/1", &json!({"name": "another"})).await;
    change(&admin, "/admin/links/1", &json!({"name": "another"})).await;
    change(
        &admin,
        "/admin/subscriptions/1",
        &json!({"trafficLimitBytes": 1_i64 << 50}),
    )
    .await;
    change(
        &admin,
        "/admin/protocols/11",
        &json!({"publicHost": "p.example.test", "publicPort": 443}),
    )
    .await;
    make(&admin, "/admin/users", &json!({"name": "new"})).await;
    let link = make(&admin, "/admin/users/2/links", &json!({"name": "new"})).await;
    let path = at("/admin/links", &link);
    make(
        &admin,
        &format!("{path}/subscription-links"),
        &json!({"subscriptionId": 2}),
    )
    .await;
    // A change that is seen comes after all of these.
    change(&admin, "/admin/protocols/31", &json!({"port": 4443})).await;
    assert_eq!(after(&world, 3, before[2]).await["revision"], before[2] + 1);
    assert_eq!([revision(&world, 1).await, revision(&world, 2).await], before[..2]);
    world.end();
}
