//! How machines were: memory's 15 minutes and the store's minutes, on a clock that the test moves, with a store that comes and goes.

use std::{sync::Arc, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use vpn_core::{
    app::Parts,
    clock::Clock,
    model::Time,
    proto::nodeservice::{ReportNodeStatsRequest, SystemStats},
    store::Store,
};

use super::store::{FaultyStore, Mood};
use crate::{
    contract::caller::{Caller, come_in},
    harness::{
        core::sample_dir,
        http::{Answer, send},
        inside::Inside,
        rpc::Agent,
    },
};

/// A machine that grows.
fn system(number: i64) -> SystemStats {
    SystemStats {
        uptime_seconds: number,
        cpu_percent: 12.5,
        cpu_cores: 4,
        ram_used: number << 20,
        ram_total: 8 << 30,
        disk_used: 7 << 30,
        disk_total: 80 << 30,
        net_rx_per_sec: 1_000,
        net_tx_per_sec: 2_000,
        net_rx_total: number * 1_000,
        net_tx_total: number * 2_000,
    }
}

struct Scene {
    dir: tempfile::TempDir,
    clock: Clock,
    store: Arc<FaultyStore>,
    core: Inside,
    key: String,
}

impl Scene {
    async fn open() -> Self {
        let dir = sample_dir();
        // A full minute, so that the test knows where minutes end.
        let clock = Clock::manual(Clock::system().now().minute().plus(Duration::from_mins(1)));
        let store = FaultyStore::open(&dir.path().join("core.db"), Mood::Well);
        let core = start(&dir, &clock, &store).await;
        let stranger = Caller::new(core.ports.http, None);
        let order = core
            .admin()
            .request(Method::POST, "/admin/registration-codes")
            .json(&json!({"nodeId": 1}));
        let code = send(order).await.body["code"].as_str().unwrap().to_owned();
        let key = come_in(&stranger, &code, 1).await;
        Self {
            dir,
            clock,
            store,
            core,
            key,
        }
    }

    /// Reports so many times, every so often; `from` is the first number.
    async fn report(&self, from: i64, times: i64, every: Duration) {
        let mut agent = Agent::connect(self.core.ports.grpc, &self.key);
        for number in from..from + times {
            let report = ReportNodeStatsRequest {
                system: Some(system(number)),
                ..ReportNodeStatsRequest::default()
            };
            agent.client.report_node_stats(agent.request(report)).await.unwrap();
            self.clock.advance(every);
        }
    }

    async fn ask(&self, query: &str) -> Answer {
        let path = format!("/admin/nodes/1/stats{query}");
        send(self.core.admin().request(Method::GET, &path)).await
    }

    async fn points(&self, query: &str) -> (Value, Vec<Value>) {
        let answer = self.ask(query).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.body);
        let points = answer.body["points"].as_array().unwrap().clone();
        (answer.body["step"].clone(), points)
    }

    /// Core ends and begins again on the same folder and clock.
    async fn restart(self) -> Self {
        let Self {
            dir,
            clock,
            store,
            core,
            key,
        } = self;
        core.stop().await;
        let core = start(&dir, &clock, &store).await;
        Self {
            dir,
            clock,
            store,
            core,
            key,
        }
    }
}

async fn start(dir: &tempfile::TempDir, clock: &Clock, store: &Arc<FaultyStore>) -> Inside {
    let store: Arc<dyn Store> = Arc::<FaultyStore>::clone(store);
    let parts = Parts {
        clock: clock.clone(),
        store: Some(store),
        ..Parts::default()
    };
    Inside::start(dir.path(), parts).await
}

fn seconds(point: &Value, since: Time) -> i64 {
    let at = Time::parse_rfc3339(point["at"].as_str().unwrap()).unwrap();
    (at.millis() - since.millis()) / 1_000
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_has_fifteen_minutes_and_the_store_the_rest() {
    let scene = Scene::open().await;
    let begin = scene.clock.now();
    assert_eq!(scene.points("").await, (json!(2), vec![]));
    // Sixteen minutes, 480 samples: as many minutes as may wait for the store, one more than memory has.
    scene.report(0, 480, Duration::from_secs(2)).await;
    let (step, points) = scene.points("").await;
    assert_eq!((step, points.len()), (json!(2), 450));
    assert_eq!(
        (seconds(&points[0], begin), &points[0]["uptimeSeconds"]),
        (60, &json!(30))
    );
    let last = points.last().unwrap();
    assert_eq!(
        last,
        &json!({
            "at": begin.plus(Duration::from_secs(958)), "uptimeSeconds": 479, "cpuPercent": 12.5, "cpuCores": 4,
            "ramUsed": 479_i64 << 20, "ramTotal": 8_i64 << 30, "diskUsed": 7_i64 << 30, "diskTotal": 80_i64 << 30,
            "netRxPerSec": 1_000, "netTxPerSec": 2_000, "netRxTotal": 479_000, "netTxTotal": 958_000,
        })
    );
    let (step, points) = scene.points("?step=minute").await;
    assert_eq!((step, points.len()), (json!(60), 15));
    // 30 to 59: the mean of a gauge, the last of a total.
    assert_eq!(
        (&points[0]["ramUsed"], &points[0]["netRxTotal"]),
        (&json!(89_i64 << 19), &json!(59_000))
    );

    // A restart empties memory; every minute is in the store, the last one too.
    let scene = scene.restart().await;
    let all = format!("?from={begin}&to={}&step=60", scene.clock.now());
    let (_, points) = scene.points(&all).await;
    assert_eq!(points.len(), 16);
    for (minute, point) in (0..).zip(&points) {
        assert_eq!(seconds(point, begin), minute * 60);
        assert_eq!(point["uptimeSeconds"], minute * 30 + 29);
    }
    scene.report(480, 30, Duration::from_secs(2)).await;
    let (step, points) = scene.points(&format!("?from={begin}&to={}", scene.clock.now())).await;
    assert_eq!((step, points.len()), (json!(2), 46));
    let (_, points) = scene
        .points(&format!("?from={begin}&to={}&step=3600", scene.clock.now()))
        .await;
    assert_eq!(points.last().unwrap()["uptimeSeconds"], 509);
    scene.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_store_memory_answers_for_its_own_time() {
    let scene = Scene::open().await;
    scene.report(0, 30, Duration::from_secs(2)).await;
    scene.store.feel(Mood::Away);
    let (_, points) = scene.points("").await;
    assert_eq!(points.len(), 30);
    let hour = format!("?from={}", scene.clock.now().minus(Duration::from_hours(1)));
    let away = scene.ask(&hour).await;
    assert_eq!(away.status, StatusCode::SERVICE_UNAVAILABLE, "{}", away.body);
    // What was said meanwhile is not lost.
    scene.report(30, 60, Duration::from_secs(2)).await;
    scene.store.feel(Mood::Well);
    let begin = scene.clock.now().minus(Duration::from_mins(3));
    let scene = scene.restart().await;
    let (_, points) = scene.points(&format!("?from={begin}&step=minute")).await;
    let shown: Vec<_> = points.iter().map(|point| point["uptimeSeconds"].clone()).collect();
    assert_eq!(shown, [29, 59, 89]);
    for (query, named) in [
        ("?step=2&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z", "step"),
        ("?step=soon", "step"),
        ("?step=0", "step"),
        ("?from=yesterday", "from"),
        ("?to=1764000000", "to"),
        ("?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
    ] {
        let refused = scene.ask(query).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(
            refused.body["message"].as_str().unwrap().starts_with(named),
            "{}",
            refused.body
        );
    }
    let missing = send(scene.core.admin().request(Method::GET, "/admin/nodes/99/stats")).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    scene.core.stop().await;
}
