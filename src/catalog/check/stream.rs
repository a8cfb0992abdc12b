//! `streamSettings`: how an inbound is reached.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{
    catalog::certificate,
    model::catalog::{NodeProtocol, VpnProtocol},
};

/// Xray's networks for inbounds; `tcp` is the old name of `raw`, and so on.
const NETWORKS: &[&str] = &["raw", "tcp", "xhttp", "ws", "grpc", "httpupgrade", "kcp"];

/// What `streamSettings` may hold: Xray ignores a typo, and the setting with it.
const KNOWN: &[&str] = &[
    "tcpSettings",
    "rawSettings",
    "xhttpSettings",
    "splithttpSettings",
    "wsSettings",
    "grpcSettings",
    "httpupgradeSettings",
    "kcpSettings",
    "hysteriaSettings",
    "tlsSettings",
    "realitySettings",
    "sockopt",
    "finalmask",
];

/// Checks the stream of an inbound that Xray serves over TCP-like networks.
pub fn check(row: &NodeProtocol) -> Result<(), String> {
    let network = row.network.as_str();
    if !NETWORKS.contains(&network) {
        return Err(format!("network {network} is not one of {}", NETWORKS.join(", ")));
    }
    known(&row.stream_settings)?;
    match row.security.as_str() {
        "none" => {}
        "tls" => tls(&row.stream_settings)?,
        "reality" => reality(network, &row.stream_settings)?,
        other => return Err(format!("security {other} is not one of none, tls, reality")),
    }
    mode(network, &row.stream_settings)?;
    flow(row)
}

/// Checks the stream of a Hysteria inbound: its own network, always TLS.
pub fn hysteria(row: &NodeProtocol) -> Result<(), String> {
    if row.network != "hysteria" {
        return Err("network must be hysteria".to_owned());
    }
    if row.security != "tls" {
        return Err("security must be tls".to_owned());
    }
    known(&row.stream_settings)?;
    tls(&row.stream_settings)?;
    flow(row)
}

fn known(stream: &Value) -> Result<(), String> {
    let own = ["network", "security"];
    let Some(fields) = stream.as_object() else {
        return Ok(());
    };
    match fields.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        Some(key) if own.contains(&key.as_str()) => Err(format!("streamSettings.{key} is a column of its own")),
        Some(key) => Err(format!("streamSettings.{key} is not a setting of Xray")),
        None => match fields.iter().find(|(_, value)| !value.is_object() && !value.is_null()) {
            Some((key, _)) => Err(format!("streamSettings.{key} must be an object")),
            None => Ok(()),
        },
    }
}

fn flow(row: &NodeProtocol) -> Result<(), String> {
    let on_raw = matches!(row.network.as_str(), "raw" | "tcp") && row.security != "none";
    match row.flow.as_str() {
        "" => Ok(()),
        _ if row.protocol != VpnProtocol::Vless => Err(format!("flow is refused by {}", row.protocol)),
        "xtls-rprx-vision" if on_raw => Ok(()),
        "xtls-rprx-vision" => Err("flow xtls-rprx-vision needs network raw and security tls or reality".to_owned()),
        other => Err(format!("flow {other} is unknown")),
    }
}

fn mode(network: &str, stream: &Value) -> Result<(), String> {
    let mode = stream
        .pointer("/xhttpSettings/mode")
        .and_then(Value::as_str)
        .unwrap_or("auto");
    if network == "xhttp" && !["auto", "packet-up", "stream-up", "stream-one", ""].contains(&mode) {
        return Err(format!("streamSettings.xhttpSettings.mode {mode} is unknown"));
    }
    Ok(())
}

fn tls(stream: &Value) -> Result<(), String> {
    let certificates = stream.pointer("/tlsSettings/certificates").and_then(Value::as_array);
    let certificates = certificates.filter(|list| !list.is_empty());
    let certificates = certificates.ok_or("streamSettings.tlsSettings.certificates is empty")?;
    certificates.iter().enumerate().try_for_each(|(at, entry)| {
        certificate::check(entry).map_err(|wrong| format!("streamSettings.tlsSettings.certificates[{at}]: {wrong}"))
    })
}

fn reality(network: &str, stream: &Value) -> Result<(), String> {
    if !matches!(network, "raw" | "tcp" | "xhttp" | "grpc") {
        return Err(format!("security reality does not go with network {network}"));
    }
    let settings = stream.get("realitySettings").unwrap_or(&Value::Null);
    let wrong = |field: &str, what: &str| Err(format!("streamSettings.realitySettings.{field} {what}"));
    let texts = |field: &str| -> Option<Vec<&str>> {
        settings
            .get(field)?
            .as_array()?
            .iter()
            .map(Value::as_str)
            .collect::<Option<Vec<_>>>()
            .filter(|it| !it.is_empty())
    };
    if texts("serverNames").is_none_or(|names| names.iter().any(|name| name.is_empty())) {
        return wrong("serverNames", "must list at least one name");
    }
    let short =
        |id: &&str| id.len() <= 16 && id.len().is_multiple_of(2) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !texts("shortIds").is_some_and(|ids| ids.iter().all(short)) {
        return wrong("shortIds", "must list hex texts of an even length up to 16");
    }
    let key = settings.get("privateKey").and_then(Value::as_str).unwrap_or_default();
    if !URL_SAFE_NO_PAD.decode(key).is_ok_and(|key| key.len() == 32) {
        return wrong("privateKey", "must be 32 bytes in base64url");
    }
    let target = settings.get("target").or_else(|| settings.get("dest"));
    let named = target.is_some_and(|it| it.is_number() || it.as_str().is_some_and(|text| !text.is_empty()));
    if named { Ok(()) } else { wrong("target", "is missing") }
}
