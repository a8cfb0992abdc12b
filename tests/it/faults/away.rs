//! The store fails every call, hangs, or loses its answers, while Core runs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::json;
use tempfile::TempDir;
use tonic::Code;
use vpn_core::{
    app::Parts,
    model::{NodeId, secrets::KeyIssuer},
    proto::nodeservice::{
        ConfirmConfigAppliedRequest, GetLatestConfigRequest, HeartbeatRequest, ReportNodeStatsRequest,
        ReportOnlineUsersRequest,
    },
};

use super::{
    fleet::{self, Place},
    ledger::{Line, Report},
    store::{FaultyStore, Mood},
    sums::{Sums, arrive},
};
use crate::harness::{
    eventually,
    http::{Admin, Answer, node_post, send},
    inside::Inside,
};

/// What the contract gives a call that needs the store.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

struct Scene {
    core: Inside,
    store: Arc<FaultyStore>,
    line: Line,
    dir: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let dir = fleet::dir(2);
        let store = FaultyStore::open(&dir.path().join("core.db"), Mood::Well);
        let parts = Parts {
            store: Some(Arc::clone(&store) as Arc<_>),
            ..Parts::default()
        };
        let core = Inside::start(dir.path(), parts).await;
        let place = Place::from(core.ports);
        let key = place.enroll(1).await;
        Self {
            line: Line::new(place, &key).await,
            core,
            store,
            dir,
        }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("core.db")
    }

    async fn post(&self, route: &str, body: serde_json::Value) -> Answer {
        send(self.line.http(Method::POST, route).json(&body)).await
    }

    async fn config(&self) -> Answer {
        send(self.line.http(Method::GET, "/node/config/latest")).await
    }
}

/// Everything that a node asks and says, on both transports; gives the reports that were acknowledged.
async fn life_goes_on(scene: &Scene, before: &Answer, first: i64) -> Vec<Report> {
    let line = &scene.line;
    let mut client = line.rpc.client.clone();
    let revision = before.body["revision"].as_i64().unwrap();
    for asked in [0, revision] {
        let answer = scene.post("/node/heartbeat", json!({"revision": asked})).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.body["needSync"], asked != revision);
        let heartbeat = HeartbeatRequest {
            revision: Some(asked),
            ..HeartbeatRequest::default()
        };
        let answer = client.heartbeat(line.rpc.request(heartbeat)).await.unwrap();
        assert_eq!(answer.into_inner().need_sync, asked != revision);
    }

    let config = scene.config().await;
    assert_eq!((config.status, &config.body), (StatusCode::OK, &before.body));
    assert_eq!(config.headers["etag"], before.headers["etag"]);
    let conditional = line.http(Method::GET, "/node/config/latest");
    let unchanged = send(conditional.header("if-none-match", &before.headers["etag"])).await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    let request = line.rpc.request(GetLatestConfigRequest::default());
    let config = client.get_latest_config(request).await.unwrap().into_inner();
    assert_eq!(config.revision, revision);
    assert!(!config.client_map_json.is_empty());

    let reports: Vec<_> = (first..first + 12).map(|number| Report::new(1, number)).collect();
    line.send_all(&reports).await;
    let error = json!({"message": format!("error {first}")});
    assert_eq!(scene.post("/node/error", error).await.status, StatusCode::OK);
    assert_eq!(
        scene
            .post("/node/config/applied", json!({"revision": revision}))
            .await
            .status,
        StatusCode::OK
    );
    let confirm = ConfirmConfigAppliedRequest {
        revision,
        ..ConfirmConfigAppliedRequest::default()
    };
    client.confirm_config_applied(line.rpc.request(confirm)).await.unwrap();
    let stats = ReportNodeStatsRequest {
        system: Some(vpn_core::proto::nodeservice::SystemStats::default()),
        xray: Some(vpn_core::proto::nodeservice::XrayStats::default()),
        ..ReportNodeStatsRequest::default()
    };
    client.report_node_stats(line.rpc.request(stats)).await.unwrap();
    let online = line.rpc.request(ReportOnlineUsersRequest::default());
    client.report_online_users(online).await.unwrap();

    let ready = reqwest::Client::new().get(format!("http://127.0.0.1:{}/readyz", line.place.http));
    let ready = send(ready).await;
    assert_eq!(
        (ready.status, ready.body["ready"].as_bool()),
        (StatusCode::OK, Some(true))
    );
    assert_eq!(ready.body["store"], "away");
    reports
}

/// What needs the store says so in time.
async fn the_store_is_missed(scene: &Scene, code: &str) {
    let place = scene.line.place;
    let admin = place.admin_api();
    let stranger = Admin::new(place.admin, "a-token-that-only-the-store-knows");
    let issuer = KeyIssuer::default();
    issuer.issue(NodeId(1));
    let unknown = issuer.into_secret().unwrap();
    let unknown = unknown.expose_secret();
    let body = json!({"code": code, "name": "new", "ip": "192.0.2.5", "port": 8000, "region": "de"});
    let node_url = |route: &str| format!("http://127.0.0.1:{}{route}", place.http);
    let client = reqwest::Client::new();
    let calls = vec![
        client.post(node_url("/node/register")).json(&body),
        client
            .post(node_url("/node/heartbeat"))
            .header("x-node-auth-key", unknown)
            .json(&json!({})),
        admin
            .request(Method::PATCH, "/admin/nodes/2")
            .json(&json!({"region": "nl"})),
        admin.request(Method::DELETE, "/admin/nodes/2"),
        admin.request(Method::POST, "/admin/nodes/2/keys"),
        admin
            .request(Method::POST, "/admin/registration-codes")
            .json(&json!({})),
        admin
            .request(Method::POST, "/admin/tokens")
            .json(&json!({"name": "x", "role": "viewer"})),
        admin.request(Method::GET, "/admin/audit"),
        stranger.request(Method::GET, "/admin/nodes"),
    ];
    let calls = calls.into_iter().zip(0..).map(|(call, number)| async move {
        let answer = tokio::time::timeout(ANSWER_WITHIN, send(call)).await;
        let answer = answer.unwrap_or_else(|_| panic!("call {number} waits for the store"));
        assert_eq!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "call {number}: {}",
            answer.body
        );
        assert!(answer.headers.contains_key("retry-after"), "call {number}");
        assert_eq!(answer.body["statusCode"], 503);
    });
    let unknown = Line::new(place, unknown).await;
    let mut rpc = unknown.rpc.client.clone();
    let asked = rpc.heartbeat(unknown.rpc.request(HeartbeatRequest::default()));
    let (_, asked) = futures_util::future::join(join_all(calls), tokio::time::timeout(ANSWER_WITHIN, asked)).await;
    let refused = asked.expect("an unknown key waits for the store").unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    // What can't be a key needs no store.
    let nonsense = node_post(place.http, "/node/heartbeat", Some("nonsense"), &json!({})).await;
    assert_eq!(nonsense.status, StatusCode::UNAUTHORIZED);
}

async fn nodes_do_not_notice(mood: Mood) {
    let scene = Scene::new().await;
    let code = scene.line.place.code(&json!({})).await;
    let config = scene.config().await;
    let mut reports: Vec<_> = (0..6).map(|number| Report::new(1, number)).collect();
    scene.line.send_all(&reports).await;

    scene.store.feel(mood);
    reports.extend(life_goes_on(&scene, &config, 100).await);
    the_store_is_missed(&scene, &code).await;
    reports.extend(life_goes_on(&scene, &config, 200).await);
    eventually("calls of the store that fail", || {
        let failures = scene.store.failures.load(std::sync::atomic::Ordering::SeqCst);
        std::future::ready((failures > 10).then_some(()))
    })
    .await;

    scene.store.feel(Mood::Well);
    arrive(&scene.file(), &reports).await;
    let shown = eventually("the errors", || async {
        let errors = scene.core.admin().get("/admin/nodes/1/errors").await;
        (errors["items"].as_array().unwrap().len() == 2).then_some(errors)
    })
    .await;
    assert_eq!(shown["items"][0]["message"], "error 200");
    let (id, key) = crate::harness::http::register(scene.line.place.http, &code, "new").await;
    assert_eq!(scene.line.place.node(id).await["name"], "new");
    let new = Line::new(scene.line.place, &key).await;
    new.rpc
        .client
        .clone()
        .heartbeat(new.rpc.request(HeartbeatRequest::default()))
        .await
        .unwrap();
    // What was sent is sent again by a careful agent: it counts no more.
    scene.line.send_all(&reports).await;
    let file = scene.file();
    scene.core.stop().await;
    assert_eq!(Sums::in_file(&file), Sums::of(&reports));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_do_not_notice_that_the_store_is_away() {
    nodes_do_not_notice(Mood::Away).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_do_not_notice_that_the_store_hangs() {
    nodes_do_not_notice(Mood::Hanging).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_committed_without_an_answer_counts_once() {
    let scene = Scene::new().await;
    scene.store.feel(Mood::Mute);
    let mut reports: Vec<_> = (0..9).map(|number| Report::new(1, number)).collect();
    scene.line.send_all(&reports).await;
    arrive(&scene.file(), &reports).await;
    let more: Vec<_> = (9..18).map(|number| Report::new(1, number)).collect();
    scene.line.send_all(&more).await;
    reports.extend(more);
    scene.store.feel(Mood::Well);
    arrive(&scene.file(), &reports).await;
    let file = scene.file();
    scene.core.stop().await;
    assert_eq!(Sums::in_file(&file), Sums::of(&reports));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_whose_commit_was_not_answered_is_mended_by_the_retry() {
    let scene = Scene::new().await;
    let place = scene.line.place;
    let code = place.code(&json!({})).await;
    scene.store.feel(Mood::Mute);
    let body = json!({"code": code, "name": "new", "ip": "192.0.2.5", "port": 8000, "region": "de"});
    let answer = node_post(place.http, "/node/register", None, &body).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    scene.store.feel(Mood::Well);
    let (id, key) = crate::harness::http::register(place.http, &code, "new").await;
    assert_eq!(id, 3, "the node that the lost commit made");
    let new = Line::new(place, &key).await;
    let beat = new.rpc.request(HeartbeatRequest::default());
    assert!(new.rpc.client.clone().heartbeat(beat).await.unwrap().into_inner().ok);
    scene.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_panics_stops_nothing_for_good() {
    let scene = Scene::new().await;
    let reports: Vec<_> = (0..6).map(|number| Report::new(1, number)).collect();
    scene.store.feel(Mood::Falling);
    scene.line.send_all(&reports).await;
    eventually("calls that panic", || {
        let failures = scene.store.failures.load(std::sync::atomic::Ordering::SeqCst);
        std::future::ready((failures > 4).then_some(()))
    })
    .await;
    scene.store.feel(Mood::Well);
    arrive(&scene.file(), &reports).await;
    scene.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_set_back_while_core_runs_is_made_whole() {
    let scene = Scene::new().await;
    let (file, backup) = (scene.file(), scene.dir.path().join("backup.db"));
    let mut reports: Vec<_> = (0..6).map(|number| Report::new(1, number)).collect();
    scene.line.send_all(&reports).await;
    arrive(&file, &reports).await;
    let db = rusqlite::Connection::open(&file).unwrap();
    db.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    let lost: Vec<_> = (6..12).map(|number| Report::new(1, number)).collect();
    scene.line.send_all(&lost).await;
    reports.extend(lost);

    // What the backup lacks is in two generations of the journal, and the newer one is still written.
    let Scene { core, store, line, dir } = scene;
    core.stop().await;
    let parts = Parts {
        store: Some(Arc::clone(&store) as Arc<_>),
        ..Parts::default()
    };
    let core = Inside::start(dir.path(), parts).await;
    let line = Line::new(core.ports, &line.key).await;
    let lost: Vec<_> = (12..18).map(|number| Report::new(1, number)).collect();
    line.send_all(&lost).await;
    reports.extend(lost);
    arrive(&file, &reports).await;

    store.swap(&backup);
    let new: Vec<_> = (18..21).map(|number| Report::new(1, number)).collect();
    line.send_all(&new).await;
    reports.extend(new);
    arrive(&backup, &reports).await;
    core.stop().await;
}
