//! The body of every change that an admin can make, to the handler, with a good token and without a listener. What was made is deleted again, so that the
//! catalogue stays small.

use http::Method;
use serde_json::{Value, json};

use super::{
    calls::http_judged,
    direct::Direct,
    engine::{self, Plan, Target, Verdict},
    mutate::Kind,
    world::{self, World},
};
use crate::{
    admin::kinds::{self, Kind as Rows},
    harness::core::SAMPLE,
};

struct Change {
    method: Method,
    path: String,
    /// Where what was made is deleted.
    own: &'static str,
    /// What a row must be made of first, so that it can be changed.
    first: Option<(String, Value)>,
    /// The row that was made of it.
    row: String,
    world: Option<World>,
    direct: Option<Direct>,
}

impl Target for Change {
    const AT_ONCE: usize = 16;
    /// What is left behind is a line in the audit log for each change; a new world takes as long as thousands of inputs.
    const WORLD: usize = 200_000;

    async fn renew(&mut self) {
        self.direct = None;
        let direct = self.direct.insert(world::another(&mut self.world).await.admin().await);
        self.row = match &self.first {
            None => self.path.clone(),
            Some((path, least)) => {
                let made = direct.send(Method::POST, path, least.to_string().as_bytes()).await;
                let (status, answer) = made.unwrap();
                assert_eq!(status, 201, "{path}: {answer:?}");
                let row: Value = serde_json::from_slice(&answer).unwrap();
                format!("{}/{}", self.own, row["id"])
            }
        };
    }

    async fn attempt(&self, input: &[u8]) -> Verdict {
        let direct = self.direct.as_ref().expect("there is a world");
        let (status, answer) = direct.send(self.method.clone(), &self.row, input).await?;
        if status == 201 {
            let made: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
            let alone = std::slice::from_ref(&made);
            for row in made["items"].as_array().map_or(alone, Vec::as_slice) {
                let path = format!("{}/{}", self.own, row["id"]);
                let (status, answer) = direct.send(Method::DELETE, &path, b"").await?;
                http_judged(status, &answer)?;
            }
        }
        http_judged(status, &answer)
    }

    async fn end(&mut self) {
        self.direct = None;
        world::end(&mut self.world).await;
    }
}

fn run(name: &'static str, method: Method, (path, own): (&str, &'static str), seeds: &[Value]) {
    run_after(name, method, (path, own), None, seeds);
}

fn run_after(
    name: &'static str,
    method: Method,
    (path, own): (&str, &'static str),
    first: Option<(String, Value)>,
    seeds: &[Value],
) {
    let target = Change {
        method,
        path: path.to_owned(),
        own,
        first,
        row: String::new(),
        world: None,
        direct: None,
    };
    let plan = Plan {
        name,
        kind: Kind::Json,
        seeds: seeds.iter().map(|it| it.to_string().into_bytes()).collect(),
    };
    engine::run(plan, target);
}

fn rows(own: &str) -> Rows {
    kinds::all().into_iter().find(|it| it.own == own).unwrap()
}

fn with(fields: &Value, more: &Value) -> Value {
    let mut all = fields.as_object().unwrap().clone();
    all.extend(more.as_object().unwrap().clone());
    all.into()
}

/// The rows of a table in the sample catalogue, as an admin would make them.
fn samples(table: &str) -> Vec<Value> {
    let sample: Value = serde_json::from_slice(&std::fs::read(SAMPLE).unwrap()).unwrap();
    let mut rows = sample[table].as_array().cloned().unwrap_or_default();
    rows.truncate(3);
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        row.retain(|field, _| {
            field == "outboundId" || field == "subscriptionId" || !field.ends_with("Id") && field != "id"
        });
        if row.contains_key("port") {
            row["port"] = json!(20_100);
        }
    }
    rows
}

fn make(name: &'static str, own: &'static str, table: &str) {
    let kind = rows(own);
    let mut seeds = vec![kind.least.clone(), with(&kind.least, &kind.change)];
    seeds.extend(samples(table));
    seeds.extend(more(own));
    run(name, Method::POST, (kind.below, own), &seeds);
}

fn patch(name: &'static str, own: &'static str, table: &str) {
    let kind = rows(own);
    let mut seeds = vec![kind.change.clone(), kind.least.clone()];
    seeds.extend(samples(table));
    seeds.extend(more(own));
    let first = Some((kind.below.to_owned(), kind.least));
    run_after(name, Method::PATCH, (own, own), first, &seeds);
}

/// What the sample catalogue has none of.
fn more(own: &str) -> Vec<Value> {
    let key = "yAYHzSZGBcVbZVYSzhGxdeWjfXxpRLzbXqDWzQXzqWY";
    match own {
        "/admin/protocols" => vec![
            json!({"protocol": "vless", "port": 20_001, "security": "reality", "streamSettings": {"realitySettings": {
                "serverNames": ["a.example.test"], "shortIds": ["01ab"], "privateKey": key, "target": "a.example.test:443"}}}),
            json!({"protocol": "shadowsocks", "port": 20_003, "settings": {"method": "2022-blake3-aes-128-gcm", "password": "MDEyMzQ1Njc4OWFiY2RlZg=="}}),
            json!({"protocol": "wireguard", "port": 20_004, "settings": {"secretKey": key, "address": ["10.8.0.1/24"], "mtu": 1420}}),
            json!({"protocol": "socks", "port": 20_005, "settings": {"udp": true}}),
            json!({"protocol": "http", "port": 20_006}),
            json!({"protocol": "vmess", "port": 20_007, "network": "grpc", "streamSettings": {"grpcSettings": {"serviceName": "x"}}}),
            json!({"protocol": "trojan", "port": 20_008, "settings": {"fallbacks": [{"dest": 80, "path": "/x", "xver": 1}]}}),
        ],
        "/admin/outbounds" => vec![
            json!({"tag": "wg", "protocol": "wireguard", "config": {"settings": {"secretKey": key, "peers": [{"publicKey": key, "endpoint": "192.0.2.1:51820"}]}}}),
            json!({"tag": "via", "protocol": "vless", "config": {"settings": {"vnext": [{"address": "192.0.2.1", "port": 443, "users": [
                {"id": "9c1f6a52-0d0e-4b7e-8f63-5f4f3a0f1b01", "encryption": "none"}]}]}, "proxySettings": {"tag": "exit-1"}}}),
        ],
        "/admin/routing-rules" => vec![
            json!({"rule": {"domain": ["domain:example.test", "geosite:cn", "regexp:.*"], "ip": ["192.0.2.0/24", "geoip:private"], "sourcePort": "1-5"},
                "outboundId": 21, "position": 3}),
            json!({"rule": {"protocol": ["bittorrent"], "user": ["1"], "inboundTag": ["in-11"], "attrs": {":method": "GET"}}, "outboundId": 21}),
        ],
        "/admin/subscriptions" => vec![
            json!({"trafficLimitBytes": 0, "resetStrategy": "weekly"}),
            json!({"expiresAt": "2020-01-01T00:00:00Z", "resetStrategy": "rolling_30d"}),
        ],
        _ => Vec::new(),
    }
}

/// A target that makes rows, and one that changes one.
macro_rules! collections {
    ($($make:ident, $patch:ident, $own:literal, $table:literal;)*) => {$(
        #[test]
        fn $make() {
            make(stringify!($make), $own, $table);
        }

        #[test]
        fn $patch() {
            patch(stringify!($patch), $own, $table);
        }
    )*};
}

collections! {
    make_user, patch_user, "/admin/users", "users";
    make_subscription, patch_subscription, "/admin/subscriptions", "subscriptions";
    make_link, patch_link, "/admin/links", "links";
    make_credentials, patch_credentials, "/admin/subscription-links", "subscriptionLinks";
    make_protocol, patch_protocol, "/admin/protocols", "nodeProtocols";
    make_outbound, patch_outbound, "/admin/outbounds", "nodeOutbounds";
    make_rule, patch_rule, "/admin/routing-rules", "nodeRoutingRules";
    make_balancer, patch_balancer, "/admin/balancers", "nodeBalancers";
}

#[test]
fn make_code() {
    let seeds = [
        json!({}),
        json!({"name": "for de-1", "nodeId": 1, "ttlSeconds": 60}),
        json!({"name": null, "uses": 5, "ttlSeconds": 31_536_000}),
    ];
    let path = "/admin/registration-codes";
    run("make_code", Method::POST, (path, path), &seeds);
}

#[test]
fn make_token() {
    let seeds = [
        json!({"name": "panel", "role": "admin"}),
        json!({"name": "screen", "role": "viewer", "ttlSeconds": 3_600}),
    ];
    run("make_token", Method::POST, ("/admin/tokens", "/admin/tokens"), &seeds);
}

#[test]
fn patch_node() {
    let seeds = [
        json!({"name": "nl-2", "ip": "192.0.2.99", "port": 8_010, "region": "nl", "domain": "nl.example.test"}),
        json!({"enabled": false, "trafficMultiplier": 1.5, "domain": null}),
        json!({"enabled": true, "trafficMultiplier": 0}),
    ];
    run("patch_node", Method::PATCH, ("/admin/nodes/2", "/admin/nodes"), &seeds);
}

#[test]
fn make_users_in_bulk() {
    let user = |protocols: &[i64]| {
        json!({
            "name": "bulk", "subscriptions": [{"trafficLimitBytes": 1_000, "resetStrategy": "monthly"}],
            "links": [{"name": "phone", "subscriptionLinks": [{"subscription": 0, "protocolIds": protocols}]}],
        })
    };
    let seeds = [
        json!({"users": [user(&[11, 12, 13])]}),
        json!({"users": [user(&[]), {"name": "x", "uuid": "11111111-2222-4333-8444-555555555555", "status": "disabled"}]}),
    ];
    let path = "/admin/users/bulk";
    run("make_users_in_bulk", Method::POST, (path, "/admin/users"), &seeds);
}

#[test]
fn join_inbound() {
    let seeds = [json!({"ids": [1, 2]}), json!({"ids": []}), json!({"ids": [1, 99]})];
    let path = "/admin/protocols/11/links";
    run("join_inbound", Method::PUT, (path, path), &seeds);
}

#[test]
fn leave_inbound() {
    let seeds = [json!({"ids": [1]}), json!({"ids": []}), json!({"ids": [2, 2]})];
    let path = "/admin/protocols/11/links";
    run("leave_inbound", Method::DELETE, (path, path), &seeds);
}
