//! Rendering, seen from the outside.

use serde_json::Value;

use super::*;
use crate::model::{NodeId, catalog::CatalogImport, node::StoredState};

fn node() -> NodeRecord {
    NodeRecord {
        id: NodeId(1),
        name: "de-1".to_owned(),
        ip: "192.0.2.1".parse().unwrap(),
        port: 8000,
        region: "de".to_owned(),
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

fn sample() -> CatalogImport {
    serde_json::from_str(include_str!("../../../examples/catalog.json")).unwrap()
}

fn now() -> Time {
    Time::parse_rfc3339("2026-11-24T12:00:00Z").unwrap()
}

fn rendered(change: impl FnOnce(&mut NodeRecord, &mut CatalogImport)) -> (Rendered, Value, Value) {
    let (mut node, mut import) = (node(), sample());
    change(&mut node, &mut import);
    let rendered = render(&node, &Snapshot::new(import.catalog), now());
    let services = serde_json::from_str(&rendered.services).unwrap();
    let clients = serde_json::from_str(&rendered.client_map).unwrap();
    (rendered, services, clients)
}

#[test]
fn the_sample_renders_whole() {
    let (rendered, services, clients) = rendered(|_, _| {});
    assert_eq!(rendered.problems, []);
    let inbounds = services["xray"]["inbounds"].as_array().unwrap();
    assert_eq!(
        inbounds
            .iter()
            .map(|it| it["tag"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["vless-tls-11", "trojan-tls-12"]
    );
    assert_eq!(inbounds[0]["settings"]["decryption"], "none");
    assert_eq!(inbounds[0]["settings"]["clients"][0]["email"], "u1.l1.s1.i11");
    assert_eq!(inbounds[0]["settings"]["clients"][1]["flow"], "xtls-rprx-vision");
    assert_eq!(
        inbounds[1]["settings"]["clients"][1]["password"],
        inbounds[0]["settings"]["clients"][1]["id"]
    );
    let mtproto = &services["mtproto"]["inbounds"][0];
    assert_eq!(
        (mtproto["tag"].as_str(), mtproto["publicHost"].as_str()),
        (Some("mtproto-13"), Some("192.0.2.1"))
    );
    assert_eq!(mtproto["users"][0]["username"], "u1.l1.s1.i13");
    assert_eq!(mtproto["users"][0]["secret"].as_str().unwrap().len(), 32);
    assert_eq!(clients["2"], serde_json::json!({"userId": 2, "subscriptionId": 2}));
    assert_eq!(rendered.hash(), self::rendered(|_, _| {}).0.hash());
}

#[test]
fn a_disabled_node_serves_nobody() {
    let (rendered, services, clients) = rendered(|node, _| node.enabled = false);
    assert_eq!(rendered.problems, []);
    assert_eq!(clients, serde_json::json!({}));
    assert_eq!(
        services["xray"]["inbounds"][0]["settings"]["clients"],
        serde_json::json!([])
    );
    assert!(services.get("mtproto").is_none());
    assert_eq!(services["xray"]["outbounds"].as_array().unwrap().len(), 1);
}

#[test]
fn who_may_not_connect_is_not_there() {
    use crate::model::catalog::{SubscriptionStatus, UserStatus};
    let changes: [fn(&mut CatalogImport); 7] = [
        |it| it.catalog.users[0].status = UserStatus::Disabled,
        |it| it.catalog.subscriptions[0].status = SubscriptionStatus::Limited,
        |it| it.catalog.subscriptions[0].expires_at = Some(now()),
        |it| it.catalog.subscriptions[0].starts_at = Some(now().plus(std::time::Duration::from_secs(1))),
        |it| it.catalog.links[0].enabled = false,
        |it| it.catalog.links[0].revoked_at = Some(now()),
        |it| it.catalog.subscription_links[0].enabled = false,
    ];
    for (which, change) in changes.into_iter().enumerate() {
        let (_, services, clients) = rendered(|_, import| change(import));
        assert_eq!(
            clients.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["2"],
            "change {which}"
        );
        assert_eq!(
            services["xray"]["inbounds"][0]["settings"]["clients"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
    }
}

#[test]
fn a_bad_row_is_left_out_alone_and_named() {
    type Break = fn(&mut CatalogImport);
    let breaks: [(&str, i64, &str, Break); 10] = [
        ("node_protocols", 11, "port 0", |it| {
            it.catalog.node_protocols[0].port = 0;
        }),
        ("node_protocols", 11, "port 70000", |it| {
            it.catalog.node_protocols[0].port = 70_000;
        }),
        ("node_protocols", 12, "is taken by another inbound", |it| {
            it.catalog.node_protocols[1].port = it.catalog.node_protocols[0].port;
        }),
        ("node_protocols", 11, "flow xtls-rprx-vision needs", |it| {
            it.catalog.node_protocols[0].network = "ws".to_owned();
        }),
        ("node_protocols", 11, "certificates is empty", |it| {
            it.catalog.node_protocols[0].stream_settings = json!({});
        }),
        ("node_protocols", 11, "tag must be", |it| {
            it.catalog.node_protocols[0].tag = Some("a>>>b".to_owned());
        }),
        ("node_protocols", 13, "settings.tlsDomain must", |it| {
            it.catalog.node_protocols[2].settings = json!({});
        }),
        ("node_routing_rules", 31, "rule.domain is empty", |it| {
            it.catalog.node_routing_rules[0].rule = json!({"domain": []});
        }),
        ("node_routing_rules", 31, "is not an outbound", |it| {
            it.catalog.node_routing_rules[0].outbound_id = Some(OutboundId(99));
        }),
        ("subscription_links", 2, "uuid is that of another", |it| {
            it.catalog.subscription_links[1].uuid = it.catalog.subscription_links[0].uuid;
        }),
    ];
    for (table, id, message, change) in breaks {
        let (rendered, ..) = rendered(|_, import| change(import));
        assert!(!rendered.problems.is_empty(), "{table} {id} {message}");
        for problem in &rendered.problems {
            assert_eq!((problem.table, problem.id), (table, id), "{message}");
            assert!(
                problem.message.contains(message),
                "{} does not say {message}",
                problem.message
            );
        }
    }
}

#[test]
fn what_is_off_is_not_a_problem() {
    let (rendered, services, _) = rendered(|_, import| {
        import.catalog.node_protocols[0].enabled = false;
        import.catalog.node_protocols[1].deleted_at = Some(now());
        import.catalog.node_routing_rules[0].enabled = false;
    });
    assert_eq!(rendered.problems, []);
    assert_eq!(services["xray"]["inbounds"], json!([]));
    assert_eq!(services["xray"]["routing"]["rules"], json!([]));
}
