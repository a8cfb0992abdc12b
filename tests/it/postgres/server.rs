//! The servers of these tests.

use crate::harness::{
    eventually,
    postgres::{Database, Server, connect, try_connect},
};

async fn count(url: &str) -> i64 {
    let db = connect(url).await;
    db.query_one("SELECT count(*) FROM t", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn every_database_is_new() {
    let (one, two) = (Database::fresh().await, Database::fresh().await);
    let db = connect(&one.url()).await;
    db.batch_execute("CREATE TABLE t (id bigint); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let other = connect(&two.url()).await;
    other.batch_execute("CREATE TABLE t (id bigint)").await.unwrap();
    assert_eq!((count(&one.url()).await, count(&two.url()).await), (1, 0));
    let version = db
        .query_one("SHOW server_version_num", &[])
        .await
        .unwrap()
        .get::<_, String>(0);
    assert!(version.parse::<u32>().unwrap() >= 150_000, "{version}");
    let url = one.url();
    drop(one);
    let gone = try_connect(&url).await.err().unwrap();
    assert_eq!(gone.code(), Some(&tokio_postgres::error::SqlState::UNDEFINED_DATABASE));
}

#[tokio::test]
async fn a_killed_server_comes_back_with_what_was_committed() {
    let mut server = Server::start().await;
    let mut db = connect(&server.url()).await;
    db.batch_execute("CREATE TABLE t (id bigint)").await.unwrap();
    for committed in 1..=3 {
        db.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        let open = db.transaction().await.unwrap();
        open.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
        server.kill().await;
        open.commit().await.unwrap_err();
        try_connect(&server.url()).await.err().unwrap();
        server.restart().await;
        assert_eq!(count(&server.url()).await, committed);
        db = connect(&server.url()).await;
    }
}

#[tokio::test]
async fn a_stopped_server_comes_back() {
    let mut server = Server::start().await;
    let db = connect(&server.url()).await;
    db.batch_execute("CREATE TABLE t (id bigint); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    server.stop().await;
    try_connect(&server.url()).await.err().unwrap();
    server.restart().await;
    assert_eq!(count(&server.url()).await, 1);
}

#[tokio::test]
async fn a_server_is_set_back_to_its_backup() {
    let mut server = Server::start().await;
    let db = connect(&server.url()).await;
    db.batch_execute("CREATE TABLE t (id bigint); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let backup = server.base_backup().await;
    db.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    for _ in 0..2 {
        server.restore(&backup).await;
        assert_eq!(count(&server.url()).await, 1);
        let db = connect(&server.url()).await;
        db.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_server() {
    let server = Server::start().await;
    let (url, folder) = (server.url(), server.folder().to_owned());
    assert!(folder.exists());
    drop(server);
    try_connect(&url).await.err().unwrap();
    eventually("the guard has removed the folder", || {
        std::future::ready((!folder.exists()).then_some(()))
    })
    .await;
}
