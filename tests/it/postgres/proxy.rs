//! The proxy of these tests, before a real server.

use std::{future::Future, time::Duration};

use tokio_postgres::Client;
use vpn_core::clock::Stopwatch;

use crate::harness::{
    eventually,
    postgres::{Database, Server, connect, try_connect},
    proxy::{Fault, Moment, Proxy},
};

/// So long must pass before the tests call a server silent.
const SILENT: Duration = Duration::from_millis(300);

struct Scene {
    database: Database,
    proxy: Proxy,
    /// Past the proxy.
    beside: Client,
}

impl Scene {
    async fn new() -> Self {
        let database = Database::fresh().await;
        let beside = connect(&database.url()).await;
        beside.batch_execute("CREATE TABLE t (id bigint)").await.unwrap();
        Self {
            proxy: Proxy::before(database.port()).await,
            database,
            beside,
        }
    }

    fn url(&self) -> String {
        self.database.url_through(self.proxy.port())
    }

    async fn count(&self) -> i64 {
        self.beside
            .query_one("SELECT count(*) FROM t", &[])
            .await
            .unwrap()
            .get(0)
    }
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = Stopwatch::start();
    let done = work.await;
    (done, start.elapsed())
}

/// Puts a row in a transaction of its own.
async fn insert(db: &mut Client) -> Result<(), tokio_postgres::Error> {
    let transaction = db.transaction().await?;
    transaction.execute("INSERT INTO t VALUES (1)", &[]).await?;
    transaction.commit().await
}

#[tokio::test]
async fn it_passes_on_what_it_hears() {
    let scene = Scene::new().await;
    let mut db = connect(&scene.url()).await;
    insert(&mut db).await.unwrap();
    let text = "x".repeat(1 << 20);
    let echo = db.query_one("SELECT $1::text", &[&text]).await.unwrap();
    assert_eq!(echo.get::<_, &str>(0), text);
    assert_eq!((scene.count().await, scene.proxy.cuts()), (1, 0));
}

#[tokio::test]
async fn it_stands_before_a_server_that_is_away_too() {
    let mut server = Server::start().await;
    let proxy = Proxy::before(server.port()).await;
    let url = Server::url_at(proxy.port());
    let db = connect(&url).await;
    server.kill().await;
    db.batch_execute("SELECT 1").await.unwrap_err();
    assert!(try_connect(&url).await.is_err());
    server.restart().await;
    connect(&url).await.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_cut_ends_all_and_refuses_new_ones() {
    let scene = Scene::new().await;
    let db = connect(&scene.url()).await;
    for _ in 0..3 {
        scene.proxy.set(Fault::Cut).await;
        db.batch_execute("SELECT 1").await.unwrap_err();
        assert!(try_connect(&scene.url()).await.is_err());
        scene.proxy.set(Fault::Pass).await;
        connect(&scene.url()).await.batch_execute("SELECT 1").await.unwrap();
    }
    assert!(scene.proxy.accepted() >= 4);
}

#[tokio::test]
async fn every_answer_comes_later() {
    let scene = Scene::new().await;
    let db = connect(&scene.url()).await;
    let delay = Duration::from_millis(200);
    scene.proxy.set(Fault::Delay(delay)).await;
    for _ in 0..2 {
        let (_, taken) = timed(db.batch_execute("SELECT 1")).await;
        assert!(taken >= delay, "{taken:?}");
    }
    // What is asked at once is answered at once: it is late, not slow.
    let asked = futures_util::future::join_all((0..20).map(|_| db.batch_execute("SELECT 1")));
    let (answers, taken) = timed(asked).await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(taken < delay * 20, "{taken:?}");
}

#[tokio::test]
async fn a_throttle_gives_so_many_bytes_a_second() {
    let scene = Scene::new().await;
    let db = connect(&scene.url()).await;
    scene.proxy.set(Fault::Throttle(20_000)).await;
    let (answer, taken) = timed(db.query_one("SELECT repeat('x', 10000)", &[])).await;
    assert_eq!(answer.unwrap().get::<_, &str>(0).len(), 10_000);
    assert!(taken >= Duration::from_millis(450), "{taken:?}");
}

#[tokio::test]
async fn a_black_hole_says_nothing() {
    let scene = Scene::new().await;
    let db = connect(&scene.url()).await;
    scene.proxy.set(Fault::BlackHole).await;
    let lost = db.batch_execute("INSERT INTO t VALUES (1)");
    let mut lost = std::pin::pin!(lost);
    tokio::time::timeout(SILENT, &mut lost).await.unwrap_err();
    let url = scene.url();
    let new = tokio::time::timeout(SILENT, try_connect(&url)).await;
    assert!(new.is_err(), "it answers");
    scene.proxy.set(Fault::Pass).await;
    lost.await.unwrap_err();
    assert_eq!(scene.count().await, 0);
    connect(&scene.url()).await.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_commit_is_cut_before_it_is_heard() {
    let scene = Scene::new().await;
    scene.proxy.set(Fault::CutAtCommit(Moment::Before, 1)).await;
    for cuts in 1..=3 {
        insert(&mut connect(&scene.url()).await).await.unwrap_err();
        assert_eq!((scene.proxy.cuts(), scene.count().await), (cuts, 0));
    }
}

#[tokio::test]
async fn a_commit_is_cut_when_it_is_told() {
    let scene = Scene::new().await;
    scene.proxy.set(Fault::CutAtCommit(Moment::Told, 1)).await;
    for cuts in 1..=3_u32 {
        insert(&mut connect(&scene.url()).await).await.unwrap_err();
        assert_eq!(scene.proxy.cuts(), u64::from(cuts));
        eventually("the commit of a server that was told", || async {
            (scene.count().await == i64::from(cuts)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_commit_is_cut_when_it_is_done() {
    let scene = Scene::new().await;
    scene.proxy.set(Fault::CutAtCommit(Moment::Done, 1)).await;
    for cuts in 1..=3_u32 {
        insert(&mut connect(&scene.url()).await).await.unwrap_err();
        assert_eq!(scene.proxy.cuts(), u64::from(cuts));
        assert_eq!(scene.count().await, i64::from(cuts), "it was done before the cut");
    }
}

#[tokio::test]
async fn a_prepared_commit_is_a_commit_and_every_third_may_be_cut() {
    let scene = Scene::new().await;
    scene.proxy.set(Fault::CutAtCommit(Moment::Done, 3)).await;
    let mut failures = Vec::new();
    for number in 1..=6 {
        let db = connect(&scene.url()).await;
        let commit = db.prepare("COMMIT").await.unwrap();
        db.batch_execute("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
        if db.execute(&commit, &[]).await.is_err() {
            failures.push(number);
        }
    }
    assert_eq!((failures, scene.count().await), (vec![3, 6], 6));
}
