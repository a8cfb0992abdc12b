//! Redis goes and comes back, in every way: no node notices, Core's memory does not grow, and soon all keys are right.

use std::time::Duration;

use super::{
    crew::{Crew, folder, start},
    look::Look,
};
use crate::{
    harness::{
        core::Core,
        eventually,
        http::send,
        proxy::{Fault, Proxy},
        redis::{Cluster, NODE_TIMEOUT, Server, url},
        within,
    },
    postgres::figures::figure,
};

const NODES: i64 = 4;
const PACE: Duration = Duration::from_secs(1);

/// All keys are right so soon after Redis is back.
const RIGHT_WITHIN: Duration = Duration::from_secs(5);

/// By so much Core may grow meanwhile.
const GROWTH_MAX: u64 = 32 << 20;

fn outage() -> Duration {
    Duration::from_secs(figure("CORE_TEST_REDIS_AWAY_SECONDS", 8, 120).into())
}

/// Core, its agents, and a look past what is done to Core's way.
struct Scene {
    core: Core,
    crew: Crew,
    look: Look,
    memory: u64,
    arrivals: u64,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn new(redis: &str, look: &str) -> Self {
        let dir = folder(NODES);
        let core = start(dir.path(), redis).await;
        let crew = Crew::new(&core, NODES, PACE).await;
        let look = Look::new(look).await;
        eventually("keys", || async { crew.right(&look).await.ok() }).await;
        eventually("a Redis that is there", || async {
            (redis_is(&core).await == "ok").then_some(())
        })
        .await;
        Self {
            memory: core.resident(),
            arrivals: arrivals(&core).await,
            core,
            crew,
            look,
            _dir: dir,
        }
    }

    /// Waits until all is right again.
    async fn right_within(&self, limit: Duration, what: &str) {
        let wrong = std::cell::RefCell::new(String::new());
        let righting = within(limit.saturating_mul(4), what, || async {
            let right = self.crew.right(&self.look).await;
            right.map_err(|error| wrong.replace(error)).ok()
        });
        let watch = vpn_core::clock::Stopwatch::start();
        righting.await;
        let taken = watch.elapsed();
        eprintln!("{what}: right again after {} ms", taken.as_millis());
        assert!(
            taken <= limit,
            "{what}: {} ms, last {}",
            taken.as_millis(),
            wrong.borrow()
        );
        assert_eq!(self.crew.failed(), 0, "{what}: a node noticed it");
        assert_eq!(
            arrivals(&self.core).await,
            self.arrivals,
            "{what}: users came who were there"
        );
        let growth = self.core.resident().saturating_sub(self.memory);
        eprintln!("{what}: {} KB more memory", growth >> 10);
        assert!(growth <= GROWTH_MAX, "{what}: {} MB more", growth >> 20);
    }
}

async fn redis_is(core: &Core) -> String {
    let ready = send(reqwest::Client::new().get(format!("http://127.0.0.1:{}/readyz", core.ports.http))).await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    ready.body["redis"].as_str().unwrap().to_owned()
}

/// Has a cluster answer up to a second late, without end.
async fn slow(members: &[Server]) -> std::convert::Infallible {
    loop {
        for (still, time) in [(true, Duration::from_secs(1)), (false, Duration::from_millis(50))] {
            members.iter().for_each(|member| member.stand_still(still));
            tokio::time::sleep(time).await;
        }
    }
}

/// How often a user came, as Core tells it.
async fn arrivals(core: &Core) -> u64 {
    let request = core.admin().request(reqwest::Method::GET, "/metrics");
    let metrics = request.send().await.unwrap().text().await.unwrap();
    let line = "core_events_total{type=\"user.online\"} ";
    let count = metrics.lines().find_map(|it| it.strip_prefix(line));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_server() {
    let mut redis = Server::start().await;
    let proxy = Proxy::before(redis.port()).await;
    let scene = Scene::new(&url(proxy.port()), &redis.url()).await;

    redis.kill();
    tokio::time::sleep(outage()).await;
    assert_eq!(redis_is(&scene.core).await, "away");
    redis.restart().await;
    scene.right_within(RIGHT_WITHIN, "killed, back empty").await;

    for (fault, what) in [
        (Fault::BlackHole, "a black hole"),
        (Fault::Cut, "cut"),
        (Fault::Delay(Duration::from_secs(1)), "slow by a second"),
    ] {
        proxy.set(fault).await;
        tokio::time::sleep(outage()).await;
        if matches!(fault, Fault::Delay(_)) {
            assert_eq!(redis_is(&scene.core).await, "ok");
            scene.right_within(RIGHT_WITHIN, "while slow by a second").await;
        } else {
            assert_eq!(redis_is(&scene.core).await, "away", "{what}");
        }
        proxy.set(Fault::Pass).await;
        scene.right_within(RIGHT_WITHIN, what).await;
    }

    redis.kill();
    redis.restart().await;
    scene.right_within(RIGHT_WITHIN, "restarted at once, empty").await;
    assert!(!scene.core.log().contains("panicked"));
    scene.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_cluster() {
    let mut redis = Cluster::start().await;
    let scene = Scene::new(&redis.url(), &redis.url_of_all()).await;

    redis.members()[0].kill();
    scene
        .right_within(NODE_TIMEOUT + RIGHT_WITHIN, "a master killed, the one of the URL")
        .await;
    redis.members()[0].restart().await;
    redis.whole().await;

    for member in redis.members() {
        member.stand_still(true);
    }
    tokio::time::sleep(outage()).await;
    assert_eq!(redis_is(&scene.core).await, "away");
    for member in redis.members() {
        member.stand_still(false);
    }
    redis.whole().await;
    scene.right_within(RIGHT_WITHIN, "a cluster that stood still").await;

    tokio::select! {
        never = slow(redis.members()) => match never {},
        () = async {
            tokio::time::sleep(outage()).await;
            assert_eq!(redis_is(&scene.core).await, "ok");
            scene.right_within(RIGHT_WITHIN, "while a cluster is slow by a second").await;
        } => {}
    }
    for member in redis.members() {
        member.stand_still(false);
    }
    scene.right_within(RIGHT_WITHIN, "a cluster that was slow").await;

    for member in redis.members() {
        member.kill();
    }
    tokio::time::sleep(outage()).await;
    for member in redis.members() {
        member.restart().await;
    }
    redis.whole().await;
    scene.right_within(RIGHT_WITHIN, "a cluster killed, back empty").await;
    scene.core.stop().await;
}
