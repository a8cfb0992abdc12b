//! Xray, as `scripts/test` has installed it.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use super::catalogue::{INBOUNDS, Person, SERVER_NAME, Servers, free_ports};
use crate::harness::eventually;

/// The command that an agent runs.
pub fn command() -> Vec<String> {
    let root = env!("CARGO_MANIFEST_DIR");
    let python = format!("{root}/.venv/bin/python");
    assert!(
        Path::new(&python).exists(),
        "there is no Xray in .venv: run scripts/test once, it installs it"
    );
    vec![python, format!("{root}/tests/agents/xray/run.py")]
}

/// Xray as the users' client: one listener for each pair of user and inbound, all of them leading to the target.
pub struct Client {
    child: Child,
    listeners: Vec<(i64, i64, u16)>,
}

impl Client {
    /// Starts it for these people.
    pub async fn start(dir: &Path, servers: &Servers, people: &[Person], target: u16) -> Self {
        let ports = free_ports(people.len() * INBOUNDS.len());
        let pairs = people
            .iter()
            .flat_map(|person| (0..INBOUNDS.len()).map(move |at| (*person, at)));
        let (mut inbounds, mut outbounds, mut rules, mut listeners) = (vec![], vec![], vec![], vec![]);
        for ((person, at), port) in pairs.zip(ports) {
            let tag = person.email(INBOUNDS[at].0);
            inbounds.push(json!({
                "tag": format!("in-{tag}"), "listen": "127.0.0.1", "port": port, "protocol": "dokodemo-door",
                "settings": {"address": "127.0.0.1", "port": target, "network": "tcp"},
            }));
            let mut outbound = outbound(servers, person, at);
            outbound["tag"] = format!("out-{tag}").into();
            // 127.0.0.1 never counts as online.
            outbound["sendThrough"] = address(person.id).into();
            outbounds.push(outbound);
            rules.push(json!({"inboundTag": [format!("in-{tag}")], "outboundTag": format!("out-{tag}")}));
            listeners.push((person.id, INBOUNDS[at].0, port));
        }
        let config = json!({
            "log": {"loglevel": "warning", "access": "none"},
            "inbounds": inbounds, "outbounds": outbounds, "routing": {"rules": rules},
        });
        let file = dir.join(format!("client-{}.json", people[0].id));
        std::fs::write(&file, config.to_string()).expect("there is room");
        let command = command();
        let log = std::fs::File::create(file.with_extension("log")).expect("there is room");
        let child = Command::new(&command[0])
            .args(&command[1..])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("Python is there");
        let mut client = Self { child, listeners };
        client.wait(&file).await;
        client
    }

    async fn wait(&mut self, config: &Path) {
        let port = self.listeners[0].2;
        let child = &mut self.child;
        eventually("the client Xray", || {
            let ended = child.try_wait().expect("it is our child");
            let log = || std::fs::read_to_string(config.with_extension("log")).unwrap_or_default();
            assert!(ended.is_none(), "the client Xray ended with {ended:?}: {}", log());
            async move { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok() }
        })
        .await;
    }

    /// The port that leads through this inbound as this user.
    pub fn port(&self, person: Person, inbound: i64) -> u16 {
        let found = self.listeners.iter().find(|it| (it.0, it.1) == (person.id, inbound));
        found.expect("the client knows the pair").2
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// Where a user comes from.
pub fn address(user: i64) -> String {
    format!("127.0.0.{}", 10 + user)
}

fn outbound(servers: &Servers, person: Person, at: usize) -> Value {
    let (address, port, uuid) = ("127.0.0.1", servers.ports[at], person.uuid);
    let vless = |flow: &str| {
        let user = json!({"id": uuid, "encryption": "none", "flow": flow});
        json!({"vnext": [{"address": address, "port": port, "users": [user]}]})
    };
    let lines: Vec<&str> = servers.certificate.lines().collect();
    match at {
        0 => json!({"protocol": "vless", "settings": vless("xtls-rprx-vision"), "streamSettings": {
            "network": "raw", "security": "reality", "realitySettings": {
                "serverName": SERVER_NAME, "fingerprint": "chrome",
                "password": servers.reality_public, "shortId": "0123456789abcdef",
            },
        }}),
        1 => json!({
            "protocol": "vmess",
            "settings": {"vnext": [{"address": address, "port": port, "users": [{"id": uuid, "security": "auto"}]}]},
            "streamSettings": {"network": "ws", "wsSettings": {"path": "/ws"}},
        }),
        2 => json!({
            "protocol": "trojan",
            "settings": {"servers": [{"address": address, "port": port, "password": uuid}]},
            "streamSettings": {"network": "raw", "security": "tls", "tlsSettings": {
                "serverName": SERVER_NAME, "disableSystemRoot": true,
                "certificates": [{"usage": "verify", "certificate": lines}],
            }},
        }),
        3 => json!({"protocol": "shadowsocks", "settings": {"servers": [{
            "address": address, "port": port, "method": "2022-blake3-aes-256-gcm",
            "password": format!("{}:{}", servers.shadowsocks, person.shadowsocks_key()),
        }]}}),
        _ => json!({
            "protocol": "vless", "settings": vless(""),
            "streamSettings": {"network": "xhttp", "xhttpSettings": {"path": "/xhttp"}},
        }),
    }
}
