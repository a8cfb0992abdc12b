//! Every protocol's shape, as the engines read it.

use serde_json::{Value, json};

use super::*;
use crate::model::{
    LsId, NodeId, ProtocolId,
    catalog::{Catalog, Link, NodeBalancer, NodeProtocolLink, SubscriptionLink, User},
    node::StoredState,
};

const ADA: &str = "925b6422-7785-4e09-8c76-2fb50fdee252";
const GRACE: &str = "d3a0bd3f-5c82-492c-ab6e-816f2e576a60";

fn node() -> NodeRecord {
    NodeRecord {
        id: NodeId(1),
        name: "de-1".to_owned(),
        ip: "192.0.2.1".parse().unwrap(),
        port: 8000,
        region: String::new(),
        domain: None,
        enabled: true,
        traffic_multiplier: 1.0,
        revision: 1,
        config_hash: None,
        state: StoredState::NEW,
        created_at: Time::default(),
        version: 1,
    }
}

/// A node with one inbound, made of these fields, that two users are on.
fn with_inbound(fields: &Value) -> Catalog {
    let mut row = json!({"id": 14, "nodeId": 1, "port": 20_000});
    row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let mut catalog = Catalog::default();
    for (id, uuid) in [(1, ADA), (2, GRACE)] {
        catalog
            .users
            .push(serde_json::from_value::<User>(json!({"id": id, "name": "x"})).unwrap());
        catalog
            .links
            .push(serde_json::from_value::<Link>(json!({"id": id, "userId": id, "name": "x"})).unwrap());
        let credentials = json!({"id": id, "uuid": uuid, "linkId": id});
        catalog
            .subscription_links
            .push(serde_json::from_value::<SubscriptionLink>(credentials).unwrap());
        catalog.node_protocol_links.push(NodeProtocolLink {
            proto_id: ProtocolId(14),
            ls_id: LsId(id),
            slot: Some(id + 1),
        });
    }
    catalog.node_protocols.push(serde_json::from_value(row).unwrap());
    catalog
}

fn rendered(catalog: Catalog) -> (Rendered, Value) {
    let rendered = render(&node(), &Snapshot::new(catalog), Time::default());
    let services = serde_json::from_str(&rendered.services).unwrap();
    (rendered, services)
}

/// The inbound that these fields make.
fn inbound(fields: &Value) -> Value {
    let (rendered, services) = rendered(with_inbound(fields));
    assert_eq!(rendered.problems, [], "{fields}");
    services["xray"]["inbounds"][0].clone()
}

/// What is wrong with the inbound that these fields make.
fn problem(fields: &Value) -> String {
    let (rendered, services) = rendered(with_inbound(fields));
    assert_eq!(services["xray"]["inbounds"], json!([]), "{fields}");
    rendered.problems[0].message.clone()
}

#[test]
fn shadowsocks_2022_has_keys_and_no_method_of_users() {
    let psk = "G0elFQ00/ga2E2VEWTyZVQw9dywC0nDc+rsMm1ik7TM=";
    let fields = json!({"protocol": "shadowsocks", "settings": {"method": "2022-blake3-aes-256-gcm", "password": psk, "network": "tcp,udp"}});
    let made = inbound(&fields);
    assert_eq!(made["settings"]["password"], psk);
    assert_eq!(
        made["settings"]["clients"][0],
        json!({"email": "u1.l1.s1.i14", "level": 0, "password": credentials(ADA, 32)})
    );
    let mut without = with_inbound(&fields);
    without.node_protocol_links.clear();
    let (rendered, services) = rendered(without);
    assert_eq!((rendered.problems, &services["xray"]["inbounds"]), (vec![], &json!([])));
}

fn credentials(uuid: &str, length: usize) -> String {
    crate::catalog::credentials::shadowsocks_2022_key(uuid.parse().unwrap(), length)
}

#[test]
fn plain_shadowsocks_has_methods_of_users_alone() {
    let made = inbound(&json!({"protocol": "shadowsocks", "settings": {"method": "aes-256-gcm"}}));
    assert!(made["settings"].get("method").is_none());
    assert_eq!(
        made["settings"]["clients"][1],
        json!({"email": "u2.l2.s2.i14", "level": 0, "method": "aes-256-gcm", "password": GRACE})
    );
}

#[test]
fn wireguard_has_peers_with_their_places() {
    let key = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
    let made = inbound(&json!({"protocol": "wireguard", "settings": {"secretKey": key, "address": ["10.8.0.1/24"]}}));
    assert_eq!(made["settings"]["peers"][0]["allowedIPs"], json!(["10.8.0.2/32"]));
    assert_eq!(made["settings"]["peers"][1]["allowedIPs"], json!(["10.8.0.3/32"]));
    assert!(made.get("streamSettings").is_none());
    let mut placeless =
        with_inbound(&json!({"protocol": "wireguard", "settings": {"secretKey": key, "address": ["10.8.0.1/24"]}}));
    placeless.node_protocol_links[0].slot = None;
    let (rendered, services) = rendered(placeless);
    assert_eq!(
        (rendered.problems[0].table, rendered.problems[0].id),
        ("subscription_links", 1)
    );
    assert_eq!(
        services["xray"]["inbounds"][0]["settings"]["peers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn the_others_have_their_own_names_for_users() {
    let vmess =
        inbound(&json!({"protocol": "vmess", "network": "ws", "streamSettings": {"wsSettings": {"path": "/a"}}}));
    assert_eq!(
        vmess["settings"]["clients"][0],
        json!({"email": "u1.l1.s1.i14", "id": ADA, "level": 0})
    );
    assert_eq!(
        vmess["streamSettings"],
        json!({"network": "ws", "security": "none", "wsSettings": {"path": "/a"}})
    );
    let socks = inbound(&json!({"protocol": "socks", "settings": {"udp": true}}));
    assert_eq!(
        socks["settings"]["accounts"][0],
        json!({"pass": ADA, "user": "u1.l1.s1.i14"})
    );
    assert_eq!(socks["settings"]["auth"], "password");
    let http = inbound(&json!({"protocol": "http"}));
    assert_eq!(http["settings"]["accounts"].as_array().unwrap().len(), 2);
    let tls = json!({"tlsSettings": {"certificates": [{"certificateFile": "a", "keyFile": "b"}]}});
    let hysteria =
        inbound(&json!({"protocol": "hysteria", "network": "hysteria", "security": "tls", "streamSettings": tls}));
    assert_eq!(
        hysteria["settings"]["clients"][0],
        json!({"auth": ADA, "email": "u1.l1.s1.i14", "level": 0})
    );
    assert_eq!(
        (
            &hysteria["settings"]["version"],
            &hysteria["streamSettings"]["hysteriaSettings"]["version"]
        ),
        (&json!(2), &json!(2))
    );
}

#[test]
fn what_engines_take_although_it_is_wrong_is_left_out() {
    let reality = |change: Value| {
        let mut settings = json!({"serverNames": ["a.example"], "shortIds": [""], "target": "a.example:443",
            "privateKey": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
        settings
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        json!({"protocol": "vless", "security": "reality", "streamSettings": {"realitySettings": settings}})
    };
    assert_eq!(inbound(&reality(json!({})))["tag"], "vless-reality-14");
    for (fields, words) in [
        (
            reality(json!({"serverNames": []})),
            "streamSettings.realitySettings.serverNames must",
        ),
        (
            reality(json!({"shortIds": ["abc"]})),
            "streamSettings.realitySettings.shortIds must",
        ),
        (
            reality(json!({"shortIds": ["zz"]})),
            "streamSettings.realitySettings.shortIds must",
        ),
        (
            reality(json!({"privateKey": "short"})),
            "streamSettings.realitySettings.privateKey must",
        ),
        (
            reality(json!({"target": ""})),
            "streamSettings.realitySettings.target is missing",
        ),
        (
            json!({"protocol": "vless", "network": "ws", "security": "reality"}),
            "security reality does not go",
        ),
        (json!({"protocol": "vless", "security": "xtls"}), "security xtls is not"),
        (json!({"protocol": "vless", "network": "quic"}), "network quic is not"),
        (
            json!({"protocol": "vless", "flow": "xtls-rprx-vision"}),
            "flow xtls-rprx-vision needs",
        ),
        (
            json!({"protocol": "trojan", "flow": "xtls-rprx-vision"}),
            "flow is refused by trojan",
        ),
        (
            json!({"protocol": "vless", "streamSettings": {"wsSetings": {}}}),
            "streamSettings.wsSetings is not a setting",
        ),
        (
            json!({"protocol": "vless", "settings": {"decryption": "aes"}}),
            "settings.decryption must",
        ),
        (
            json!({"protocol": "vless", "settings": {"clients": []}}),
            "settings.clients is made by Core",
        ),
        (json!({"protocol": "vless", "port": 10_085}), "port 10085 is where"),
        (
            json!({"protocol": "shadowsocks", "settings": {"method": "2022-blake3-chacha20-poly1305"}}),
            "settings.method 2022-",
        ),
        (
            json!({"protocol": "shadowsocks", "settings": {"method": "2022-blake3-aes-128-gcm", "password": "x"}}),
            "settings.password must be 16",
        ),
        (
            json!({"protocol": "shadowsocks", "settings": {"method": "none"}}),
            "settings.method \"none\" is unknown",
        ),
        (
            json!({"protocol": "wireguard", "settings": {"secretKey": "x"}}),
            "settings.secretKey must",
        ),
        (
            json!({"protocol": "hysteria", "network": "raw"}),
            "network must be hysteria",
        ),
        (
            json!({"protocol": "mtproto", "settings": {"tlsDomain": "a..b"}}),
            "settings.tlsDomain must",
        ),
        (
            json!({"protocol": "mtproto", "settings": {"tlsDomain": "a.b", "modes": {"tls": false}}}),
            "settings.modes allows",
        ),
    ] {
        let message = problem(&fields);
        assert!(message.starts_with(words), "{fields}: {message}");
    }
}

#[test]
fn udp_and_tcp_share_a_port_and_two_of_a_kind_do_not() {
    let mut catalog = with_inbound(&json!({"protocol": "vless"}));
    let key = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
    for (id, fields) in [
        (
            15,
            json!({"protocol": "wireguard", "listen": "127.0.0.1", "settings": {"secretKey": key, "address": ["10.8.0.1/24"]}}),
        ),
        (16, json!({"protocol": "vmess", "listen": "127.0.0.1"})),
        (
            17,
            json!({"protocol": "mtproto", "listen": "::", "settings": {"tlsDomain": "a.example"}}),
        ),
    ] {
        let mut row = json!({"id": id, "nodeId": 1, "port": 20_000});
        row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        catalog.node_protocols.push(serde_json::from_value(row).unwrap());
    }
    let (rendered, _) = rendered(catalog);
    let left_out: Vec<i64> = rendered.problems.iter().map(|problem| problem.id).collect();
    assert_eq!(left_out, [16, 17]);
}

#[test]
fn balancers_are_checked_and_observed() {
    let made = |config: Value| {
        let mut catalog = with_inbound(&json!({"protocol": "vless"}));
        for (id, tag) in [(21, "exit-a"), (22, "exit-b")] {
            catalog.node_outbounds.push(
                serde_json::from_value(json!({"id": id, "nodeId": 1, "tag": tag, "protocol": "freedom"})).unwrap(),
            );
        }
        catalog.node_balancers.push(NodeBalancer {
            id: 5,
            node_id: NodeId(1),
            tag: "exits".to_owned(),
            config,
        });
        let rule = json!({"id": 7, "nodeId": 1, "rule": {"network": "tcp"}, "balancerTag": "exits"});
        catalog.node_routing_rules.push(serde_json::from_value(rule).unwrap());
        rendered(catalog)
    };
    let (rendered, services) = made(json!({"selector": ["exit-"]}));
    assert_eq!(rendered.problems, []);
    assert_eq!(services["xray"]["routing"]["rules"][0]["balancerTag"], "exits");
    assert!(services["xray"].get("observatory").is_none());
    let (rendered, services) =
        made(json!({"selector": ["exit-"], "strategy": {"type": "leastPing"}, "fallbackTag": "exit-a"}));
    assert_eq!(rendered.problems, []);
    assert_eq!(services["xray"]["observatory"]["subjectSelector"], json!(["exit-"]));
    for (config, words) in [
        (json!({}), "config.selector must"),
        (
            json!({"selector": ["nowhere"]}),
            "config.selector nowhere fits no outbound",
        ),
        (
            json!({"selector": ["exit-"], "strategy": {"type": "best"}}),
            "config.strategy.type best",
        ),
        (
            json!({"selector": ["exit-"], "fallbackTag": "gone"}),
            "config.fallbackTag gone",
        ),
    ] {
        let (rendered, services) = made(config);
        assert!(
            rendered.problems[0].message.starts_with(words),
            "{:?}",
            rendered.problems
        );
        assert_eq!(
            rendered.problems[1].message,
            "balancerTag exits is not a balancer that serves on the node"
        );
        assert!(services["xray"]["routing"].get("balancers").is_none());
    }
}

#[test]
fn outbounds_that_xray_refuses_are_left_out() {
    for (protocol, config, words) in [
        ("wormhole", json!({}), "protocol wormhole is not"),
        ("freedom", json!({"tag": "x"}), "config.tag is a column"),
        (
            "freedom",
            json!({"sendThrough": "a.example"}),
            "config.sendThrough must",
        ),
        (
            "freedom",
            json!({"mux": {"concurrency": "8"}}),
            "config.mux.concurrency must",
        ),
        (
            "vless",
            json!({"settings": {"address": "203.0.113.5"}}),
            "config.streamSettings.security must not be none",
        ),
    ] {
        let mut catalog = with_inbound(&json!({"protocol": "vless"}));
        let row = json!({"id": 21, "nodeId": 1, "tag": "exit", "protocol": protocol, "config": config});
        catalog.node_outbounds.push(serde_json::from_value(row).unwrap());
        let (rendered, _) = rendered(catalog);
        assert!(
            rendered.problems[0].message.starts_with(words),
            "{:?}",
            rendered.problems
        );
    }
}

#[test]
fn a_change_of_users_leaves_the_structure() {
    let fields = json!({"protocol": "vless"});
    let whole = rendered(with_inbound(&fields)).0;
    let mut one_less = with_inbound(&fields);
    one_less.node_protocol_links.pop();
    let one_less = rendered(one_less).0;
    let moved = rendered(with_inbound(&json!({"protocol": "vless", "port": 20_001}))).0;
    assert_eq!(
        (whole.structure, whole.users == one_less.users),
        (one_less.structure, false)
    );
    assert_eq!((whole.users, whole.structure == moved.structure), (moved.users, false));
}
