//! Revisions: when a node is told to pull, and that one number never names two configs.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{SAMPLE, core::run, eventually, http::send};

use super::{sums::rows, world::World};

/// Imports the sample with a change.
fn import(world: &World, change: impl FnOnce(&mut Value)) {
    let text = std::fs::read_to_string(SAMPLE).expect("the sample is there");
    let mut catalog: Value = serde_json::from_str(&text).expect("it is JSON");
    change(&mut catalog);
    let file = world.dir().join("import.json");
    std::fs::write(&file, catalog.to_string()).expect("there is room");
    run(world.dir(), &["catalog", "import", file.to_str().expect("a text")]);
}

#[tokio::test]
async fn a_node_pulls_until_it_runs_what_it_should() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    assert_eq!(
        node.tell("/node/heartbeat", &json!({})).await["needSync"],
        true,
        "none = 0"
    );
    assert_eq!(
        node.tell("/node/heartbeat", &json!({"revision": null})).await["needSync"],
        true
    );
    assert!(node.beat(0).await);
    assert!(!node.beat(1).await);
    assert!(node.beat(-1).await);
    node.tell("/node/config/applied", &json!({"revision": 1})).await;
    assert_eq!(world.node(1).await["syncStatus"], "synced");

    import(&world, |catalog| catalog["nodeProtocols"][0]["port"] = json!(4443));
    eventually("the import reaches the node", || async {
        node.beat(1).await.then_some(())
    })
    .await;
    let shown = world.node(1).await;
    assert_eq!(
        (&shown["revision"], &shown["syncStatus"], &shown["appliedRevision"]),
        (&json!(2), &json!("pending"), &json!(1))
    );
    assert_eq!(world.node(2).await["revision"], 1, "nothing changed for node 2");
    assert_eq!(node.config_revision().await, 2);
    assert_eq!(
        node.get("/node/config/latest").await.body["services"]["xray"]["inbounds"][0]["port"],
        4443
    );
    node.tell("/node/config/applied", &json!({"revision": 1})).await;
    assert_eq!(
        world.node(1).await["syncStatus"],
        "pending",
        "an old revision is not the desired one"
    );
    node.tell("/node/config/applied", &json!({"revision": 2})).await;
    assert_eq!(world.node(1).await["syncStatus"], "synced");
    assert!(!node.beat(2).await);

    // The same catalogue again, and one that only renames a user: the configs are the same, so are the revisions.
    import(&world, |catalog| {
        catalog["nodeProtocols"][0]["port"] = json!(4443);
        catalog["users"][0]["name"] = json!("ada l.");
    });
    import(&world, |catalog| {
        catalog["nodeProtocols"][0]["port"] = json!(4443);
        catalog["nodeProtocols"][3]["port"] = json!(4444);
    });
    let other = world.caller(2).await;
    eventually("the import reaches node 2", || async {
        other.beat(1).await.then_some(())
    })
    .await;
    assert!(!node.beat(2).await);
    assert_eq!(world.node(1).await["revision"], 2);

    let patch = world
        .admin()
        .request(Method::PATCH, "/admin/nodes/1")
        .json(&json!({"region": "fr"}));
    assert_eq!(send(patch).await.body["revision"], 2, "a region is not in the config");
    world.end();
}

#[tokio::test]
async fn a_bad_row_is_left_out_alone_and_shown() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    import(&world, |catalog| catalog["nodeProtocols"][1]["port"] = json!(443));
    eventually("the import reaches the node", || async {
        node.beat(1).await.then_some(())
    })
    .await;
    let shown = world.node(1).await;
    let problem = &shown["configProblems"][0];
    assert_eq!(
        (&problem["table"], &problem["id"]),
        (&json!("node_protocols"), &json!(12))
    );
    assert!(problem["message"].is_string());
    assert_eq!(shown["configProblems"].as_array().map(Vec::len), Some(1));
    let config = node.get("/node/config/latest").await.body;
    let inbounds = config["services"]["xray"]["inbounds"].as_array().expect("a list");
    assert_eq!(inbounds.len(), 1);
    let report = json!({"entries": [{"userId": 1, "nodeProtocolId": 12, "bytesUp": 1, "bytesDown": 1, "recordedAt": super::world::now()}]});
    assert_eq!(
        node.tell("/node/usage", &report).await,
        json!({"ok": true}),
        "it still counts"
    );
    world.end();
}

#[tokio::test]
async fn a_revision_that_was_never_given_out_is_passed() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    assert!(node.beat(41).await);
    assert_eq!(world.node(1).await["revision"], 42);
    assert_eq!(node.config_revision().await, 42);
    assert!(node.beat(41).await);
    assert!(!node.beat(42).await);
    assert!(node.beat(i64::MAX).await, "no revision of ours");
    assert_eq!(world.node(1).await["revision"], 42);
    import(&world, |catalog| catalog["nodeProtocols"][0]["port"] = json!(4443));
    eventually("the next revision", || async { node.beat(42).await.then_some(()) }).await;
    assert_eq!(node.config_revision().await, 43);
    assert_eq!(rows(world.dir(), "SELECT revision FROM nodes WHERE id = 1"), ["43"]);
    world.end();
}

#[tokio::test]
async fn a_changed_address_is_kept() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let beat = async |ip: Value| node.tell("/node/heartbeat", &json!({"revision": 1, "ip": ip})).await;
    for bad in ["localhost", "1.2.3", "", "192.0.2.1:80", "::ffff:1.2.3.4.5"] {
        assert_eq!(beat(json!(bad)).await, json!({"ok": true, "needSync": false}), "{bad}");
    }
    assert_eq!(world.node(1).await["ip"], "192.0.2.11", "as it registered");
    for (sent, kept) in [("::ffff:198.51.100.7", "198.51.100.7"), ("2001:DB8::7", "2001:db8::7")] {
        beat(json!(sent)).await;
        eventually("the address is kept", || async {
            (world.node(1).await["ip"] == kept).then_some(())
        })
        .await;
        assert_eq!(rows(world.dir(), "SELECT ip FROM nodes WHERE id = 1"), [kept]);
    }
    let audit = world.admin().get("/admin/audit").await;
    assert_eq!(
        (&audit["items"][0]["actor"], &audit["items"][0]["action"]),
        (&json!("node 1"), &json!("node.patch"))
    );
    assert_eq!(world.node(1).await["name"], "de-1");
    let metrics = send(world.admin().request(Method::GET, "/metrics")).await;
    assert_eq!(metrics.status, 200);
    world.end();
}
