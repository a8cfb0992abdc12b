//! The body of every POST of a node, to the handler, by a node that has its key.

use http::Method;
use serde_json::{Value, json};

use super::{
    calls::{Http, KEY, http_judged},
    engine::{self, Plan, Target, Verdict},
    mutate::Kind,
    world::{self, World},
};
use crate::{contract::world::now, harness::core::ADMIN_TOKEN};

/// Stands in bodies for a code that is good, which is another one every time.
const CODE: &str = "the-code";

struct Body {
    path: &'static str,
    world: Option<World>,
    door: Http,
    /// What has come in is thrown out again.
    admin: Http,
}

impl Target for Body {
    const AT_ONCE: usize = 8;
    const WORLD: usize = 40_000;

    async fn renew(&mut self) {
        let world = world::another(&mut self.world).await;
        self.door = Http::new(world.ports.http, KEY, &world.key);
        self.admin = Http::new(world.ports.admin, "authorization", &format!("Bearer {ADMIN_TOKEN}"));
    }

    async fn attempt(&self, input: &[u8]) -> Verdict {
        let body = self.with_code(input);
        let (status, answer) = self.door.send(Method::POST, self.path, &body).await?;
        if status == 201 {
            let made: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
            let node = format!("/admin/nodes/{}", made["nodeId"]);
            let (status, answer) = self.admin.send(Method::DELETE, &node, b"").await?;
            http_judged(status, &answer)?;
        }
        http_judged(status, &answer)
    }

    async fn end(&mut self) {
        world::end(&mut self.world).await;
    }
}

impl Body {
    fn with_code(&self, input: &[u8]) -> Vec<u8> {
        let at = input.windows(CODE.len()).position(|it| it == CODE.as_bytes());
        match (at, &self.world) {
            (Some(at), Some(world)) => [&input[..at], world.code.as_bytes(), &input[at + CODE.len()..]].concat(),
            _ => input.to_vec(),
        }
    }
}

fn run(name: &'static str, path: &'static str, seeds: &[Value]) {
    let target = Body {
        path,
        world: None,
        door: Http::new(0, KEY, ""),
        admin: Http::new(0, KEY, ""),
    };
    let plan = Plan {
        name,
        kind: Kind::Json,
        seeds: seeds.iter().map(|it| it.to_string().into_bytes()).collect(),
    };
    engine::run(plan, target);
}

#[test]
fn body_register() {
    let seeds = [
        json!({"code": CODE, "name": "n", "ip": "192.0.2.1", "port": 8000, "region": "de", "domain": "n.example.test"}),
        json!({"code": CODE, "name": "m", "ip": "2001:db8::1", "port": 65_535, "region": "", "domain": null}),
        json!({"code": "core_code_AAAAAAAAAAAAAAAAAAAAAAAA", "name": "de-1", "ip": "::ffff:192.0.2.1", "port": 1, "region": "x"}),
    ];
    run("body_register", "/node/register", &seeds);
}

#[test]
fn body_heartbeat() {
    let seeds = [
        json!({}),
        json!({"revision": 1, "ip": "192.0.2.7"}),
        json!({"revision": 99, "ip": null}),
    ];
    run("body_heartbeat", "/node/heartbeat", &seeds);
}

#[test]
fn body_usage() {
    let entry = |user: i64, protocol: i64, bytes: i64| {
        json!({
            "userId": user, "subscriptionId": user, "nodeProtocolId": protocol, "bytesUp": bytes, "bytesDown": bytes, "recordedAt": now(),
        })
    };
    let seeds = [
        json!({"entries": []}),
        json!({"entries": [entry(1, 11, 5)]}),
        json!({"entries": [entry(1, 11, 1 << 40), entry(2, 12, 0), entry(7, 99, 3)]}),
    ];
    run("body_usage", "/node/usage", &seeds);
}

#[test]
fn body_outbound_usage() {
    let item = |tag: &str| json!({"tag": tag, "bytesUp": 7, "bytesDown": 1_i64 << 44});
    let seeds = [
        json!({"items": [item("direct"), item("exit-1")]}),
        json!({"items": [item("nowhere")]}),
    ];
    run("body_outbound_usage", "/node/outbound-usage", &seeds);
}

#[test]
fn body_session_events() {
    let event = |kind: &str, ip: Value| json!({"userId": 1, "protocol": "VLESS", "eventType": kind, "occurredAt": now(), "ipAddress": ip});
    let seeds = [
        json!({"events": [event("online", json!("198.51.100.7")), event("offline", Value::Null)]}),
        json!({"events": [event("dancing", json!("2001:db8::1"))]}),
    ];
    run("body_session_events", "/node/session-events", &seeds);
}

#[test]
fn body_config_applied() {
    let seeds = [0, 1, 2].map(|revision| json!({"revision": revision}));
    run("body_config_applied", "/node/config/applied", &seeds);
}

#[test]
fn body_error() {
    let seeds = [
        json!({"message": "xray did not start", "code": "XRAY_EXIT", "details": {"exit": 23, "log": ["a", {"b": null}]}}),
        json!({"message": "no room", "code": null, "details": "text"}),
    ];
    run("body_error", "/node/error", &seeds);
}
