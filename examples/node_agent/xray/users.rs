//! What differs between two configs of Xray, where that is only users.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use vpn_core::proto::xray::{
    common::{protocol::User, serial::TypedMessage},
    proxy::{hysteria, shadowsocks, shadowsocks_2022, trojan, vless, vmess},
};

use super::api::typed;

/// Something that a running Xray can be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Let in.
    Add {
        /// The inbound.
        tag: String,
        /// Who.
        user: User,
    },
    /// Keep out. What he has open stays open.
    Remove {
        /// The inbound.
        tag: String,
        /// Who.
        email: String,
    },
}

/// What leads from one config to the other; none if that takes a restart.
pub fn changes(old: &Value, new: &Value) -> Option<Vec<Change>> {
    if structure(old) != structure(new) {
        return None;
    }
    let mut changes = Vec::new();
    for (before, after) in inbounds(old).iter().zip(inbounds(new)) {
        if before == after {
            continue;
        }
        let tag = after["tag"].as_str()?;
        let (mut gone, coming) = (clients(before)?, clients(after)?);
        for (email, client) in coming {
            let was = gone.remove(email);
            if was == Some(client) {
                continue;
            }
            if was.is_some() {
                gone.insert(email, client);
            }
            changes.push(Change::Add {
                tag: tag.to_owned(),
                user: user(after, email, client)?,
            });
        }
        changes.extend(gone.into_keys().map(|email| Change::Remove {
            tag: tag.to_owned(),
            email: email.to_owned(),
        }));
    }
    Some(changes)
}

/// The config without its clients. Users that are not under `clients` (WireGuard's peers, accounts of SOCKS and HTTP) are part of
/// the structure: Xray takes them at its start only.
fn structure(config: &Value) -> Value {
    let mut config = config.clone();
    let inbounds = config.get_mut("inbounds").and_then(Value::as_array_mut);
    for inbound in inbounds.into_iter().flatten() {
        if let Some(clients) = inbound.pointer_mut("/settings/clients") {
            *clients = Value::Null;
        }
    }
    config
}

fn inbounds(config: &Value) -> &[Value] {
    config["inbounds"].as_array().map_or(&[], Vec::as_slice)
}

fn clients(inbound: &Value) -> Option<BTreeMap<&str, &Value>> {
    let clients = inbound.pointer("/settings/clients")?.as_array()?;
    clients
        .iter()
        .map(|client| Some((client["email"].as_str()?, client)))
        .collect()
}

fn user(inbound: &Value, email: &str, client: &Value) -> Option<User> {
    Some(User {
        level: u32::try_from(client["level"].as_u64().unwrap_or_default()).ok()?,
        email: email.to_owned(),
        account: Some(account(inbound, client.as_object()?)?),
    })
}

/// A client's credentials as the API wants them; none for a form that this agent does not know.
fn account(inbound: &Value, client: &Map<String, Value>) -> Option<TypedMessage> {
    let settings = &inbound["settings"];
    let text = |key: &str| client.get(key).and_then(Value::as_str).map(str::to_owned);
    let only = |known: &[&str]| {
        client
            .keys()
            .all(|key| known.contains(&key.as_str()) || ["email", "level"].contains(&key.as_str()))
    };
    match inbound["protocol"].as_str()? {
        "vless" if only(&["id", "flow"]) => {
            let default = settings["flow"].as_str().unwrap_or_default();
            Some(typed(&vless::Account {
                id: text("id")?,
                flow: text("flow").unwrap_or_else(|| default.to_owned()),
            }))
        }
        "vmess" if only(&["id"]) => Some(typed(&vmess::Account { id: text("id")? })),
        "trojan" if only(&["password"]) => Some(typed(&trojan::Account {
            password: text("password")?,
        })),
        "shadowsocks" if only(&["password"]) && settings["method"].as_str()?.starts_with("2022-") => {
            Some(typed(&shadowsocks_2022::Account { key: text("password")? }))
        }
        "shadowsocks" if only(&["password", "method"]) => Some(typed(&shadowsocks::Account {
            password: text("password")?,
            cipher_type: cipher(&text("method")?)?.into(),
        })),
        "hysteria" if only(&["auth"]) => Some(typed(&hysteria::account::Account { auth: text("auth")? })),
        _ => None,
    }
}

/// Xray knows each cipher by two names.
fn cipher(method: &str) -> Option<shadowsocks::CipherType> {
    match method.to_ascii_lowercase().as_str() {
        "aes-128-gcm" | "aead_aes_128_gcm" => Some(shadowsocks::CipherType::Aes128Gcm),
        "aes-256-gcm" | "aead_aes_256_gcm" => Some(shadowsocks::CipherType::Aes256Gcm),
        "chacha20-poly1305" | "chacha20-ietf-poly1305" | "aead_chacha20_poly1305" => {
            Some(shadowsocks::CipherType::Chacha20Poly1305)
        }
        "xchacha20-poly1305" | "xchacha20-ietf-poly1305" | "aead_xchacha20_poly1305" => {
            Some(shadowsocks::CipherType::Xchacha20Poly1305)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(protocol: &str, settings: &Value, clients: &Value) -> Value {
        let mut settings = settings.clone();
        settings["clients"] = clients.clone();
        json!({"inbounds": [{"tag": "in", "protocol": protocol, "settings": settings}], "outbounds": [{"tag": "direct"}]})
    }

    fn names(changes: &[Change]) -> Vec<String> {
        let name = |change: &Change| match change {
            Change::Add { tag, user } => format!("+{tag} {} {}", user.email, user.account.as_ref().unwrap().r#type),
            Change::Remove { tag, email } => format!("-{tag} {email}"),
        };
        changes.iter().map(name).collect()
    }

    #[test]
    fn users_come_go_and_change() {
        let users = |list: &Value| config("vless", &json!({"decryption": "none"}), list);
        let old = users(&json!([{"id": "1", "email": "a"}, {"id": "2", "email": "b"}, {"id": "3", "email": "c"}]));
        let new = users(&json!([{"id": "3", "email": "c"}, {"id": "9", "email": "b"}, {"id": "4", "email": "d"}]));
        let expected = [
            "+in b xray.proxy.vless.Account",
            "+in d xray.proxy.vless.Account",
            "-in a",
            "-in b",
        ];
        assert_eq!(names(&changes(&old, &new).unwrap()), expected);
        assert_eq!(changes(&old, &old), Some(Vec::new()));
    }

    #[test]
    fn every_form_of_credentials_has_its_type() {
        let forms = [
            (
                "vless",
                json!({}),
                json!({"id": "1", "flow": "xtls-rprx-vision"}),
                "vless.Account",
            ),
            ("vmess", json!({}), json!({"id": "1"}), "vmess.Account"),
            ("trojan", json!({}), json!({"password": "1"}), "trojan.Account"),
            (
                "shadowsocks",
                json!({"method": "2022-blake3-aes-256-gcm"}),
                json!({"password": "1"}),
                "shadowsocks_2022.Account",
            ),
            (
                "shadowsocks",
                json!({"method": "aes-256-gcm"}),
                json!({"password": "1", "method": "aes-256-gcm"}),
                "shadowsocks.Account",
            ),
            ("hysteria", json!({}), json!({"auth": "1"}), "hysteria.account.Account"),
        ];
        for (protocol, settings, mut client, account) in forms {
            client["email"] = "a".into();
            let empty = config(protocol, &settings, &json!([]));
            let one = config(protocol, &settings, &json!([client]));
            assert_eq!(
                names(&changes(&empty, &one).unwrap()),
                [format!("+in a xray.proxy.{account}")]
            );
            assert_eq!(names(&changes(&one, &empty).unwrap()), ["-in a"]);
        }
    }

    #[test]
    fn anything_else_takes_a_restart() {
        let old = config("vless", &json!({}), &json!([]));
        let mut new = old.clone();
        new["outbounds"] = json!([]);
        assert_eq!(changes(&old, &new), None);
        assert_eq!(changes(&Value::Null, &old), None);
        let unknown = config(
            "vless",
            &json!({}),
            &json!([{"id": "1", "email": "a", "reverse": {"tag": "r"}}]),
        );
        assert_eq!(changes(&old, &unknown), None);
        let peers =
            |list: Value| json!({"inbounds": [{"tag": "wg", "protocol": "wireguard", "settings": {"peers": list}}]});
        assert_eq!(changes(&peers(json!([])), &peers(json!([{"publicKey": "k"}]))), None);
    }
}
