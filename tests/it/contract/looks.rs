//! `GET /admin/nodes/{id}/runtime-status?fromNode=true`: Core asks the node itself, and nobody else.

use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use vpn_core::{clock::Clock, proto::nodeservice::ReportNodeStatsRequest};

use crate::harness::{
    PATIENCE,
    http::{Answer, send},
};

use super::{caller::Caller, rpc_answers::system, world::World};

const LOOK: &str = "/admin/nodes/1/runtime-status?fromNode=true";

/// An agent's own HTTP port, that answers whatever the test wants.
struct Door {
    port: u16,
    /// The answer's bytes; none: it says nothing until there are some.
    answer: watch::Sender<Option<Vec<u8>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Door {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (answer, wanted) = watch::channel(None);
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, wanted.clone(), Arc::clone(&seen)));
            }
        });
        Self { port, answer, heads }
    }

    fn says(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
        self.answer.send_replace(Some(answer.into_bytes()));
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(mut stream: TcpStream, mut answer: watch::Receiver<Option<Vec<u8>>>, heads: Arc<Mutex<Vec<String>>>) {
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => head.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).expect("a head is text");
    heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
    let Ok(answer) = answer.wait_for(Option::is_some).await.map(|answer| answer.clone()) else {
        return;
    };
    // Who has read enough hangs up.
    drop(stream.write_all(&answer.unwrap_or_default()).await);
    drop(stream.shutdown().await);
}

fn header(head: &str, name: &str) -> String {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut found = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    found
        .next()
        .unwrap_or_else(|| panic!("{name} in {head}"))
        .1
        .trim()
        .to_owned()
}

/// Registers node 1 at this port of this machine.
async fn come_in(world: &mut World, port: u16) -> Caller {
    let code = world.code(&["--node", "1"]);
    let body = json!({"code": code, "name": "agent", "ip": "127.0.0.1", "port": port, "region": "test"});
    let answer = world.stranger().post("/node/register", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let key = answer.body["authKey"].as_str().expect("a key").to_owned();
    world.keep_secret(&key);
    world.stranger().with_key(Some(&key))
}

async fn look(world: &World) -> Answer {
    send(world.admin().request(Method::GET, LOOK)).await
}

/// A failed look: its status and words, and what the node said before.
#[track_caller]
fn failed(answer: &Answer, status: StatusCode, words: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    let body = &answer.body;
    assert_eq!(body["statusCode"], status.as_u16());
    assert_eq!(body["error"], status.canonical_reason().expect("it has words"));
    let message = body["message"].as_str().expect("a text");
    assert!(message.contains(words), "{message}");
    let last = &body["last"];
    assert_eq!((&last["nodeId"], &last["source"]), (&json!(1), &json!("memory")));
    assert_eq!(last["system"]["cpuCores"], 4, "{last}");
}

fn said() -> Value {
    json!({
        "system": {
            "uptimeSeconds": 61, "cpuPercent": 3.5, "cpuCores": 2, "ramUsed": 1, "ramTotal": 2, "diskUsed": 3, "diskTotal": 4,
            "netRxPerSec": 5, "netTxPerSec": 6, "netRxTotal": 7, "netTxTotal": 8
        },
        "xray": {"running": true, "uptimeSeconds": 9},
        "mtproto": {"tg": {"running": true}}
    })
}

async fn report(world: &World, node: &Caller) {
    let mut agent = world.agent(node).await;
    let report = ReportNodeStatsRequest {
        system: Some(system()),
        ..ReportNodeStatsRequest::default()
    };
    let answer = agent.client.report_node_stats(agent.request(report)).await;
    assert!(answer.expect("it is answered").get_ref().ok);
}

#[tokio::test]
async fn the_node_is_asked_and_knows_who_asks() {
    let mut world = World::with(&[
        ("LIVE_FETCH_ALLOW", "127.0.0.0/8"),
        ("http_proxy", "http://127.0.0.1:9"),
    ])
    .await;
    let port = Door::open().await;
    port.says("200 OK", "", &said().to_string());
    let node = come_in(&mut world, port.port).await;
    let unsigned = look(&world).await;
    assert_eq!(unsigned.status, StatusCode::BAD_GATEWAY, "no key was shown yet");
    assert!(unsigned.body["last"]["system"].is_null() && port.heads().is_empty());
    node.beat(0).await;
    let answer = look(&world).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    for field in ["system", "xray", "mtproto"] {
        assert_eq!(answer.body[field], said()[field], "{field}");
    }
    assert_eq!(
        (&answer.body["source"], &answer.body["nodeId"]),
        (&json!("node"), &json!(1))
    );
    assert!(answer.body["receivedAt"].is_string() && answer.body["ageSeconds"].is_i64());
    // What a look gives is shown, and kept nowhere.
    let kept = world.admin().get("/admin/nodes/1/runtime-status").await;
    assert!(kept["system"].is_null(), "{kept}");

    let head = port.heads().remove(0);
    assert!(head.starts_with("GET /runtime-status HTTP/1.1\r\n"), "{head}");
    let timestamp = header(&head, "x-core-timestamp");
    let asked: i64 = timestamp.parse().expect("decimal milliseconds");
    assert!((Clock::system().now().millis() - asked).abs() < 60_000, "{asked}");
    let key = Sha256::digest(node.key.as_deref().expect("a key"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    mac.update(format!("GET /runtime-status {timestamp}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    assert_eq!(header(&head, "x-core-signature"), signature);
    assert!(!head.to_lowercase().contains("authorization") && !head.contains(node.key.as_deref().unwrap_or_default()));
    world.end();
}

#[tokio::test]
async fn what_is_no_answer_is_a_502_with_what_is_known() {
    let mut world = World::with(&[("LIVE_FETCH_ALLOW", "127.0.0.1/32")]).await;
    let (port, elsewhere) = (Door::open().await, Door::open().await);
    let node = come_in(&mut world, port.port).await;
    report(&world, &node).await;
    elsewhere.says("200 OK", "", &said().to_string());
    port.says(
        "302 Found",
        &format!("location: http://127.0.0.1:{}/runtime-status\r\n", elsewhere.port),
        "",
    );
    failed(&look(&world).await, StatusCode::BAD_GATEWAY, "302");
    assert!(elsewhere.heads().is_empty(), "a redirect was followed");
    port.says("401 Unauthorized", "", "{}");
    failed(&look(&world).await, StatusCode::BAD_GATEWAY, "401");
    let mut large = said();
    large["mtproto"]["tg"] = json!("x".repeat(2 << 20));
    port.says("200 OK", "", &large.to_string());
    failed(&look(&world).await, StatusCode::BAD_GATEWAY, "1 MiB");
    for (garbage, words) in [("<html>", "JSON"), ("{\"system\":{}}", "system"), ("", "JSON")] {
        port.says("200 OK", "", garbage);
        failed(&look(&world).await, StatusCode::BAD_GATEWAY, words);
    }
    port.answer.send_replace(Some(
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"system\":".to_vec(),
    ));
    failed(&look(&world).await, StatusCode::BAD_GATEWAY, "the node");
    port.answer.send_replace(Some(b"nonsense\r\n\r\n".to_vec()));
    failed(&look(&world).await, StatusCode::BAD_GATEWAY, "the node");
    world.end();
}

#[tokio::test]
async fn who_is_late_is_a_504_and_everybody_who_looks_shares_one_question() {
    let mut world = World::with(&[("LIVE_FETCH_ALLOW", "127.0.0.0/8")]).await;
    let port = Door::open().await;
    let node = come_in(&mut world, port.port).await;
    report(&world, &node).await;
    let looking: Vec<_> = (0..8)
        .map(|_| {
            let admin = world.admin();
            tokio::spawn(async move { send(admin.request(Method::GET, LOOK)).await })
        })
        .collect();
    for look in looking {
        let late = tokio::time::timeout(PATIENCE, look).await.expect("it is answered");
        failed(&late.expect("it joins"), StatusCode::GATEWAY_TIMEOUT, "within 3 s");
    }
    assert!(port.heads().len() < 8, "{}", port.heads().len());
    port.says("200 OK", "", &said().to_string());
    let answer = look(&world).await;
    assert_eq!(
        (answer.status, &answer.body["system"]["uptimeSeconds"]),
        (StatusCode::OK, &json!(61))
    );
    world.end();
}

#[tokio::test]
async fn an_address_that_only_core_can_reach_is_refused() {
    let mut world = World::new().await;
    let port = Door::open().await;
    port.says("200 OK", "", &said().to_string());
    let node = come_in(&mut world, port.port).await;
    report(&world, &node).await;
    failed(&look(&world).await, StatusCode::BAD_GATEWAY, "loopback");
    for (ip, what) in [
        ("169.254.169.254", "link-local"),
        ("10.0.0.1", "private"),
        ("0.0.0.0", "unspecified"),
        ("fd00:ec2::254", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
    ] {
        let moved = world
            .admin()
            .request(Method::PATCH, "/admin/nodes/1")
            .json(&json!({"ip": ip, "port": port.port}));
        assert_eq!(send(moved).await.status, StatusCode::OK, "{ip}");
        failed(&look(&world).await, StatusCode::BAD_GATEWAY, what);
    }
    assert!(port.heads().is_empty());
    let missing = send(world.admin().request(Method::GET, &LOOK.replace("/1/", "/99/"))).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    world.end();
}
