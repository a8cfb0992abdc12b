//! Core starts while its store is away.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use reqwest::{Method, StatusCode};
use serde_json::json;
use vpn_core::{app::Parts, proto::nodeservice::HeartbeatRequest};

use super::{
    fleet::{self, Place},
    ledger::{Line, Refusal, Report, refusal},
    store::{FaultyStore, Mood},
    sums::{Sums, arrive},
};
use crate::harness::{core::Core, eventually, http::register, http::send, inside::Inside};

fn parts(store: &Arc<FaultyStore>) -> Parts {
    Parts {
        store: Some(Arc::clone(store) as Arc<_>),
        ..Parts::default()
    }
}

/// The config as it is sent: its tag and its bytes.
async fn config(line: &Line) -> (String, Vec<u8>) {
    let answer = line.http(Method::GET, "/node/config/latest").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    (tag, answer.bytes().await.unwrap().to_vec())
}

async fn beat(line: &Line) -> Result<(), Refusal> {
    let mut client = line.rpc.client.clone();
    let beat = line.rpc.request(HeartbeatRequest::default());
    client
        .heartbeat(beat)
        .await
        .map(|_| ())
        .map_err(|status| refusal(&status))
}

async fn serves_from_the_snapshot(mood: Mood) {
    let dir = fleet::dir(2);
    let core = Core::start(dir.path()).await;
    let key = Place::from(core.ports).enroll(1).await;
    let silent_key = Place::from(core.ports).enroll(2).await;
    let line = Line::new(core.ports, &key).await;
    let before = config(&line).await;
    core.stop().await;

    let core = Core::start(dir.path()).await;
    let line = Line::new(core.ports, &key).await;
    let mut reports: Vec<_> = (0..6).map(|number| Report::new(1, number)).collect();
    line.send_all(&reports).await;
    let revision = serde_json::from_slice::<serde_json::Value>(&before.1).unwrap()["revision"].clone();
    let applied = line
        .http(Method::POST, "/node/config/applied")
        .json(&json!({"revision": revision}));
    assert_eq!(send(applied).await.status, StatusCode::OK);
    core.kill();

    let store = FaultyStore::open(&dir.path().join("core.db"), mood);
    let core = Inside::start(dir.path(), parts(&store)).await;
    let place = Place::from(core.ports);
    let line = Line::new(place, &key).await;
    assert_eq!(beat(&line).await, Ok(()));
    assert_eq!(
        beat(&Line::new(place, &silent_key).await).await,
        Ok(()),
        "a key that never called is known too"
    );
    assert_eq!(config(&line).await, before);
    let more: Vec<_> = (6..12).map(|number| Report::new(1, number)).collect();
    line.send_all(&more).await;
    reports.extend(more);
    let shown = place.node(1).await;
    assert_eq!(
        (&shown["appliedRevision"], &shown["syncStatus"]),
        (&revision, &json!("synced"))
    );

    store.feel(Mood::Well);
    arrive(&dir.path().join("core.db"), &reports).await;
    assert_eq!(config(&line).await, before);
    core.stop().await;
    assert_eq!(Sums::stored(dir.path()), Sums::of(&reports));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_serves_from_its_snapshot_while_the_store_is_away() {
    serves_from_the_snapshot(Mood::Away).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_serves_from_its_snapshot_while_the_store_hangs() {
    serves_from_the_snapshot(Mood::Hanging).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_younger_than_the_snapshot_is_put_off_but_never_refused() {
    let dir = fleet::dir(1);
    let core = Core::start(dir.path()).await;
    core.stop().await;
    let core = Core::start(dir.path()).await;
    eventually("the snapshot of this run", || {
        std::future::ready(dir.path().join("snapshot.json").exists().then_some(()))
    })
    .await;
    let code = Place::from(core.ports).code(&json!({})).await;
    let (node, key) = register(core.ports.http, &code, "young").await;
    core.kill();

    let store = FaultyStore::open(&dir.path().join("core.db"), Mood::Away);
    let core = Inside::start(dir.path(), parts(&store)).await;
    let line = Line::new(core.ports, &key).await;
    assert_eq!(beat(&line).await, Err(Refusal::Later));
    let over = Arc::new(AtomicBool::new(false));
    let calls = (0..4).map(|_| {
        let (line, over) = (line.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let mut known = false;
            while !over.load(SeqCst) {
                match beat(&line).await {
                    Ok(()) => known = true,
                    Err(refused) => {
                        assert_eq!(refused, Refusal::Later);
                        assert!(!known);
                    }
                }
            }
        })
    });
    let calls: Vec<_> = calls.collect();
    store.feel(Mood::Well);
    eventually("the young node is let in", || async { beat(&line).await.ok() }).await;
    over.store(true, SeqCst);
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(Place::from(core.ports).node(node).await["status"], "online");
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_made_while_nothing_else_changed_is_in_the_last_snapshot() {
    let dir = fleet::dir(1);
    let core = Core::start(dir.path()).await;
    let place = Place::from(core.ports);
    place.enroll(1).await;
    core.stop().await;
    let core = Core::start(dir.path()).await;
    let made = send(
        Place::from(core.ports)
            .admin_api()
            .request(Method::POST, "/admin/nodes/1/keys"),
    )
    .await;
    assert_eq!(made.status, StatusCode::CREATED);
    core.stop().await;
    let store = FaultyStore::open(&dir.path().join("core.db"), Mood::Away);
    let core = Inside::start(dir.path(), parts(&store)).await;
    let line = Line::new(core.ports, made.body["authKey"].as_str().unwrap()).await;
    assert_eq!(beat(&line).await, Ok(()));
    core.stop().await;
}

#[tokio::test]
async fn without_a_store_and_a_snapshot_core_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = FaultyStore::open(&dir.path().join("core.db"), Mood::Away);
    let error = Inside::try_start(dir.path(), parts(&store)).await.err().unwrap();
    assert!(error.contains("snapshot"), "{error}");
}
