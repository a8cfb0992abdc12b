//! `services.xray`: an Xray root object that the engine loads as it is. Shapes: Xray-core's `infra/conf`.

use serde_json::{Map, Value, json};

use crate::model::catalog::{NodeBalancer, NodeOutbound, NodeProtocol, VpnProtocol};

use super::{
    check::{addresses, inbound_tag},
    credentials::{SHADOWSOCKS_2022, shadowsocks_2022_key, wireguard_public_key},
    snapshot::Client,
};

/// What goes into the root.
#[derive(Default)]
#[allow(missing_docs, reason = "the fields of Xray's root")]
pub struct Root {
    pub inbounds: Vec<Value>,
    pub outbounds: Vec<Value>,
    pub rules: Vec<Value>,
    pub balancers: Vec<Value>,
    /// The prefixes of outbounds that must be watched: balancers choose by what is up.
    pub observed: Vec<String>,
}

/// The root. Statistics are always on: without `stats` Xray starts and counts nothing.
pub fn root(parts: Root) -> Value {
    let Root {
        inbounds,
        outbounds,
        rules,
        balancers,
        observed,
    } = parts;
    let mut routing = json!({"domainStrategy": "AsIs", "rules": rules});
    if !balancers.is_empty() {
        routing["balancers"] = balancers.into();
    }
    let mut root = json!({
        "log": {"loglevel": "warning", "access": "none"},
        "api": {
            "tag": "api",
            "listen": "127.0.0.1:10085",
            "services": ["HandlerService", "StatsService", "RoutingService"],
        },
        "stats": {},
        "policy": policy(),
        "routing": routing,
    });
    if !observed.is_empty() {
        root["observatory"] = json!({"subjectSelector": observed, "probeInterval": "30s"});
    }
    root["inbounds"] = inbounds.into();
    root["outbounds"] = outbounds.into();
    root
}

/// An inbound without its users: the structure.
pub fn inbound(row: &NodeProtocol) -> Value {
    let mut settings = row.settings.as_object().cloned().unwrap_or_default();
    match row.protocol {
        VpnProtocol::Vless => {
            settings.entry("decryption").or_insert_with(|| "none".into());
        }
        // With users of its own the inbound must not have these.
        VpnProtocol::Shadowsocks if shadowsocks_2022(row).is_none() => {
            settings.remove("method");
            settings.remove("password");
        }
        VpnProtocol::Hysteria => {
            settings.insert("version".to_owned(), 2.into());
        }
        VpnProtocol::Socks => {
            settings.insert("auth".to_owned(), "password".into());
        }
        _ => {}
    }
    let mut inbound = json!({
        "tag": inbound_tag(row),
        "listen": row.listen.to_string(),
        "port": row.port,
        "protocol": row.protocol.as_str(),
        "settings": settings,
    });
    if !matches!(
        row.protocol,
        VpnProtocol::Wireguard | VpnProtocol::Socks | VpnProtocol::Http
    ) {
        inbound["streamSettings"] = stream(row);
    }
    if row.sniffing.is_object() {
        inbound["sniffing"] = row.sniffing.clone();
    }
    inbound
}

/// Where an inbound's settings hold its users.
pub const fn users_key(protocol: VpnProtocol) -> &'static str {
    match protocol {
        VpnProtocol::Wireguard => "peers",
        VpnProtocol::Socks | VpnProtocol::Http => "accounts",
        _ => "clients",
    }
}

/// A Shadowsocks 2022 inbound without users would let in whoever has the server's key, and one of socks or http whoever knocks.
pub fn needs_users(row: &NodeProtocol) -> bool {
    matches!(
        row.protocol,
        VpnProtocol::Shadowsocks | VpnProtocol::Socks | VpnProtocol::Http
    )
}

/// The users of an inbound.
pub fn users(row: &NodeProtocol, clients: &[Client]) -> Value {
    clients.iter().map(|client| user(row, client)).collect()
}

/// An outbound: the row's own fields under its tag and protocol.
pub fn outbound(row: &NodeOutbound) -> Value {
    let mut outbound = row.config.as_object().cloned().unwrap_or_default();
    outbound.insert("tag".to_owned(), row.tag.clone().into());
    outbound.insert("protocol".to_owned(), row.protocol.clone().into());
    Value::Object(outbound)
}

/// A balancer: the row's own fields under its tag.
pub fn balancer(row: &NodeBalancer) -> Value {
    let mut balancer = row.config.as_object().cloned().unwrap_or_default();
    balancer.insert("tag".to_owned(), row.tag.clone().into());
    Value::Object(balancer)
}

/// A rule with its target, under `outboundTag` or `balancerTag`.
pub fn rule(rule: &Value, kind: &str, target: &str) -> Value {
    let mut rule = rule.as_object().cloned().unwrap_or_default();
    rule.insert(kind.to_owned(), target.into());
    Value::Object(rule)
}

fn policy() -> Value {
    json!({
        "levels": {"0": {
            "handshake": 4,
            "connIdle": 300,
            "uplinkOnly": 2,
            "downlinkOnly": 5,
            "statsUserUplink": true,
            "statsUserDownlink": true,
            "statsUserOnline": true,
        }},
        "system": {
            "statsInboundUplink": true,
            "statsInboundDownlink": true,
            "statsOutboundUplink": true,
            "statsOutboundDownlink": true,
        },
    })
}

fn stream(row: &NodeProtocol) -> Value {
    let mut stream = row.stream_settings.as_object().cloned().unwrap_or_default();
    stream.insert("network".to_owned(), row.network.clone().into());
    stream.insert("security".to_owned(), row.security.clone().into());
    if row.protocol == VpnProtocol::Hysteria {
        let hysteria = stream.entry("hysteriaSettings").or_insert_with(|| json!({}));
        hysteria["version"] = 2.into();
    }
    Value::Object(stream)
}

fn shadowsocks_2022(row: &NodeProtocol) -> Option<usize> {
    let method = row.settings.get("method")?.as_str()?;
    SHADOWSOCKS_2022
        .iter()
        .find(|(name, _)| *name == method)
        .map(|(_, length)| *length)
}

fn user(row: &NodeProtocol, client: &Client) -> Value {
    let (email, uuid) = (client.email(row.id), client.uuid);
    let mut user = Map::new();
    let mut put = |key: &str, value: Value| user.insert(key.to_owned(), value);
    match row.protocol {
        VpnProtocol::Socks | VpnProtocol::Http => {
            put("user", email.into());
            put("pass", uuid.to_string().into());
            return Value::Object(user);
        }
        VpnProtocol::Trojan => put("password", uuid.to_string().into()),
        VpnProtocol::Hysteria => put("auth", uuid.to_string().into()),
        VpnProtocol::Wireguard => {
            put("allowedIPs", addresses(client, row).unwrap_or_default().into());
            put("publicKey", wireguard_public_key(uuid).into())
        }
        VpnProtocol::Shadowsocks => match shadowsocks_2022(row) {
            Some(length) => put("password", shadowsocks_2022_key(uuid, length).into()),
            None => {
                put("method", row.settings["method"].clone());
                put("password", uuid.to_string().into())
            }
        },
        VpnProtocol::Vless | VpnProtocol::Vmess | VpnProtocol::Mtproto => put("id", uuid.to_string().into()),
    };
    put("email", email.into());
    put("level", 0.into());
    if !row.flow.is_empty() {
        put("flow", row.flow.clone().into());
    }
    Value::Object(user)
}
