//! Outbounds, rules, balancers: where traffic goes.

use std::net::IpAddr;

use serde_json::Value;

use crate::model::catalog::{NodeBalancer, NodeOutbound, NodeRoutingRule};

use super::{Taken, is_object, is_tag};

/// Xray's outbound protocols.
const PROTOCOLS: &[&str] = &[
    "freedom",
    "direct",
    "blackhole",
    "block",
    "dns",
    "loopback",
    "http",
    "shadowsocks",
    "socks",
    "vless",
    "vmess",
    "trojan",
    "hysteria",
    "wireguard",
];

/// The conditions of a rule: Xray refuses a rule without one.
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

/// What a rule may hold besides: Xray ignores a typo, and the condition with it.
const BESIDES: &[&str] = &["type", "ruleTag", "webhook"];

/// Xray's balancing strategies, and whether they need to know which outbounds are up.
const STRATEGIES: &[(&str, bool)] = &[
    ("random", false),
    ("roundRobin", false),
    ("leastPing", true),
    ("leastLoad", true),
];

/// Checks an outbound; takes its tag.
pub fn outbound(row: &NodeOutbound, taken: &mut Taken) -> Result<(), String> {
    is_tag(&row.tag)?;
    is_object("config", &row.config)?;
    if !PROTOCOLS.contains(&row.protocol.as_str()) {
        return Err(format!(
            "protocol {} is not one of {}",
            row.protocol,
            PROTOCOLS.join(", ")
        ));
    }
    if let Some(own) = ["tag", "protocol"].iter().find(|key| row.config.get(**key).is_some()) {
        return Err(format!("config.{own} is a column of its own"));
    }
    if let Some(via) = row.config.get("sendThrough") {
        send_through(via)?;
    }
    if row.config.pointer("/mux/concurrency").is_some_and(|it| !it.is_i64()) {
        return Err("config.mux.concurrency must be an integer".to_owned());
    }
    encrypted(row)?;
    taken.tag(&row.tag)
}

/// Checks a routing rule by itself.
pub fn rule(row: &NodeRoutingRule) -> Result<(), String> {
    is_object("rule", &row.rule)?;
    let fields = row.rule.as_object().into_iter().flatten();
    for (key, value) in fields {
        match key.as_str() {
            "outboundTag" | "balancerTag" => return Err(format!("rule.{key} is a column of its own")),
            key if CONDITIONS.contains(&key) => {
                if is_empty(value) {
                    return Err(format!("rule.{key} is empty"));
                }
            }
            key if BESIDES.contains(&key) => {}
            key => return Err(format!("rule.{key} is not a condition of Xray")),
        }
    }
    if !CONDITIONS.iter().any(|key| row.rule.get(*key).is_some()) {
        return Err("rule has no condition".to_owned());
    }
    Ok(())
}

/// Checks a balancer over these outbounds; says whether it needs an observatory.
pub fn balancer(row: &NodeBalancer, outbounds: &[String], taken: &mut Taken) -> Result<bool, String> {
    is_tag(&row.tag)?;
    is_object("config", &row.config)?;
    if row.config.get("tag").is_some() {
        return Err("config.tag is a column of its own".to_owned());
    }
    let prefixes = selector(&row.config).ok_or("config.selector must list prefixes of outbound tags")?;
    if let Some(idle) = prefixes
        .iter()
        .find(|prefix| !outbounds.iter().any(|tag| tag.starts_with(**prefix)))
    {
        return Err(format!("config.selector {idle} fits no outbound of the node"));
    }
    let strategy = row
        .config
        .pointer("/strategy/type")
        .map_or(Some("random"), Value::as_str)
        .unwrap_or_default();
    let Some((_, observing)) = STRATEGIES.iter().find(|(name, _)| *name == strategy) else {
        return Err(format!("config.strategy.type {strategy} is unknown"));
    };
    let fallback = row
        .config
        .get("fallbackTag")
        .map(|tag| tag.as_str().unwrap_or_default());
    if let Some(tag) = fallback.filter(|tag| !outbounds.iter().any(|other| other == tag)) {
        return Err(format!("config.fallbackTag {tag} is not an outbound of the node"));
    }
    taken.tag(&row.tag)?;
    Ok(*observing || fallback.is_some())
}

/// The prefixes of outbound tags that a balancer chooses from.
pub fn selector(config: &Value) -> Option<Vec<&str>> {
    let prefixes: Option<Vec<&str>> = config.get("selector")?.as_array()?.iter().map(Value::as_str).collect();
    prefixes.filter(|prefixes| !prefixes.is_empty() && prefixes.iter().all(|prefix| !prefix.is_empty()))
}

/// Xray refuses a domain here.
fn send_through(via: &Value) -> Result<(), String> {
    let text = via.as_str().unwrap_or_default();
    let address = text.split('/').next().unwrap_or_default();
    let fits = matches!(text, "origin" | "srcip") || address.parse::<IpAddr>().is_ok();
    if fits {
        Ok(())
    } else {
        Err("config.sendThrough must be an address, a network, origin or srcip".to_owned())
    }
}

/// Xray refuses VLESS and Trojan to a public address in plain text.
fn encrypted(row: &NodeOutbound) -> Result<(), String> {
    if !matches!(row.protocol.as_str(), "vless" | "trojan") {
        return Ok(());
    }
    let security = row
        .config
        .pointer("/streamSettings/security")
        .and_then(Value::as_str)
        .unwrap_or("none");
    let address = [
        "/settings/address",
        "/settings/vnext/0/address",
        "/settings/servers/0/address",
    ]
    .iter()
    .find_map(|path| row.config.pointer(path)?.as_str());
    let public = address
        .and_then(|it| it.parse::<IpAddr>().ok())
        .is_some_and(|ip| match ip {
            IpAddr::V4(ip) => !(ip.is_private() || ip.is_loopback() || ip.is_link_local()),
            IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unique_local()),
        });
    let encryption = row
        .config
        .pointer("/settings/encryption")
        .or_else(|| row.config.pointer("/settings/vnext/0/users/0/encryption"));
    let wrapped = encryption.and_then(Value::as_str).is_some_and(|it| it != "none");
    if public && security == "none" && !wrapped {
        return Err(format!(
            "config.streamSettings.security must not be none for {} to a public address",
            row.protocol
        ));
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty() || items.iter().any(is_empty),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
