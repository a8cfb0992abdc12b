//! How often somebody may call: addresses and nodes, over both transports. Time stands still unless a test moves it.

use std::time::Duration;

use reqwest::{Method, StatusCode, header::RETRY_AFTER};
use serde_json::json;
use tempfile::TempDir;
use tonic::Code;
use tonic_types::StatusExt as _;
use vpn_core::{
    app::Parts,
    clock::Clock,
    config::{Settings, Switch},
    proto::nodeservice::{HeartbeatRequest, ReportNodeStatsRequest, SystemStats, XrayStats},
};

use crate::{
    faults::fleet::Place,
    harness::{
        core::sample_dir,
        http::{Admin, Answer, node_post, send},
        inside::{Inside, settings},
        keys::forged,
        rpc::Agent,
    },
    postgres::figures::figure,
};

/// Core with limits, and the keys of two of its nodes.
struct Scene {
    core: Inside,
    clock: Clock,
    keys: [String; 2],
    client: reqwest::Client,
    _dir: TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = sample_dir();
        let clock = Clock::manual(Clock::system().now());
        let parts = Parts {
            clock: clock.clone(),
            ..Parts::default()
        };
        let mut settings = settings(dir.path());
        settings.limits = Switch::On;
        change(&mut settings);
        let core = Inside::try_start_with(settings, parts).await.expect("Core starts");
        let place = Place::from(core.ports);
        let keys = [place.enroll(1).await, place.enroll(2).await];
        Self {
            core,
            clock,
            keys,
            client: reqwest::Client::new(),
            _dir: dir,
        }
    }

    async fn beat(&self, key: &str) -> Answer {
        let url = format!("http://127.0.0.1:{}/node/heartbeat", self.core.ports.http);
        let request = self.client.post(url).header("x-node-auth-key", key);
        send(request.json(&json!({}))).await
    }

    /// As an agent behind a proxy sends it.
    async fn beat_through(&self, key: &str, forwarded: &str) -> StatusCode {
        let request = reqwest::Client::new()
            .post(format!("http://127.0.0.1:{}/node/heartbeat", self.core.ports.http))
            .header("x-forwarded-for", forwarded)
            .header("x-node-auth-key", key);
        send(request.json(&json!({}))).await.status
    }
}

fn wait_of(answer: &Answer) -> u64 {
    let wait = answer.headers[RETRY_AFTER].to_str().expect("it is text");
    wait.parse().expect("it is a number")
}

/// A key that lets nobody in, another one for each number: every second one has the form of a key, so that the store is asked.
pub fn wrong(n: usize) -> String {
    if n.is_multiple_of(2) {
        forged(1, &n.to_string())
    } else {
        format!("nonsense {n}")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_are_sent_away_and_good_ones_from_there_never() {
    let scene = Scene::new().await;
    let (mut refused, mut away) = (0, 0);
    for n in 0..figure("CORE_TEST_WRONG_KEYS", 500, 200_000) as usize {
        let answer = scene.beat(&wrong(n)).await;
        match answer.status {
            StatusCode::UNAUTHORIZED => refused += 1,
            StatusCode::TOO_MANY_REQUESTS => {
                away += 1;
                assert!((1..=12).contains(&wait_of(&answer)));
                assert_eq!(answer.body["statusCode"], 429, "{}", answer.body);
            }
            other => panic!("{other} for a wrong key"),
        }
        if n % 50 == 0 {
            let [one, two] = &scene.keys;
            let good = if n % 100 == 0 { one } else { two };
            scene.clock.advance(Duration::from_millis(10));
            assert_eq!(scene.beat(good).await.status, StatusCode::OK, "after {n}");
        }
    }
    assert!(refused >= 5 && away > 0, "{refused} refused, {away} sent away");
    scene.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_registers_only_so_often() {
    let scene = Scene::new().await;
    let post = || {
        let body = json!({"code": "no such code", "name": "n", "ip": "192.0.2.1", "port": 1, "region": ""});
        let port = scene.core.ports.http;
        async move { node_post(port, "/node/register", None, &body).await }
    };
    // The two of the scene took their turns.
    for _ in 0..3 {
        assert_eq!(post().await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = post().await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.body);
    assert_eq!(wait_of(&answer), 1);
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(post().await.status, StatusCode::UNAUTHORIZED);
    scene.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_calls_too_often_waits_alone_on_either_transport() {
    let scene = Scene::with(|settings| settings.limit_node_factor = 1.0).await;
    let [wild, quiet] = &scene.keys;
    for n in 0..30 {
        assert_eq!(scene.beat(wild).await.status, StatusCode::OK, "{n}");
    }
    let answer = scene.beat(wild).await;
    assert_eq!((answer.status, wait_of(&answer)), (StatusCode::TOO_MANY_REQUESTS, 1));
    let mut agent = Agent::connect(scene.core.ports.grpc, wild);
    let status = agent
        .client
        .heartbeat(agent.request(HeartbeatRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(
        wait.is_some_and(|wait| wait <= Duration::from_secs(1) && !wait.is_zero()),
        "{wait:?}"
    );
    // Another kind of call of the same node, and another node, are as before.
    let stats = ReportNodeStatsRequest {
        system: Some(SystemStats::default()),
        xray: Some(XrayStats::default()),
        ..ReportNodeStatsRequest::default()
    };
    agent.client.report_node_stats(agent.request(stats)).await.unwrap();
    assert_eq!(scene.beat(quiet).await.status, StatusCode::OK);
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.beat(wild).await.status, StatusCode::OK);
    assert_eq!(scene.beat(wild).await.status, StatusCode::TOO_MANY_REQUESTS);
    scene.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_of_a_day_may_come_at_once() {
    let scene = Scene::new().await;
    let [key, _] = &scene.keys;
    for n in 0..1_440 {
        let body = json!({"entries": [{"userId": 1, "subscriptionId": 1, "nodeProtocolId": 11, "bytesUp": 1, "bytesDown": n,
            "recordedAt": scene.clock.now().to_string()}]});
        let answer = node_post(scene.core.ports.http, "/node/usage", Some(key), &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{n}: {}", answer.body);
    }
    scene.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_trusted_proxy_tells_whose_call_it_is() {
    let trusting = Scene::with(|settings| settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let suspicious = Scene::new().await;
    for n in 0..5 {
        for (scene, from) in [(&trusting, "198.51.100.1"), (&suspicious, "198.51.100.1")] {
            assert_eq!(scene.beat_through("wrong", from).await, StatusCode::UNAUTHORIZED, "{n}");
        }
    }
    assert_eq!(
        trusting.beat_through("wrong", "198.51.100.1").await,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(
        trusting.beat_through("wrong", "198.51.100.2").await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        suspicious.beat_through("wrong", "198.51.100.2").await,
        StatusCode::TOO_MANY_REQUESTS
    );
    trusting.core.stop().await;
    suspicious.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_admin_tokens_are_sent_away_and_good_ones_from_there_never() {
    let scene = Scene::new().await;
    let ask = |token: &str| {
        let admin = Admin::new(scene.core.ports.admin, token);
        async move { send(admin.request(Method::GET, "/admin/nodes")).await }
    };
    for n in 0..5 {
        assert_eq!(ask(&format!("wrong {n}")).await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = ask("wrong again").await;
    assert_eq!((answer.status, wait_of(&answer)), (StatusCode::TOO_MANY_REQUESTS, 12));
    scene.core.admin().get("/admin/nodes").await;
    let order = scene.core.admin().request(Method::POST, "/admin/tokens");
    let made = send(order.json(&json!({"name": "panel", "role": "viewer"}))).await;
    let token = made.body["token"].as_str().expect("its secret").to_owned();
    assert_eq!(ask(&token).await.status, StatusCode::OK);
    scene.core.stop().await;
}
