//! `services.xray`: an Xray root object that the engine loads as it is. Shapes: Xray-core's `infra/conf`.

use serde_json::{Map, Value, json};

use crate::model::catalog::{NodeOutbound, NodeProtocol, VpnProtocol};

use super::{check::inbound_tag, snapshot::Client};

/// The root around inbounds, outbounds and rules. Statistics are always on: without `stats` Xray starts and counts nothing.
pub fn root(inbounds: &[Value], outbounds: &[Value], rules: &[Value]) -> Value {
    json!({
        "log": {"loglevel": "warning", "access": "none"},
        "api": {
            "tag": "api",
            "listen": "127.0.0.1:10085",
            "services": ["HandlerService", "StatsService", "RoutingService"],
        },
        "stats": {},
        "policy": {
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
        },
        "inbounds": inbounds,
        "outbounds": outbounds,
        "routing": {"domainStrategy": "AsIs", "rules": rules},
    })
}

/// An inbound with its clients.
pub fn inbound(row: &NodeProtocol, clients: &[Client]) -> Value {
    let mut settings = row.settings.as_object().cloned().unwrap_or_default();
    if row.protocol == VpnProtocol::Vless {
        settings.entry("decryption").or_insert_with(|| "none".into());
    }
    settings.insert(
        "clients".to_owned(),
        clients.iter().map(|client| user(row, client)).collect(),
    );
    let mut stream = row.stream_settings.as_object().cloned().unwrap_or_default();
    stream.insert("network".to_owned(), row.network.clone().into());
    stream.insert("security".to_owned(), row.security.clone().into());
    let mut inbound = json!({
        "tag": inbound_tag(row),
        "listen": row.listen.to_string(),
        "port": row.port,
        "protocol": row.protocol.as_str(),
        "settings": settings,
        "streamSettings": stream,
    });
    if row.sniffing.is_object() {
        inbound["sniffing"] = row.sniffing.clone();
    }
    inbound
}

/// An outbound: the row's own fields under its tag and protocol.
pub fn outbound(row: &NodeOutbound) -> Value {
    let mut outbound = row.config.as_object().cloned().unwrap_or_default();
    outbound.insert("tag".to_owned(), row.tag.clone().into());
    outbound.insert("protocol".to_owned(), row.protocol.clone().into());
    Value::Object(outbound)
}

/// A rule that leads to this outbound.
pub fn rule(rule: &Value, outbound: &str) -> Value {
    let mut rule = rule.as_object().cloned().unwrap_or_default();
    rule.insert("outboundTag".to_owned(), outbound.into());
    Value::Object(rule)
}

fn user(row: &NodeProtocol, client: &Client) -> Value {
    let mut user = Map::new();
    let secret = if row.protocol == VpnProtocol::Trojan {
        "password"
    } else {
        "id"
    };
    user.insert(secret.to_owned(), client.uuid.to_string().into());
    user.insert("email".to_owned(), client.email(row.id).into());
    user.insert("level".to_owned(), 0.into());
    if !row.flow.is_empty() {
        user.insert("flow".to_owned(), row.flow.clone().into());
    }
    Value::Object(user)
}
