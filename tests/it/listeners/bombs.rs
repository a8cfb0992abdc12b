//! Requests that are much larger than they look, or say that they are: refused, and while they are looked at Core holds at most twice the
//! limit on requests more than before, for each of them. Core is a process of its own, so that its memory is nobody else's.

use std::{fmt::Write as _, io::Write as _, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::peer::plain;
use crate::{
    faults::fleet::Place,
    harness::{
        PATIENCE,
        core::{ADMIN_TOKEN, Core, sample_dir},
    },
};

/// The limit on requests.
const LIMIT: u64 = 8 << 20;

/// The size that is declared, and to which a bomb unpacks.
const GIB: usize = 1 << 30;

/// So many bombs come at once, besides one alone.
const AT_ONCE: u64 = 8;

struct Scene {
    core: Core,
    key: String,
    _dir: TempDir,
}

impl Scene {
    /// Core, with a node that has called at every door.
    async fn new() -> Self {
        let dir = sample_dir();
        // Where the kernel gives pages of 2 MiB to whoever touches a byte of them, the same request takes 6 to 18 MiB, and 7.8 MiB without.
        let core = Core::start_with(dir.path(), &[("MIMALLOC_ALLOW_THP", "0")]).await;
        let key = Place::from(core.ports).enroll(1).await;
        let scene = Self { core, key, _dir: dir };
        for listener in scene.listeners() {
            let head = listener.head("content-length: 2");
            assert_ne!(answer(listener.port, &head, b"{}", Then::Wait).await, 413);
        }
        assert_eq!(scene.rpc("Heartbeat", None, frame(0, b""), Then::End).await, "0");
        scene
    }

    fn listeners(&self) -> [Listener; 2] {
        let (ports, key) = (self.core.ports, &self.key);
        [
            Listener {
                port: ports.http,
                route: "POST /node/usage",
                secret: format!("x-node-auth-key: {key}"),
                list: "entries",
            },
            Listener {
                port: ports.admin,
                route: "POST /admin/users/bulk",
                secret: format!("authorization: Bearer {ADMIN_TOKEN}"),
                list: "users",
            },
        ]
    }

    /// Has it attacked once, and then by some at once: what each costs is bounded.
    async fn costs<F: Future<Output = ()>>(&self, what: &str, attack: impl Fn() -> F) {
        for at_once in [1, AT_ONCE] {
            let before = self.core.resident();
            self.core.forget_peak();
            let attacks = join_all((0..at_once).map(|_| attack()));
            let in_time = tokio::time::timeout(PATIENCE, attacks).await;
            assert!(in_time.is_ok(), "{what}: no answer");
            let more = self.core.peak().saturating_sub(before);
            eprintln!("{what}, {at_once} at once: {} KiB more", more >> 10);
            assert!(more <= at_once * 2 * LIMIT, "{what}, {at_once} at once: {more} B more");
        }
    }

    /// Calls with these bytes as the body; gives the status.
    async fn rpc(&self, method: &str, packing: Option<&str>, body: Vec<u8>, then: Then) -> String {
        let tcp = plain(self.core.ports.grpc).await;
        let (calls, connection) = h2::client::handshake(tcp).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut request = http::Request::post(format!("http://core/nodeservice.NodeService/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-node-auth-key", &self.key);
        if let Some(packing) = packing {
            request = request.header("grpc-encoding", packing);
        }
        let mut calls = calls.ready().await.unwrap();
        let (answer, mut stream) = calls.send_request(request.body(()).unwrap(), false).unwrap();
        let ends = matches!(then, Then::End);
        stream.send_data(body.into(), ends).unwrap();
        if matches!(then, Then::Send) {
            // Queued here, not sent before Core has room for it; refused here if Core has answered already, and so wants nothing more.
            drop(stream.send_data(Bytes::from(vec![0; 64 << 20]), false));
        }
        let (head, mut body) = answer.await.unwrap().into_parts();
        let mut end = head.headers;
        if !end.contains_key("grpc-status") {
            while let Some(piece) = body.data().await {
                body.flow_control().release_capacity(piece.unwrap().len()).unwrap();
            }
            end = body.trailers().await.unwrap().unwrap();
        }
        connection.abort();
        end["grpc-status"].to_str().unwrap().to_owned()
    }
}

/// What a peer does after what it has sent.
#[derive(Clone, Copy)]
enum Then {
    /// Says that this was all.
    End,
    /// Nothing.
    Wait,
    /// Sends zeros until it is closed.
    Send,
}

struct Listener {
    port: u16,
    route: &'static str,
    secret: String,
    list: &'static str,
}

impl Listener {
    fn head(&self, headers: &str) -> String {
        let Self { route, secret, .. } = self;
        format!("{route} HTTP/1.1\r\nhost: core\r\ncontent-type: application/json\r\n{secret}\r\n{headers}\r\n\r\n")
    }

    /// The status for this body, packed or not.
    async fn status(&self, packing: &str, body: &[u8]) -> u16 {
        let head = self.head(&format!(
            "content-encoding: {packing}\r\ncontent-length: {}",
            body.len()
        ));
        answer(self.port, &head, body, Then::Wait).await
    }
}

/// Sends this; gives the status of the answer.
async fn answer(port: u16, head: &str, body: &[u8], then: Then) -> u16 {
    let (mut reader, mut writer) = plain(port).await.into_split();
    // What can't be written any more is what Core did not want.
    let sending = async {
        let mut sent = writer.write_all(head.as_bytes()).await.is_ok() && writer.write_all(body).await.is_ok();
        let zeros = vec![b'0'; 64 << 10];
        while sent && matches!(then, Then::Send) {
            sent = writer.write_all(&zeros).await.is_ok();
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        let mut taken = [0; 12];
        reader.read_exact(&mut taken).await.unwrap();
        String::from_utf8_lossy(&taken[9..]).parse().unwrap()
    };
    tokio::select! {
        status = reading => status,
        () = sending => unreachable!("it never ends"),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What unpacks to a GiB of this, a thousand times its own size: members of gzip, each of 32 MiB.
fn bomb(piece: &str) -> Vec<u8> {
    let member = piece.repeat((32 << 20) / piece.len());
    let packed = gzip(member.as_bytes());
    assert!(packed.len() * 200 < member.len(), "{piece}");
    packed.repeat(GIB / member.len())
}

/// A message of gRPC, or what says that it is one.
fn frame(packed: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[packed][..], &length, message].concat()
}

/// A million of these in a field.
fn million(field: &str, item: &str) -> Vec<u8> {
    let mut text = format!("{{\"{field}\":[{item}");
    for _ in 1..1_000_000 {
        write!(text, ",{item}").unwrap();
    }
    text += "]}";
    text.into_bytes()
}

const ENTRY: &str = r#"{"userId":1,"nodeProtocolId":11,"bytesUp":1,"bytesDown":1,"recordedAt":"2026-01-01T00:00:00Z"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_unpacks_to_a_gibibyte_is_too_large() {
    let scene = Scene::new().await;
    let blank = bomb(" ");
    let bombs = [
        ("gzip", blank.clone()),
        ("gzip", bomb(&format!("{ENTRY},"))),
        (
            "zstd",
            zstd::encode_all(std::io::Read::take(std::io::repeat(b' '), GIB as u64), 1).unwrap(),
        ),
    ];
    for listener in scene.listeners() {
        for (packing, bomb) in &bombs {
            let what = format!("{}, {packing} of {} KiB", listener.route, bomb.len() >> 10);
            let attack = || async { assert_eq!(listener.status(packing, bomb).await, 413) };
            scene.costs(&what, attack).await;
        }
    }
    for (packing, bomb) in &bombs {
        let message = frame(1, bomb);
        let attack = || async {
            let status = scene
                .rpc("ReportUsage", Some(packing), message.clone(), Then::End)
                .await;
            assert!(["8", "11"].contains(&status.as_str()), "{status}");
        };
        let what = format!("gRPC, {packing}");
        scene.costs(&what, attack).await;
    }
    scene.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_gibibyte_is_too_large_before_it_comes() {
    let scene = Scene::new().await;
    for then in [Then::Wait, Then::Send] {
        for listener in scene.listeners() {
            for packing in ["identity", "gzip"] {
                let head = listener.head(&format!("content-encoding: {packing}\r\ncontent-length: {GIB}"));
                let attack = || async { assert_eq!(answer(listener.port, &head, b"", then).await, 413) };
                scene.costs(listener.route, attack).await;
            }
        }
        let head = [&[0][..], &u32::try_from(GIB).unwrap().to_be_bytes()].concat();
        let attack = || async {
            let status = scene.rpc("ReportUsage", None, head.clone(), then).await;
            assert!(["8", "11"].contains(&status.as_str()), "{status}");
        };
        scene.costs("gRPC", attack).await;
    }
    // One that never says how long it is.
    for listener in scene.listeners() {
        let head = listener.head("transfer-encoding: chunked") + &format!("{GIB:x}\r\n");
        let attack = || async { assert_eq!(answer(listener.port, &head, b"", Then::Send).await, 413) };
        scene.costs(&format!("{}, chunked", listener.route), attack).await;
    }
    scene.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_elements_are_too_many() {
    let scene = Scene::new().await;
    for listener in scene.listeners() {
        for (item, status) in [("{}", 400), ("0", 400), (ENTRY, 413)] {
            let body = million(listener.list, item);
            let packed = gzip(&body);
            for (packing, body) in [("identity", &body), ("gzip", &packed)] {
                let what = format!("{}, {packing}, {} B each", listener.route, item.len());
                let attack = || async { assert_eq!(listener.status(packing, body).await, status, "{what}") };
                scene.costs(&what, attack).await;
            }
        }
    }
    let million = |item: &[u8]| item.repeat(1_000_000);
    let user = million(&[0x1a, 0]);
    let user = [&[0x12, 0x80, 0x89, 0x7a][..], &user].concat();
    for (method, message) in [
        ("ReportUsage", million(&[0x12, 0])),
        ("ReportUsage", million(&[0x12, 4, 8, 1, 24, 11])),
        ("ReportOutboundUsage", million(&[0x12, 0])),
        ("ReportOnlineUsers", million(&[0x12, 0])),
        ("ReportOnlineUsers", user),
    ] {
        for (packing, body) in [(None, frame(0, &message)), (Some("gzip"), frame(1, &gzip(&message)))] {
            let attack = || async {
                let status = scene.rpc(method, packing, body.clone(), Then::End).await;
                assert_eq!(status, "3", "{method}");
            };
            scene.costs(&format!("{method}, {packing:?}"), attack).await;
        }
    }
    scene.core.stop().await;
}

/// Peers of the next test, and what each may cost.
const TAKERS: u64 = 20;
const TAKER: u64 = 2 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_asks_without_end_and_takes_nothing_costs_little() {
    let scene = Scene::new().await;
    let ports = scene.core.ports;
    for (port, path) in [(ports.admin, "/metrics"), (ports.admin, "/admin/openapi.json")] {
        let before = scene.core.resident();
        scene.core.forget_peak();
        let ask = format!("GET {path} HTTP/1.1\r\nhost: core\r\n\r\n").repeat(100);
        let peers = join_all((0..TAKERS).map(|_| async {
            let mut peer = plain(port).await;
            // When nothing more can be written for a while, all buffers between are full.
            while let Ok(written) = tokio::time::timeout(Duration::from_secs(1), peer.write_all(ask.as_bytes())).await {
                written.unwrap();
            }
            peer
        }))
        .await;
        let more = scene.core.peak().saturating_sub(before);
        eprintln!("{path}: {} KiB more", more >> 10);
        assert!(more <= TAKERS * TAKER, "{path}: {more} B more");
        drop(peers);
    }
    scene.core.stop().await;
}

/// As many objects of one field within each other as JSON may be deep, below `above` levels, in one array after the other: so many bytes at most.
fn nested(above: usize, bytes: usize) -> String {
    let levels = 32 - above - 1;
    let chain = format!("{}1{}", r#"{"":"#.repeat(levels), "}".repeat(levels));
    let array = format!("[{}]", vec![chain.as_str(); 1_000].join(","));
    vec![array.as_str(); bytes / (array.len() + 1)].join(",")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nests_is_not_many_times_as_large_in_memory() {
    let scene = Scene::new().await;
    let [mut node, admin] = scene.listeners();
    let [_, mut row] = scene.listeners();
    node.route = "POST /node/error";
    row.route = "POST /admin/nodes/1/protocols";
    let details = |bytes| format!(r#"{{"message":"x","details":{{"a":[{}]}}}}"#, nested(3, bytes));
    let most = usize::try_from(LIMIT).unwrap() - 100;
    for (listener, body, status) in [
        (&node, details(most), 400),
        // About as much of it as there may be: it is cut, without being read.
        (&node, details(450_000), 200),
        (&admin, format!(r#"{{"users":[{}]}}"#, nested(2, most)), 400),
        // Few enough for a list of users.
        (&row, format!(r#"{{"settings":{{"a":[{}]}}}}"#, nested(3, 400_000)), 400),
    ] {
        let attack = || async {
            let answer = listener.status("identity", body.as_bytes()).await;
            assert_eq!(answer, status, "{}", listener.route);
        };
        scene
            .costs(&format!("{}, {} B", listener.route, body.len()), attack)
            .await;
    }
    let mut message = vec![0x12, 0];
    prost::encoding::bytes::encode(
        4,
        &format!(r#"{{"a":[{}]}}"#, nested(2, most)).into_bytes(),
        &mut message,
    );
    let body = frame(0, &message);
    let attack = || async {
        assert_eq!(scene.rpc("ReportNodeStats", None, body.clone(), Then::End).await, "0");
    };
    scene.costs("ReportNodeStats", attack).await;
    scene.core.stop().await;
}

/// Begins a message, and goes on with pieces that hold nothing, which cost no window, until Core ends the call or the connection.
async fn pieces_of_nothing(scene: &Scene, route: &str) {
    let (calls, connection) = h2::client::handshake(plain(scene.core.ports.grpc).await).await.unwrap();
    let mut connection = tokio::spawn(connection);
    let request = http::Request::post(format!("http://core/{route}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-node-auth-key", &scene.key);
    let mut calls = calls.ready().await.unwrap();
    let (_answer, mut body) = calls.send_request(request.body(()).unwrap(), false).unwrap();
    let flooding = async {
        let mut piece = Bytes::from_static(&[0, 0, 0, 3, 232]);
        while body.send_data(piece, false).is_ok() {
            piece = Bytes::new();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut connection => {}
        () = flooding => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_nothing_come_to_an_end() {
    let scene = Scene::new().await;
    for route in ["nodeservice.NodeService/Heartbeat", "nothing/Here"] {
        scene.costs(route, || pieces_of_nothing(&scene, route)).await;
    }
    scene.core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_elements_within_a_text_of_stats_are_nothing() {
    let scene = Scene::new().await;
    let text = million("a", "0");
    let mut message = vec![0x12, 0];
    prost::encoding::bytes::encode(4, &text, &mut message);
    let body = frame(0, &message);
    let attack = || async {
        assert_eq!(scene.rpc("ReportNodeStats", None, body.clone(), Then::End).await, "0");
    };
    scene.costs("mtproto_json", attack).await;
    let node = Place::from(scene.core.ports).node(1).await;
    assert_eq!(node["status"], "online");
    scene.core.stop().await;
}
