//! Whatever good rows a catalogue is made of, the real Xray takes what Core renders of them. `XRAY_SAMPLES` says how many catalogues are tried.

use std::process::{Child, Command, Stdio};

use proptest::{
    prelude::*,
    sample::{select, subsequence},
    strategy::ValueTree as _,
    test_runner::TestRunner,
};
use serde_json::{Value, json};
use vpn_core::{
    catalog::{render::render, snapshot::Snapshot},
    model::{
        NodeId, Time,
        catalog::Catalog,
        node::{NodeRecord, StoredState},
    },
};

use super::{catalogue::free_ports, engine::command};
use crate::harness::eventually;

const SAMPLES: usize = 20;
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const SHORT_KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";
const REALITY_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// Every kind of inbound that needs no certificate.
fn kinds() -> Vec<Value> {
    let reality = json!({"realitySettings": {
        "target": "127.0.0.1:443", "serverNames": ["front.example.test"], "privateKey": REALITY_KEY, "shortIds": ["ab", ""],
    }});
    vec![
        json!({"protocol": "vless"}),
        json!({"protocol": "vless", "network": "ws", "streamSettings": {"wsSettings": {"path": "/ws"}}}),
        json!({"protocol": "vless", "network": "grpc", "streamSettings": {"grpcSettings": {"serviceName": "a"}}}),
        json!({"protocol": "vless", "network": "xhttp", "streamSettings": {"xhttpSettings": {"path": "/x", "mode": "packet-up"}}}),
        json!({"protocol": "vless", "network": "httpupgrade"}),
        json!({"protocol": "vless", "security": "reality", "flow": "xtls-rprx-vision", "streamSettings": reality}),
        json!({"protocol": "vless", "network": "xhttp", "security": "reality", "streamSettings": reality}),
        json!({"protocol": "vmess"}),
        json!({"protocol": "vmess", "network": "kcp"}),
        json!({"protocol": "vmess", "network": "ws", "sniffing": {"enabled": true, "destOverride": ["http", "tls"]}}),
        json!({"protocol": "trojan", "network": "grpc"}),
        json!({"protocol": "trojan", "security": "reality", "streamSettings": reality}),
        json!({"protocol": "shadowsocks", "settings": {"method": "chacha20-ietf-poly1305", "network": "tcp,udp"}}),
        json!({"protocol": "shadowsocks", "settings": {"method": "2022-blake3-aes-256-gcm", "password": KEY}}),
        json!({"protocol": "shadowsocks", "settings": {"method": "2022-blake3-aes-128-gcm", "password": SHORT_KEY}}),
        json!({"protocol": "wireguard", "settings": {"secretKey": KEY, "address": ["10.8.0.1/24", "fd00::1/64"]}}),
        json!({"protocol": "socks", "settings": {"udp": true}}),
        json!({"protocol": "http"}),
    ]
}

fn rows() -> impl Strategy<Value = Value> {
    let strategies = ["random", "roundRobin", "leastPing", "leastLoad"];
    (
        subsequence(kinds(), 1..=8),
        0_i64..5,
        select(strategies.to_vec()),
        any::<bool>(),
    )
        .prop_map(|(kinds, people, strategy, fallback)| {
            let people: Vec<i64> = (1..=people).collect();
            let each = |row: &dyn Fn(i64) -> Value| people.iter().map(|id| row(*id)).collect::<Vec<_>>();
            let ids = 1..=i64::try_from(kinds.len()).expect("it is small");
            let members = ids
                .clone()
                .flat_map(|inbound| people.iter().map(move |ls| json!({"protoId": inbound, "lsId": ls})));
            let mut config = json!({"selector": ["exit"], "strategy": {"type": strategy}});
            if fallback {
                config["fallbackTag"] = "direct".into();
            }
            let inbounds = kinds.iter().zip(ids.clone()).map(|(kind, id)| {
                let mut row = kind.clone();
                (row["id"], row["nodeId"], row["listen"]) = (id.into(), 1.into(), "127.0.0.1".into());
                row
            });
            json!({
                "users": each(&|id| json!({"id": id, "name": "x"})),
                "links": each(&|id| json!({"id": id, "userId": id, "name": "x"})),
                "subscriptionLinks": each(&|id| json!({"id": id, "uuid": uuid::Uuid::from_u128(id.unsigned_abs().into()), "linkId": id})),
                "nodeProtocolLinks": members.collect::<Vec<_>>(),
                "nodeProtocols": inbounds.collect::<Vec<_>>(),
                "nodeOutbounds": [
                    {"id": 1, "nodeId": 1, "tag": "direct", "protocol": "freedom"},
                    {"id": 2, "nodeId": 1, "tag": "block", "protocol": "blackhole"},
                    {"id": 3, "nodeId": 1, "tag": "exit-1", "protocol": "freedom", "config": {"settings": {"domainStrategy": "UseIP"}}},
                    {"id": 4, "nodeId": 1, "tag": "exit-2", "protocol": "dns"},
                ],
                "nodeBalancers": [{"id": 1, "nodeId": 1, "tag": "any", "config": config}],
                "nodeRoutingRules": [
                    {"id": 1, "nodeId": 1, "rule": {"ip": ["10.0.0.0/8"]}, "outboundId": 2},
                    {"id": 2, "nodeId": 1, "rule": {"network": "tcp", "port": "80,443"}, "balancerTag": "any"},
                ],
            })
        })
}

/// The root of Xray for this catalogue, with ports that are free; and where its API listens.
fn root(mut rows: Value) -> (Value, u16) {
    let inbounds = rows["nodeProtocols"].as_array_mut().expect("it is a list");
    let mut ports = free_ports(inbounds.len() + 1);
    let api = ports.pop().expect("one more");
    inbounds
        .iter_mut()
        .zip(ports)
        .for_each(|(row, port)| row["port"] = port.into());
    let mut catalog: Catalog = serde_json::from_value(rows).expect("the rows are good");
    catalog
        .node_protocol_links
        .iter_mut()
        .for_each(|member| member.slot = Some(member.ls_id.0 + 1));
    let node = NodeRecord {
        id: NodeId(1),
        name: "node".to_owned(),
        ip: [127, 0, 0, 1].into(),
        port: 8000,
        region: "test".to_owned(),
        domain: None,
        enabled: true,
        traffic_multiplier: 1.0,
        revision: 1,
        config_hash: None,
        state: StoredState::NEW,
        created_at: Time::default(),
        version: 1,
    };
    let rendered = render(&node, &Snapshot::new(catalog), Time::default());
    assert_eq!(rendered.problems, []);
    let mut services: Value = serde_json::from_str(&rendered.services).expect("it is JSON");
    services["xray"]["api"]["listen"] = format!("127.0.0.1:{api}").into();
    (services["xray"].take(), api)
}

/// Xray on one file; gone with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

async fn starts(dir: &std::path::Path, number: usize, rows: Value) {
    let (root, api) = root(rows);
    let file = dir.join(format!("sample-{number}.json"));
    std::fs::write(&file, root.to_string()).expect("there is room");
    let log = std::fs::File::create(file.with_extension("log")).expect("there is room");
    let command = command();
    let child = Command::new(&command[0])
        .args(&command[1..])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .expect("Python is there");
    let mut running = Running(child);
    eventually("Xray starts", || {
        let ended = running.0.try_wait().expect("it is our child");
        let log = || std::fs::read_to_string(file.with_extension("log")).unwrap_or_default();
        assert!(ended.is_none(), "Xray ended with {ended:?}: {}\n{root}", log());
        async move { tokio::net::TcpStream::connect(("127.0.0.1", api)).await.ok() }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn xray_takes_every_good_catalogue() {
    let dir = tempfile::tempdir().expect("there is room");
    let samples = std::env::var("XRAY_SAMPLES").map_or(SAMPLES, |text| text.parse().expect("XRAY_SAMPLES is a number"));
    let (mut runner, rows) = (TestRunner::deterministic(), rows());
    for number in 0..samples {
        let tree = rows.new_tree(&mut runner).expect("nothing is filtered out");
        starts(dir.path(), number, tree.current()).await;
    }
}
