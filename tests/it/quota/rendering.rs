//! Any catalogue renders: without a panic, always the same, and whatever is left out is named.

use std::collections::{BTreeSet, HashMap};

use proptest::{prelude::*, sample::select, test_runner::TestCaseError};
use serde_json::{Value, json};
use vpn_core::{
    catalog::{render::render, snapshot::Snapshot},
    model::{
        NodeId, ProtocolId, Time,
        catalog::Catalog,
        node::{NodeRecord, StoredState},
        node_config::Rendered,
    },
};

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn node(enabled: bool) -> NodeRecord {
    NodeRecord {
        id: NodeId(1),
        name: "node".to_owned(),
        ip: [192, 0, 2, 1].into(),
        port: 8000,
        region: "de".to_owned(),
        domain: None,
        enabled,
        traffic_multiplier: 1.0,
        revision: 1,
        config_hash: None,
        state: StoredState::NEW,
        created_at: Time::default(),
        version: 1,
    }
}

/// What people write, and what they should not.
fn junk() -> impl Strategy<Value = Value> {
    select(vec![
        json!({}),
        json!(null),
        json!([]),
        json!("text"),
        json!(7),
        json!({"clients": []}),
        json!({"method": "aes-128-gcm"}),
        json!({"method": "2022-blake3-aes-256-gcm", "password": KEY}),
        json!({"secretKey": KEY, "address": ["10.8.0.1/30", "fd00::1/64"]}),
        json!({"secretKey": KEY, "address": ["10.8.0.1/99"]}),
        json!({"tlsDomain": "front.example.test"}),
        json!({"tlsDomain": "front.example.test", "modes": {"tls": false}}),
        json!({"decryption": "nonsense"}),
        json!({"network": "tcp,udp", "method": "none"}),
    ])
}

fn stream() -> impl Strategy<Value = Value> {
    let reality = json!({"realitySettings": {
        "target": "127.0.0.1:443", "serverNames": ["a.test"], "shortIds": ["ab"],
        "privateKey": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    }});
    let tls = json!({"tlsSettings": {"certificates": [{"certificateFile": "/a.crt", "keyFile": "/a.key"}]}});
    let mut hysteria = tls.clone();
    hysteria["hysteriaSettings"] = json!("not an object");
    select(vec![
        json!({}),
        json!(null),
        reality,
        tls,
        hysteria,
        json!({"hysteriaSettings": null}),
        json!({"wsSettings": []}),
        json!({"network": "ws"}),
        json!({"xhttpSettings": {"mode": "odd"}}),
        json!({"typoSettings": {}}),
    ])
}

fn tag() -> impl Strategy<Value = &'static str> {
    select(vec![
        "a",
        "b",
        "c",
        "exit-1",
        "exit-2",
        "api",
        "",
        "with space",
        "direct",
    ])
}

prop_compose! {
    fn inbound()(
        protocol in select(vec!["vless", "vmess", "trojan", "shadowsocks", "hysteria", "wireguard", "socks", "http", "mtproto"]),
        port in select(vec![0_i64, 443, 443, 444, 445, 446, 10_085, 65_536]),
        listen in select(vec!["0.0.0.0", "127.0.0.1", "::"]),
        tag in prop::option::of(tag()),
        (network, security) in (
            select(vec!["raw", "tcp", "ws", "kcp", "hysteria", "odd"]),
            select(vec!["none", "none", "tls", "reality", "odd"]),
        ),
        flow in select(vec!["", "", "xtls-rprx-vision", "odd"]),
        (settings, stream) in (junk(), stream()),
        sniffing in select(vec![json!(null), json!({}), json!(1)]),
        (position, enabled, deleted) in (-2_i64..3, prop::bool::weighted(0.9), prop::bool::weighted(0.1)),
    ) -> Value {
        json!({
            "nodeId": 1, "protocol": protocol, "port": port, "listen": listen, "tag": tag, "network": network, "security": security,
            "flow": flow, "settings": settings, "streamSettings": stream, "sniffing": sniffing, "position": position, "enabled": enabled,
            "deletedAt": deleted.then_some("2026-01-01T00:00:00Z"),
        })
    }
}

prop_compose! {
    fn outbound()(
        tag in tag(),
        protocol in select(vec!["freedom", "blackhole", "vless", "odd"]),
        config in select(vec![
            json!({}), json!(null), json!({"tag": "x"}), json!({"sendThrough": "a.test"}), json!({"mux": {"concurrency": "8"}}),
            json!({"settings": {"address": "192.0.2.1"}}),
        ]),
        (position, enabled) in (-2_i64..3, prop::bool::weighted(0.9)),
    ) -> Value {
        json!({"nodeId": 1, "tag": tag, "protocol": protocol, "config": config, "position": position, "enabled": enabled})
    }
}

prop_compose! {
    fn balancer()(
        tag in tag(),
        config in select(vec![
            json!({}), json!({"selector": ["exit-"]}), json!({"selector": ["a", "b"], "strategy": {"type": "leastPing"}}), json!([]),
            json!({"selector": [""]}), json!({"selector": ["exit"], "fallbackTag": "a"}), json!({"selector": ["a"], "strategy": {"type": 1}}),
        ]),
    ) -> Value {
        json!({"nodeId": 1, "tag": tag, "config": config})
    }
}

prop_compose! {
    fn rule()(
        rule in select(vec![
            json!({}), json!({"ip": ["10.0.0.0/8"]}), json!({"domain": []}), json!({"typo": 1}), json!(null), json!({"port": "1", "outboundTag": "x"}),
        ]),
        outbound in prop::option::of(1_i64..9),
        balancer in prop::option::weighted(0.3, tag()),
        (position, enabled) in (-2_i64..3, prop::bool::weighted(0.9)),
    ) -> Value {
        json!({"nodeId": 1, "rule": rule, "outboundId": outbound, "balancerTag": balancer, "position": position, "enabled": enabled})
    }
}

fn numbered(rows: Vec<Value>) -> Vec<Value> {
    let rows = rows.into_iter().zip(1_i64..);
    rows.map(|(mut row, id)| {
        row["id"] = id.into();
        row
    })
    .collect()
}

/// Four people, two of whom share what VLESS tells clients by; some of them on each inbound.
fn catalogue() -> impl Strategy<Value = Catalog> {
    let rows = (
        prop::collection::vec(inbound(), 0..7),
        prop::collection::vec(outbound(), 0..6),
        prop::collection::vec(balancer(), 0..4),
        prop::collection::vec(rule(), 0..5),
        prop::collection::vec((1_i64..8, 1_i64..5), 0..20),
    );
    rows.prop_map(|(inbounds, outbounds, balancers, rules, members)| {
        let uuid = |id: i64| format!("00000000-0000-4{:03}-8000-00000000000{}", id, id / 2);
        let each = |row: &dyn Fn(i64) -> Value| (1..=4).map(row).collect::<Vec<_>>();
        let count = i64::try_from(inbounds.len()).unwrap();
        let members: BTreeSet<(i64, i64)> = members.into_iter().filter(|(inbound, _)| *inbound <= count).collect();
        let mut catalog: Catalog = serde_json::from_value(json!({
            "users": each(&|id| json!({"id": id, "name": "x", "status": if id == 4 { "disabled" } else { "active" }})),
            "links": each(&|id| json!({"id": id, "userId": id, "name": "x"})),
            "subscriptionLinks": each(&|id| json!({"id": id, "uuid": uuid(id), "linkId": id})),
            "nodeProtocols": numbered(inbounds),
            "nodeProtocolLinks": members.iter().map(|(inbound, ls)| json!({"protoId": inbound, "lsId": ls})).collect::<Vec<_>>(),
            "nodeOutbounds": numbered(outbounds),
            "nodeBalancers": numbered(balancers),
            "nodeRoutingRules": numbered(rules),
        }))
        .unwrap();
        catalog
            .node_protocol_links
            .iter_mut()
            .for_each(|member| member.slot = Some(member.ls_id.0 + 1));
        catalog
    })
}

fn rendered(catalog: &Catalog) -> Rendered {
    render(&node(true), &Snapshot::new(catalog.clone()), Time::default())
}

/// The same rows in another order.
fn reversed(catalog: &Catalog) -> Catalog {
    let mut other = catalog.clone();
    other.node_protocols.reverse();
    other.node_outbounds.reverse();
    other.node_balancers.reverse();
    other.node_routing_rules.reverse();
    other.subscription_links.reverse();
    other.node_protocol_links.reverse();
    other
}

/// The rows that were not left out.
fn kept(catalog: &Catalog, rendered: &Rendered) -> Catalog {
    let out: BTreeSet<(&str, i64)> = rendered.problems.iter().map(|it| (it.table, it.id)).collect();
    let stays = |table, id| !out.contains(&(table, id));
    let mut kept = catalog.clone();
    kept.node_protocols.retain(|row| stays("node_protocols", row.id.0));
    kept.node_outbounds.retain(|row| stays("node_outbounds", row.id.0));
    kept.node_balancers.retain(|row| stays("node_balancers", row.id));
    kept.node_routing_rules
        .retain(|row| stays("node_routing_rules", row.id));
    kept.subscription_links
        .retain(|row| stays("subscription_links", row.id.0));
    let inbounds: BTreeSet<ProtocolId> = kept.node_protocols.iter().map(|row| row.id).collect();
    kept.node_protocol_links.retain(|row| inbounds.contains(&row.proto_id));
    kept
}

/// Every row that should serve is in the config, or among the problems.
fn accounted_for(catalog: &Catalog, rendered: &Rendered) -> Result<(), TestCaseError> {
    let services: Value = serde_json::from_str(&rendered.services).unwrap();
    let count = |pointer: &str| services.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
    let mut problems: HashMap<&str, usize> = HashMap::new();
    for problem in &rendered.problems {
        *problems.entry(problem.table).or_default() += 1;
    }
    let wrong = |table: &str| problems.get(table).copied().unwrap_or(0);
    let outbounds = catalog.node_outbounds.iter().filter(|row| row.enabled).count();
    prop_assert_eq!(count("/xray/outbounds") + wrong("node_outbounds"), outbounds);
    let rules = catalog.node_routing_rules.iter().filter(|row| row.enabled).count();
    prop_assert_eq!(count("/xray/routing/rules") + wrong("node_routing_rules"), rules);
    let balancers = count("/xray/routing/balancers") + wrong("node_balancers");
    prop_assert_eq!(balancers, catalog.node_balancers.len());
    // Those that must not be there without users may be missing besides.
    let inbounds = catalog
        .node_protocols
        .iter()
        .filter(|row| row.enabled && row.deleted_at.is_none());
    let shown = count("/xray/inbounds") + count("/mtproto/inbounds") + wrong("node_protocols");
    prop_assert!(shown <= inbounds.count());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_catalogue_renders(catalog in catalogue()) {
        let first = rendered(&catalog);
        prop_assert_eq!(&first, &rendered(&reversed(&catalog)));
        accounted_for(&catalog, &first)?;
        let again = rendered(&kept(&catalog, &first));
        prop_assert_eq!(again.problems, vec![]);
        let off = render(&node(false), &Snapshot::new(catalog), Time::default());
        prop_assert_eq!(off.client_map, "{}");
    }
}
