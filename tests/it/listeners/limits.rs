//! Peers that say nothing, or too little, or take nothing.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use vpn_core::{app::Parts, clock::Stopwatch, connection::Limits};

use super::peer::{closed, plain};
use crate::{
    harness::{
        PATIENCE,
        core::{ADMIN_TOKEN, sample_dir},
        inside::Inside,
    },
    postgres::figures::figure,
};

/// As in production, ten times as fast.
fn short() -> Limits {
    Limits {
        first_request: Duration::from_secs(1),
        idle: Duration::from_secs(3),
        ..Limits::default()
    }
}

async fn core(dir: &tempfile::TempDir, limits: Limits) -> Inside {
    let parts = Parts {
        limits,
        ..Parts::default()
    };
    Inside::start(dir.path(), parts).await
}

fn ports(core: &Inside) -> [u16; 3] {
    [core.ports.http, core.ports.grpc, core.ports.admin]
}

fn count(short: u32, full: u32) -> usize {
    usize::try_from(figure("CORE_TEST_PEERS", short, full)).unwrap()
}

/// actix looks at the clock every half second: its time-outs are so much early at most.
const A_TICK: Duration = Duration::from_millis(510);

const HEALTHZ: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: core\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_peers_are_closed_in_time() {
    let (dir, limits) = (sample_dir(), short());
    let core = core(&dir, limits).await;
    let peers = (0..count(30, 2_000)).map(|peer| {
        let port = ports(&core)[peer % 3];
        async move {
            let watch = Stopwatch::start();
            let mut silent = plain(port).await;
            closed(&mut silent, PATIENCE, "a silent peer").await;
            let elapsed = watch.elapsed();
            assert!(
                elapsed + A_TICK >= limits.first_request,
                "port {}: {elapsed:?}",
                peer % 3
            );
        }
    });
    join_all(peers).await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_request_a_connection_may_rest_for_longer_but_not_for_ever() {
    let (dir, limits) = (sample_dir(), short());
    let core = core(&dir, limits).await;
    let mut http = plain(core.ports.http).await;
    // Before the calls: Core's clock for a connection begins after them, and nobody's speed is in the comparison.
    let rested = Stopwatch::start();
    http.write_all(HEALTHZ).await.unwrap();
    let mut answer = [0; 4_096];
    assert!(http.read(&mut answer).await.unwrap() > 0);
    let (rested_grpc, grpc) = (Stopwatch::start(), plain(core.ports.grpc).await);
    let (calls, connection) = h2::client::handshake(grpc).await.unwrap();
    let connection = tokio::spawn(connection);
    call(calls.clone()).await;
    closed(&mut http, PATIENCE, "an idle peer").await;
    assert!(rested.elapsed() + A_TICK >= limits.idle, "{:?}", rested.elapsed());
    // It is told to go by GOAWAY, so it ends well.
    tokio::time::timeout(PATIENCE, connection)
        .await
        .expect("it is closed in time")
        .unwrap()
        .expect("it is asked to go");
    assert!(rested_grpc.elapsed() + A_TICK >= limits.idle);
    drop(calls);
    core.stop().await;
}

fn request(body: &str) -> http::Request<()> {
    http::Request::post(format!("http://core/{body}"))
        .header("content-type", "application/grpc")
        .body(())
        .unwrap()
}

/// Calls what is not there: an answer is an answer.
async fn call(calls: h2::client::SendRequest<Bytes>) {
    let mut calls = calls.ready().await.unwrap();
    let (answer, _) = calls.send_request(request("nothing/Here"), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
}

/// Writes what is asked for again and again, a piece every tenth of a second, until Core closes.
async fn drip(mut stream: TcpStream, first: &[u8], what: &str) {
    stream.write_all(first).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let dripping = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while writer.write_all(b"1").await.is_ok() {
            ticks.tick().await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = closed(&mut reader, PATIENCE, what) => {}
        () = dripping => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_drip_are_closed_too() {
    let dir = sample_dir();
    let core = core(&dir, short()).await;
    let (head, body) = (
        b"GET /healthz HTTP/1.1\r\nx-slow: ".to_vec(),
        b"POST /node/register HTTP/1.1\r\nhost: core\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n1".to_vec(),
    );
    let later = [HEALTHZ, &body].concat();
    let peers = (0..count(30, 500)).map(|peer| {
        let (port, first) = match peer % 4 {
            0 => (core.ports.http, &head),
            1 => (core.ports.admin, &head),
            2 => (core.ports.http, &body),
            _ => (core.ports.http, &later),
        };
        async move { drip(plain(port).await, first, "a peer that drips").await }
    });
    join_all(peers).await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_rpc_that_drips_is_no_request() {
    let dir = sample_dir();
    let core = core(&dir, short()).await;
    let peers = (0..count(10, 500)).map(|_| async {
        let (calls, connection) = h2::client::handshake(plain(core.ports.grpc).await).await.unwrap();
        let mut connection = tokio::spawn(connection);
        let mut calls = calls.ready().await.unwrap();
        let (_answer, mut body) = calls
            .send_request(request("nodeservice.NodeService/Heartbeat"), false)
            .unwrap();
        let dripping = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            // A message of 1,000 bytes begins.
            let mut piece = Bytes::from_static(&[0, 0, 0, 3, 232]);
            while body.send_data(piece, false).is_ok() {
                piece = Bytes::from_static(b"1");
                ticks.tick().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            ended = tokio::time::timeout(PATIENCE, &mut connection) => assert!(ended.is_ok(), "still open"),
            () = dripping => {}
        }
    });
    join_all(peers).await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_take_nothing_are_closed() {
    let dir = sample_dir();
    let core = core(&dir, short()).await;
    let ask = format!("GET /admin/openapi.json HTTP/1.1\r\nhost: core\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\r\n");
    let peers = (0..count(10, 200)).map(|_| async {
        let mut peer = plain(core.ports.admin).await;
        // Answers are never read: first the buffers between are full, then Core has closed.
        let asking = async { while peer.write_all(ask.as_bytes()).await.is_ok() {} };
        let ended = tokio::time::timeout(PATIENCE * 2, asking).await;
        assert!(ended.is_ok(), "still open");
    });
    join_all(peers).await;
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_does_not_answer_pings_is_closed() {
    let dir = sample_dir();
    let limits = Limits {
        ping_every: Duration::from_millis(500),
        ping_wait: Duration::from_millis(500),
        ..Limits::default()
    };
    let core = core(&dir, limits).await;
    let tcp = plain(core.ports.grpc).await.into_std().unwrap();
    let mut below = TcpStream::from_std(tcp.try_clone().unwrap()).unwrap();
    let (calls, mut connection) = h2::client::handshake(TcpStream::from_std(tcp).unwrap()).await.unwrap();
    tokio::select! {
        () = call(calls.clone()) => {}
        ended = &mut connection => panic!("{ended:?}"),
    }
    // From now on nobody drives the connection, so nobody answers; its limits for the idle are far away.
    closed(&mut below, PATIENCE, "a dead peer").await;
    drop((calls, connection));
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_is_asked_to_go_and_its_next_call_goes_on_another() {
    let dir = sample_dir();
    let limits = Limits {
        age: Duration::from_secs(1),
        ..Limits::default()
    };
    let core = core(&dir, limits).await;
    let (calls, connection) = h2::client::handshake(plain(core.ports.grpc).await).await.unwrap();
    let connection = tokio::spawn(connection);
    call(calls.clone()).await;
    tokio::time::timeout(PATIENCE, connection)
        .await
        .expect("it is closed in time")
        .unwrap()
        .expect("it is asked to go");
    drop(calls);
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_have_a_limit() {
    let dir = sample_dir();
    let core = core(&dir, Limits::default()).await;
    for port in [core.ports.http, core.ports.admin] {
        let ask = |bytes: usize| {
            let url = format!("http://127.0.0.1:{port}/healthz");
            reqwest::Client::new()
                .get(url)
                .header("x-large", "a".repeat(bytes))
                .send()
        };
        assert_eq!(ask(17 << 10).await.unwrap().status(), 431);
        assert_ne!(ask(15 << 10).await.unwrap().status(), 431);
    }
    let (calls, connection) = h2::client::handshake(plain(core.ports.grpc).await).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut large = request("nothing/Here");
    large
        .headers_mut()
        .insert("x-large", "a".repeat(17 << 10).parse().unwrap());
    let mut calls = calls.ready().await.unwrap();
    let (answer, _) = calls.send_request(large, true).unwrap();
    assert!(answer.await.map_or(true, |answer| answer.status() == 431));
    drop(calls);
    connection.abort();
    core.stop().await;
}
