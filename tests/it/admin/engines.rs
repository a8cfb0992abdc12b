//! What engines accept although it is wrong, and what stops them, is refused: the field is named, and nothing changes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::contract::{caller::refused, sums, world::World};

use super::kinds::{ask, at, delete, make};

const KEY: &str = "yAYHzSZGBcVbZVYSzhGxdeWjfXxpRLzbXqDWzQXzqWY";

fn reality(settings: &Value) -> Value {
    let mut reality = json!({"serverNames": ["a.example.test"], "shortIds": ["01ab"], "privateKey": KEY, "target": "a.example.test:443"});
    let fields = settings.as_object().expect("fields").clone();
    reality.as_object_mut().expect("fields").extend(fields);
    reality
        .as_object_mut()
        .expect("fields")
        .retain(|_, value| !value.is_null());
    json!({"protocol": "vless", "port": 20_001, "security": "reality", "streamSettings": {"realitySettings": reality}})
}

fn tls(certificates: &Value) -> Value {
    json!({"protocol": "trojan", "port": 20_001, "security": "tls", "streamSettings": {"tlsSettings": {"certificates": certificates}}})
}

fn inbounds() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"protocol": "vmess", "port": 443}), "port 443 "),
        (
            json!({"protocol": "vmess", "port": 443, "listen": "192.0.2.11"}),
            "port 443 ",
        ),
        (json!({"protocol": "vmess", "port": 0}), "port 0 "),
        (json!({"protocol": "vmess", "port": 70_000}), "port 70000 "),
        (json!({"protocol": "vmess", "port": -1}), "port -1 "),
        (json!({"protocol": "vmess", "port": 10_085}), "port 10085 "),
        (
            json!({"protocol": "vmess", "port": 20_001, "publicPort": 0}),
            "publicPort must be",
        ),
        (
            json!({"protocol": "vmess", "port": 20_001, "tag": "a b"}),
            "tag must be",
        ),
        (json!({"protocol": "vmess", "port": 20_001, "tag": "api"}), "tag api "),
        (
            json!({"protocol": "vmess", "port": 20_001, "tag": "exit-1"}),
            "tag exit-1 ",
        ),
        (
            json!({"protocol": "vmess", "port": 20_001, "network": "pigeon"}),
            "network pigeon ",
        ),
        (
            json!({"protocol": "vmess", "port": 20_001, "security": "some"}),
            "security some ",
        ),
        (
            json!({"protocol": "vmess", "port": 20_001, "settings": {"clients": []}}),
            "settings.clients ",
        ),
        (
            json!({"protocol": "vmess", "port": 20_001, "streamSettings": {"wsSetings": {}}}),
            "streamSettings.wsSetings ",
        ),
        (
            json!({"protocol": "vless", "port": 20_001, "network": "ws", "flow": "xtls-rprx-vision"}),
            "flow xtls-rprx-vision ",
        ),
        (
            json!({"protocol": "vless", "port": 20_001, "flow": "vision"}),
            "flow vision ",
        ),
        (
            json!({"protocol": "vmess", "port": 20_001, "flow": "xtls-rprx-vision"}),
            "flow is refused",
        ),
        (
            reality(&json!({"privateKey": "short"})),
            "streamSettings.realitySettings.privateKey ",
        ),
        (
            reality(&json!({"privateKey": null})),
            "streamSettings.realitySettings.privateKey ",
        ),
        (
            reality(&json!({"shortIds": ["0"]})),
            "streamSettings.realitySettings.shortIds ",
        ),
        (
            reality(&json!({"shortIds": ["xy"]})),
            "streamSettings.realitySettings.shortIds ",
        ),
        (
            reality(&json!({"serverNames": []})),
            "streamSettings.realitySettings.serverNames ",
        ),
        (
            reality(&json!({"target": null})),
            "streamSettings.realitySettings.target ",
        ),
        (tls(&json!([])), "streamSettings.tlsSettings.certificates is empty"),
        (tls(&Value::Null), "streamSettings.tlsSettings.certificates is empty"),
        (
            tls(&json!([{"certificate": ["garbage"], "key": ["garbage"]}])),
            "streamSettings.tlsSettings.certificates[0]: certificate ",
        ),
        (
            json!({"protocol": "shadowsocks", "port": 20_001, "settings": {"method": "2022-blake3-aes-256-gcm", "password": "short"}}),
            "settings.password ",
        ),
        (
            json!({"protocol": "shadowsocks", "port": 20_001, "settings": {"method": "rot13"}}),
            "settings.method ",
        ),
        (
            json!({"protocol": "wireguard", "port": 20_001, "settings": {"secretKey": "short"}}),
            "settings.secretKey ",
        ),
        (
            json!({"protocol": "mtproto", "port": 20_001, "settings": {}}),
            "settings.tlsDomain ",
        ),
    ]
}

fn ways() -> Vec<(&'static str, Value, &'static str)> {
    let (outbounds, rules, balancers) = (
        "/admin/nodes/1/outbounds",
        "/admin/nodes/1/routing-rules",
        "/admin/nodes/1/balancers",
    );
    vec![
        (outbounds, json!({"tag": "exit-1", "protocol": "freedom"}), "tag "),
        (outbounds, json!({"tag": "direct", "protocol": "freedom"}), "tag "),
        (outbounds, json!({"tag": "a b", "protocol": "freedom"}), "tag must be"),
        (outbounds, json!({"tag": "x", "protocol": "pigeon"}), "protocol pigeon "),
        (
            outbounds,
            json!({"tag": "x", "protocol": "freedom", "config": []}),
            "config must be an object",
        ),
        (
            outbounds,
            json!({"tag": "x", "protocol": "freedom", "config": {"tag": "y"}}),
            "config.tag ",
        ),
        (
            rules,
            json!({"rule": {"port": "25"}, "outboundId": 99}),
            "outboundId 99 ",
        ),
        (
            rules,
            json!({"rule": {"port": "25"}, "outboundId": 22}),
            "outboundId 22 ",
        ),
        (rules, json!({"rule": {"port": "25"}}), "outboundId or balancerTag"),
        (
            rules,
            json!({"rule": {"port": "25"}, "outboundId": 21, "balancerTag": "x"}),
            "outboundId or balancerTag",
        ),
        (
            rules,
            json!({"rule": {"port": "25"}, "balancerTag": "none"}),
            "balancerTag none ",
        ),
        (rules, json!({"rule": {}, "outboundId": 21}), "rule has no condition"),
        (
            rules,
            json!({"rule": {"port": ""}, "outboundId": 21}),
            "rule.port is empty",
        ),
        (rules, json!({"rule": {"prot": "25"}, "outboundId": 21}), "rule.prot "),
        (
            rules,
            json!({"rule": {"port": "25", "outboundTag": "x"}, "outboundId": 21}),
            "rule.outboundTag ",
        ),
        (balancers, json!({"tag": "p", "config": {}}), "config.selector "),
        (
            balancers,
            json!({"tag": "p", "config": {"selector": ["none-"]}}),
            "config.selector ",
        ),
        (
            balancers,
            json!({"tag": "exit-1", "config": {"selector": ["exit-"]}}),
            "tag exit-1 ",
        ),
        (
            balancers,
            json!({"tag": "p", "config": {"selector": ["exit-"], "strategy": {"type": "luck"}}}),
            "config.strategy.type ",
        ),
        (
            balancers,
            json!({"tag": "p", "config": {"selector": ["exit-"], "fallbackTag": "none"}}),
            "config.fallbackTag ",
        ),
    ]
}

fn rows(world: &World) -> Vec<String> {
    [
        "node_protocols",
        "node_outbounds",
        "node_routing_rules",
        "node_balancers",
        "audit_log",
    ]
    .iter()
    .flat_map(|table| sums::rows(world.dir(), &format!("SELECT * FROM {table}")))
    .collect()
}

#[tokio::test]
async fn new_rows_that_no_engine_should_get_are_refused() {
    let world = World::new().await;
    let admin = world.admin();
    let before = rows(&world);
    let inbounds = inbounds()
        .into_iter()
        .map(|(row, named)| ("/admin/nodes/1/protocols", row, named));
    for (path, row, named) in inbounds.chain(ways()) {
        let answer = ask(&admin, Method::POST, path, &row).await;
        let message = refused(&answer, StatusCode::BAD_REQUEST, &row.to_string());
        assert!(message.starts_with(named), "{row}: {message}");
        assert_eq!(rows(&world), before, "{row}");
    }
    make(&admin, "/admin/nodes/1/protocols", &reality(&json!({}))).await;
    assert_eq!(world.node(1).await["configProblems"], json!([]));
    world.end();
}

#[tokio::test]
async fn changes_that_no_engine_should_get_are_refused() {
    let world = World::new().await;
    let admin = world.admin();
    let before = rows(&world);
    for (path, change, named) in [
        ("/admin/protocols/11", json!({"port": 8443}), "port 8443 "),
        ("/admin/protocols/11", json!({"port": 70_000}), "port 70000 "),
        (
            "/admin/protocols/11",
            json!({"network": "ws"}),
            "flow xtls-rprx-vision ",
        ),
        (
            "/admin/protocols/11",
            json!({"streamSettings": null}),
            "streamSettings.tlsSettings.certificates ",
        ),
        (
            "/admin/protocols/11",
            json!({"security": "reality"}),
            "streamSettings.realitySettings.",
        ),
        ("/admin/protocols/13", json!({"settings": null}), "settings.tlsDomain "),
        ("/admin/routing-rules/31", json!({"outboundId": 22}), "outboundId 22 "),
        (
            "/admin/routing-rules/31",
            json!({"outboundId": null}),
            "outboundId or balancerTag",
        ),
        ("/admin/outbounds/21", json!({"enabled": false}), "outboundId 21 "),
        ("/admin/outbounds/21", json!({"tag": "block"}), "tag "),
    ] {
        let about = format!("{path} {change}");
        let answer = ask(&admin, Method::PATCH, path, &change).await;
        let message = refused(&answer, StatusCode::BAD_REQUEST, &about);
        assert!(message.starts_with(named), "{about}: {message}");
        assert_eq!(rows(&world), before, "{about}");
    }
    let answer = ask(&admin, Method::DELETE, "/admin/outbounds/21", &Value::Null).await;
    let message = refused(&answer, StatusCode::BAD_REQUEST, "a rule leads to it");
    assert!(message.starts_with("outboundId 21 "), "{message}");
    assert_eq!(rows(&world), before);
    world.end();
}

#[tokio::test]
async fn rows_that_were_just_made_are_seen() {
    let world = World::new().await;
    let admin = world.admin();
    for port in 20_001..20_010 {
        let row = json!({"protocol": "vmess", "port": port});
        make(&admin, "/admin/nodes/1/protocols", &row).await;
        let answer = ask(&admin, Method::POST, "/admin/nodes/1/protocols", &row).await;
        let message = refused(&answer, StatusCode::BAD_REQUEST, "the same port");
        assert!(message.starts_with(&format!("port {port} ")), "{message}");
    }
    let out = json!({"tag": "late", "protocol": "freedom"});
    let outbound = make(&admin, "/admin/nodes/1/outbounds", &out).await;
    let rule = json!({"rule": {"port": "25"}, "outboundId": outbound["id"]});
    let rule = make(&admin, "/admin/nodes/1/routing-rules", &rule).await;
    let path = at("/admin/outbounds", &outbound);
    refused(
        &ask(&admin, Method::DELETE, &path, &Value::Null).await,
        StatusCode::BAD_REQUEST,
        "a rule leads to it",
    );
    delete(&admin, &at("/admin/routing-rules", &rule)).await;
    delete(&admin, &path).await;
    let again = make(&admin, "/admin/nodes/1/outbounds", &out).await;
    assert_eq!(again["id"], outbound["id"], "reports name it by its tag: it counts on");
    for (path, about) in [("direct", "every node has it"), ("block", "every node has it")] {
        let rows = super::kinds::items(&admin, "/admin/nodes/1/outbounds", 100).await;
        let row = rows
            .iter()
            .find(|row| row["tag"] == path)
            .expect("it is listed")
            .clone();
        let answer = ask(&admin, Method::DELETE, &at("/admin/outbounds", &row), &Value::Null).await;
        refused(&answer, StatusCode::BAD_REQUEST, about);
    }
    world.end();
}
