//! What the engines would accept although it is wrong: such a row is left out alone, and named on its node.

use std::{collections::HashSet, net::IpAddr};

use serde_json::Value;
use uuid::Uuid;

use crate::model::catalog::{NodeOutbound, NodeProtocol, NodeRoutingRule, VpnProtocol};

use super::snapshot::Client;

/// The tags that are Core's own.
const RESERVED: &[&str] = &["api"];

/// The longest tag, and the longest name of a client: telemt takes no more.
const NAME_MAX: usize = 64;

/// The conditions of a routing rule: Xray refuses one without.
const CONDITIONS: &[&str] = &[
    "domain",
    "ip",
    "port",
    "network",
    "sourceIP",
    "source",
    "sourcePort",
    "user",
    "inboundTag",
    "protocol",
    "attrs",
    "localIP",
    "localPort",
    "vlessRoute",
    "process",
];

/// What was rendered before on the same node.
#[derive(Debug, Default)]
pub struct Taken {
    tags: HashSet<String>,
    sockets: Vec<(IpAddr, i64)>,
}

/// The tag of an inbound: the row's own, or one made of what it is.
pub fn inbound_tag(row: &NodeProtocol) -> String {
    let kind = if row.security == "none" {
        &row.network
    } else {
        &row.security
    };
    row.tag.clone().unwrap_or_else(|| match row.protocol {
        VpnProtocol::Mtproto => format!("mtproto-{}", row.id),
        protocol => format!("{protocol}-{kind}-{}", row.id),
    })
}

/// Checks an inbound; takes its tag and its port.
pub fn inbound(row: &NodeProtocol, taken: &mut Taken) -> Result<(), String> {
    let tag = inbound_tag(row);
    is_tag(&tag)?;
    if !(1..=65535).contains(&row.port) {
        return Err(format!("port {} is not between 1 and 65535", row.port));
    }
    is_object("settings", &row.settings)?;
    is_object("streamSettings", &row.stream_settings)?;
    if !row.sniffing.is_null() {
        is_object("sniffing", &row.sniffing)?;
    }
    if let Some(own) = ["clients", "users"]
        .iter()
        .find(|key| row.settings.get(**key).is_some())
    {
        return Err(format!("settings.{own} is made by Core"));
    }
    match row.protocol {
        VpnProtocol::Vless | VpnProtocol::Trojan => stream(row)?,
        VpnProtocol::Mtproto => {
            if row
                .settings
                .get("tlsDomain")
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                return Err("settings.tlsDomain is missing".to_owned());
            }
        }
        other => return Err(format!("protocol {other} can't be rendered by this version")),
    }
    if taken
        .sockets
        .iter()
        .any(|(ip, port)| *port == row.port && overlap(*ip, row.listen))
    {
        return Err(format!(
            "{}:{} is taken by another inbound of the node",
            row.listen, row.port
        ));
    }
    if !taken.tags.insert(tag.clone()) {
        return Err(format!("tag {tag} is taken by another row of the node"));
    }
    taken.sockets.push((row.listen, row.port));
    Ok(())
}

/// Checks an outbound; takes its tag.
pub fn outbound(row: &NodeOutbound, taken: &mut Taken) -> Result<(), String> {
    is_tag(&row.tag)?;
    is_object("config", &row.config)?;
    if row.protocol.is_empty() {
        return Err("protocol is empty".to_owned());
    }
    if let Some(own) = ["tag", "protocol"].iter().find(|key| row.config.get(**key).is_some()) {
        return Err(format!("config.{own} is a column of its own"));
    }
    if !taken.tags.insert(row.tag.clone()) {
        return Err(format!("tag {} is taken by another row of the node", row.tag));
    }
    Ok(())
}

/// Checks a routing rule.
pub fn rule(row: &NodeRoutingRule) -> Result<(), String> {
    is_object("rule", &row.rule)?;
    if let Some(own) = ["outboundTag", "balancerTag"]
        .iter()
        .find(|key| row.rule.get(**key).is_some())
    {
        return Err(format!("rule.{own} is a column of its own"));
    }
    if !CONDITIONS
        .iter()
        .any(|key| row.rule.get(*key).is_some_and(|value| !is_empty(value)))
    {
        return Err("rule has no condition".to_owned());
    }
    Ok(())
}

/// Keeps the clients of an inbound that can be told apart; gives the others with what is wrong with them. VLESS ignores the bytes 6 and 7 of
/// an id.
pub fn clients(clients: Vec<Client>, row: &NodeProtocol) -> (Vec<Client>, Vec<(Client, String)>) {
    let mut seen = HashSet::new();
    let mut bad = Vec::new();
    let good = clients
        .into_iter()
        .filter(|client| {
            let wrong = if client.email(row.id).len() > NAME_MAX {
                Some(format!("{} is longer than {NAME_MAX} characters", client.email(row.id)))
            } else if !seen.insert(distinct(client.uuid)) {
                Some(format!("the uuid is that of another client of inbound {}", row.id))
            } else {
                None
            };
            let fine = wrong.is_none();
            bad.extend(wrong.map(|wrong| (*client, wrong)));
            fine
        })
        .collect();
    (good, bad)
}

fn distinct(uuid: Uuid) -> [u8; 16] {
    let mut bytes = uuid.into_bytes();
    bytes[6] = 0;
    bytes[7] = 0;
    bytes
}

fn stream(row: &NodeProtocol) -> Result<(), String> {
    const NETWORKS: &[&str] = &["raw", "tcp", "xhttp", "ws", "grpc", "httpupgrade", "kcp"];
    let (network, security) = (row.network.as_str(), row.security.as_str());
    if !NETWORKS.contains(&network) {
        return Err(format!("network {network} is not one of {}", NETWORKS.join(", ")));
    }
    match security {
        "none" => {}
        "tls" => tls(&row.stream_settings)?,
        "reality" => reality(network, &row.stream_settings)?,
        other => return Err(format!("security {other} is not one of none, tls, reality")),
    }
    match row.flow.as_str() {
        "" => Ok(()),
        _ if row.protocol != VpnProtocol::Vless => Err(format!("flow is refused by {}", row.protocol)),
        "xtls-rprx-vision" if matches!(network, "raw" | "tcp") && security != "none" => Ok(()),
        "xtls-rprx-vision" => Err("flow xtls-rprx-vision needs network raw and security tls or reality".to_owned()),
        other => Err(format!("flow {other} is unknown")),
    }
}

fn tls(stream: &Value) -> Result<(), String> {
    let certificates = stream.pointer("/tlsSettings/certificates").and_then(Value::as_array);
    if certificates.is_none_or(Vec::is_empty) {
        return Err("streamSettings.tlsSettings.certificates is empty".to_owned());
    }
    Ok(())
}

fn reality(network: &str, stream: &Value) -> Result<(), String> {
    if !matches!(network, "raw" | "tcp" | "xhttp" | "grpc") {
        return Err(format!("security reality does not go with network {network}"));
    }
    let settings = stream.get("realitySettings").unwrap_or(&Value::Null);
    for list in ["serverNames", "shortIds"] {
        if settings.get(list).and_then(Value::as_array).is_none_or(Vec::is_empty) {
            return Err(format!("streamSettings.realitySettings.{list} is empty"));
        }
    }
    if settings
        .get("privateKey")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        return Err("streamSettings.realitySettings.privateKey is missing".to_owned());
    }
    if settings.get("target").or_else(|| settings.get("dest")).is_none() {
        return Err("streamSettings.realitySettings.target is missing".to_owned());
    }
    Ok(())
}

fn is_tag(tag: &str) -> Result<(), String> {
    let fits = (1..=NAME_MAX).contains(&tag.len())
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if !fits {
        return Err("tag must be 1 to 64 of A-Z a-z 0-9 _ . -".to_owned());
    }
    if RESERVED.contains(&tag) {
        Err(format!("tag {tag} is reserved"))
    } else {
        Ok(())
    }
}

fn is_object(field: &str, value: &Value) -> Result<(), String> {
    if value.is_object() {
        Ok(())
    } else {
        Err(format!("{field} must be an object"))
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether two listeners on one port get in each other's way: an unspecified address listens everywhere.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || a.is_unspecified() || b.is_unspecified()
}
