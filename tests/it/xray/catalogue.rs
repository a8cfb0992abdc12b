//! One node with five inbounds, and the users on them.

use std::net::TcpListener;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The name in the certificate, and the one that REALITY shows.
pub const SERVER_NAME: &str = "front.example.test";

/// The inbounds by id, with the tag that Core gives each.
pub const INBOUNDS: [(i64, &str); 5] = [
    (11, "vless-reality-11"),
    (12, "vmess-ws-12"),
    (13, "trojan-tls-13"),
    (14, "shadowsocks-14"),
    (15, "vless-xhttp-15"),
];

/// Where the inbounds listen, and what their servers are known by.
#[derive(Debug, Clone)]
pub struct Servers {
    /// In the order of [`INBOUNDS`].
    pub ports: Vec<u16>,
    /// PEM.
    pub certificate: String,
    /// PEM.
    key: String,
    /// REALITY's key pair, base64url.
    reality_private: String,
    /// The half that clients know.
    pub reality_public: String,
    /// The server's key of Shadowsocks 2022, base64.
    pub shadowsocks: String,
}

/// Somebody with a subscription and a link, all with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    /// Of the user, the subscription, the link and the credentials.
    pub id: i64,
    /// `lsUuid`.
    pub uuid: Uuid,
    /// May he connect?
    pub active: bool,
}

impl Person {
    /// Somebody who may.
    pub fn new(id: i64) -> Self {
        Self {
            id,
            uuid: Uuid::new_v4(),
            active: true,
        }
    }

    /// The name that Xray counts him under.
    pub fn email(self, inbound: i64) -> String {
        format!("u{0}.l{0}.s{0}.i{inbound}", self.id)
    }

    /// His key of Shadowsocks 2022, by the document.
    pub fn shadowsocks_key(self) -> String {
        STANDARD.encode(Sha256::digest(format!("ss2022:{}", self.uuid)))
    }
}

/// So many ports of 127.0.0.1 that are free now.
pub fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").expect("there are ports"))
        .collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("it is bound").port();
    held.iter().map(port).collect()
}

impl Servers {
    /// New ports and keys.
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed([SERVER_NAME.to_owned()]).expect("it can be made");
        let secret: [u8; 32] = rand::random();
        let public = x25519_dalek::x25519(secret, x25519_dalek::X25519_BASEPOINT_BYTES);
        Self {
            ports: free_ports(INBOUNDS.len()),
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            reality_private: URL_SAFE_NO_PAD.encode(secret),
            reality_public: URL_SAFE_NO_PAD.encode(public),
            shadowsocks: STANDARD.encode(rand::random::<[u8; 32]>()),
        }
    }

    /// The file of `catalog import`, with these people on every inbound.
    pub fn import(&self, people: &[Person]) -> Value {
        let each = |row: &dyn Fn(&Person) -> Value| people.iter().map(row).collect::<Vec<_>>();
        let status = |person: &Person| if person.active { "active" } else { "disabled" };
        let members = INBOUNDS.iter().flat_map(|(id, _)| {
            people
                .iter()
                .map(move |person| json!({"protoId": id, "lsId": person.id}))
        });
        json!({
            "nodes": [{"id": 1, "name": "node-1", "ip": "127.0.0.1", "port": 8000, "region": "test"}],
            "users": each(&|it| json!({"id": it.id, "name": format!("user-{}", it.id), "status": status(it)})),
            "subscriptions": each(&|it| json!({"id": it.id, "userId": it.id})),
            "links": each(&|it| json!({"id": it.id, "userId": it.id, "name": "phone"})),
            "subscriptionLinks": each(&|it| json!({"id": it.id, "uuid": it.uuid, "linkId": it.id, "subscriptionId": it.id})),
            "nodeProtocols": self.inbounds(),
            "nodeProtocolLinks": members.collect::<Vec<_>>(),
            "nodeOutbounds": [outbound(21, "exit-1"), outbound(22, "exit-2")],
            "nodeRoutingRules": [{"id": 31, "nodeId": 1, "rule": {"inboundTag": [INBOUNDS[2].1]}, "outboundId": 22}],
        })
    }

    fn inbounds(&self) -> Vec<Value> {
        let lines = |pem: &str| pem.lines().map(str::to_owned).collect::<Vec<_>>();
        // REALITY borrows the handshake of a real TLS server: that of the Trojan inbound will do.
        let reality = json!({"realitySettings": {
            "target": format!("127.0.0.1:{}", self.ports[2]),
            "serverNames": [SERVER_NAME],
            "privateKey": self.reality_private,
            "shortIds": ["0123456789abcdef"],
        }});
        let tls = json!({"tlsSettings": {
            "serverName": SERVER_NAME,
            "alpn": ["h2", "http/1.1"],
            "certificates": [{"certificate": lines(&self.certificate), "key": lines(&self.key)}],
        }});
        let shadowsocks = json!({"method": "2022-blake3-aes-256-gcm", "password": self.shadowsocks});
        let kinds = [
            json!({"protocol": "vless", "security": "reality", "flow": "xtls-rprx-vision", "streamSettings": reality}),
            json!({"protocol": "vmess", "network": "ws", "streamSettings": {"wsSettings": {"path": "/ws"}}}),
            json!({"protocol": "trojan", "security": "tls", "streamSettings": tls}),
            json!({"protocol": "shadowsocks", "settings": shadowsocks}),
            json!({"protocol": "vless", "network": "xhttp", "streamSettings": {"xhttpSettings": {"path": "/xhttp"}}}),
        ];
        let placed = kinds.into_iter().zip(INBOUNDS).zip(&self.ports);
        placed
            .map(|((mut row, (id, _)), port)| {
                for (key, value) in [
                    ("id", json!(id)),
                    ("nodeId", json!(1)),
                    ("listen", json!("127.0.0.1")),
                    ("port", json!(port)),
                    ("position", json!(id)),
                ] {
                    row[key] = value;
                }
                row
            })
            .collect()
    }
}

/// Xray keeps clients from private addresses unless it is told otherwise; the target of the tests is on loopback.
fn outbound(id: i64, tag: &str) -> Value {
    let settings = json!({"finalRules": [{"action": "allow"}]});
    // Before the outbounds that Core makes itself: the first is the default route.
    let position = id - 100;
    json!({"id": id, "nodeId": 1, "tag": tag, "protocol": "freedom", "position": position, "config": {"settings": settings}})
}
