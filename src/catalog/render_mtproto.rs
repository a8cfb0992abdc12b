//! `services.mtproto`: one inbound a telemt process, never without users (telemt would open with its built-in one).

use serde_json::{Value, json};

use crate::model::{catalog::NodeProtocol, node::NodeRecord};

use super::{check::inbound_tag, snapshot::Client};

/// An inbound without its users: the structure.
pub fn inbound(node: &NodeRecord, row: &NodeProtocol) -> Value {
    let own = |key: &str, default: Value| {
        row.settings
            .get(key)
            .filter(|it| !it.is_null())
            .cloned()
            .unwrap_or(default)
    };
    let host = row
        .public_host
        .clone()
        .or_else(|| node.domain.clone())
        .unwrap_or_else(|| node.ip.to_string());
    json!({
        "tag": inbound_tag(row),
        "protoId": row.id,
        "listen": row.listen.to_string(),
        "port": row.port,
        "tlsDomain": own("tlsDomain", Value::Null),
        "tlsDomains": own("tlsDomains", json!([])),
        "modes": own("modes", json!({"classic": false, "secure": false, "tls": true})),
        "mask": own("mask", json!({"enabled": true, "tlsEmulation": false})),
        "publicHost": host,
        "publicPort": row.public_port.unwrap_or(row.port),
        "proxyProtocol": own("proxyProtocol", json!(false)),
        "useMiddleProxy": own("useMiddleProxy", json!(false)),
        "adTag": own("adTag", Value::Null),
        "uniqueIps": own("uniqueIps", json!({"mode": "active_window", "windowSecs": 30})),
        "upstreams": own("upstreams", json!([])),
    })
}

/// The users of an inbound. `dataQuotaBytes` stays null: a quota is of a subscription, not of one process.
pub fn users(row: &NodeProtocol, clients: &[Client]) -> Value {
    clients.iter().map(|client| user(row, client)).collect()
}

fn user(row: &NodeProtocol, client: &Client) -> Value {
    let limits = client.limits;
    json!({
        "username": client.email(row.id),
        "secret": client.uuid.simple().to_string(),
        "maxTcpConns": null,
        "maxUniqueIps": limits.max_ips,
        "dataQuotaBytes": null,
        "expiration": limits.expires_at,
        "rateUpBps": limits.rate_up_bps,
        "rateDownBps": limits.rate_down_bps,
        "adTag": null,
    })
}
