//! What the engines would accept although it is wrong, and what they refuse: such a row is left out alone, and named on its node.
//! Messages begin with the field.

pub mod routing;
mod stream;

use std::{collections::HashSet, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use uuid::Uuid;

use crate::model::catalog::{NodeProtocol, VpnProtocol};

use super::{
    credentials::{SHADOWSOCKS_2022, wireguard_address},
    snapshot::Client,
};

/// The tags that are Core's own.
const RESERVED: &[&str] = &["api"];

/// Where Xray's own API listens by default; an agent may choose another.
const API_PORT: i64 = 10_085;

/// The longest tag, and the longest name of a client: telemt takes no more.
const NAME_MAX: usize = 64;

/// The Shadowsocks methods that need no server key.
const AEAD: &[&str] = &[
    "aes-128-gcm",
    "aes-256-gcm",
    "chacha20-poly1305",
    "chacha20-ietf-poly1305",
    "xchacha20-poly1305",
    "xchacha20-ietf-poly1305",
];

/// What was taken before on the same node.
#[derive(Debug, Default)]
pub struct Taken {
    tags: HashSet<String>,
    sockets: Vec<Socket>,
}

#[derive(Debug, Clone, Copy)]
struct Socket {
    listen: IpAddr,
    port: i64,
    tcp: bool,
    udp: bool,
}

/// The tag of an inbound: the row's own, or one made of what it is.
pub fn inbound_tag(row: &NodeProtocol) -> String {
    let kind = if row.security == "none" {
        &row.network
    } else {
        &row.security
    };
    row.tag.clone().unwrap_or_else(|| match row.protocol {
        protocol @ (VpnProtocol::Vless | VpnProtocol::Vmess | VpnProtocol::Trojan) => {
            format!("{protocol}-{kind}-{}", row.id)
        }
        protocol => format!("{protocol}-{}", row.id),
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
    if let Some(own) = ["clients", "users", "accounts", "peers"]
        .iter()
        .find(|key| row.settings.get(**key).is_some())
    {
        return Err(format!("settings.{own} is made by Core"));
    }
    protocol(row)?;
    let socket = socket(row);
    let api = socket.tcp
        && row.port == API_PORT
        && (row.listen.is_unspecified() || row.listen == IpAddr::from([127, 0, 0, 1]));
    if api && row.protocol != VpnProtocol::Mtproto {
        return Err(format!("port {API_PORT} is where Xray's API listens"));
    }
    if taken.sockets.iter().any(|other| other.clashes(socket)) {
        return Err(format!(
            "port {} on {} is taken by another inbound of the node",
            row.port, row.listen
        ));
    }
    taken.tag(&tag)?;
    taken.sockets.push(socket);
    Ok(())
}

/// Keeps the clients of an inbound that can be told apart; gives the others with what is wrong with them.
pub fn clients(clients: Vec<Client>, row: &NodeProtocol) -> (Vec<Client>, Vec<(Client, String)>) {
    let mut seen = HashSet::with_capacity(clients.len());
    let mut bad = Vec::new();
    let good = clients
        .into_iter()
        .filter(|client| {
            let wrong = client_is_wrong(client, row, &mut seen);
            let fine = wrong.is_none();
            bad.extend(wrong.map(|wrong| (*client, wrong)));
            fine
        })
        .collect();
    (good, bad)
}

impl Taken {
    fn tag(&mut self, tag: &str) -> Result<(), String> {
        if self.tags.insert(tag.to_owned()) {
            Ok(())
        } else {
            Err(format!("tag {tag} is taken by another row of the node"))
        }
    }
}

impl Socket {
    /// Whether two listeners get in each other's way: an unspecified address listens everywhere.
    fn clashes(self, other: Self) -> bool {
        let same_address = self.listen == other.listen || self.listen.is_unspecified() || other.listen.is_unspecified();
        self.port == other.port && same_address && ((self.tcp && other.tcp) || (self.udp && other.udp))
    }
}

fn socket(row: &NodeProtocol) -> Socket {
    let networks = row.settings.get("network").and_then(Value::as_str);
    let (tcp, udp) = match row.protocol {
        VpnProtocol::Hysteria | VpnProtocol::Wireguard => (false, true),
        VpnProtocol::Shadowsocks => {
            let networks = networks.unwrap_or("tcp");
            (networks.contains("tcp"), networks.contains("udp"))
        }
        _ if row.network == "kcp" => (false, true),
        _ => (true, false),
    };
    Socket {
        listen: row.listen,
        port: row.port,
        tcp,
        udp,
    }
}

fn protocol(row: &NodeProtocol) -> Result<(), String> {
    match row.protocol {
        VpnProtocol::Vless => {
            stream::check(row)?;
            vless(&row.settings)
        }
        VpnProtocol::Vmess | VpnProtocol::Trojan => stream::check(row),
        VpnProtocol::Shadowsocks => {
            stream::check(row)?;
            shadowsocks(&row.settings)
        }
        VpnProtocol::Hysteria => stream::hysteria(row),
        VpnProtocol::Wireguard => wireguard(&row.settings),
        VpnProtocol::Socks | VpnProtocol::Http => Ok(()),
        VpnProtocol::Mtproto => mtproto(&row.settings),
    }
}

fn vless(settings: &Value) -> Result<(), String> {
    let decryption = settings.get("decryption").unwrap_or(&Value::Null);
    let plain = decryption.is_null() || decryption == "none";
    if !plain
        && !decryption
            .as_str()
            .is_some_and(|it| it.starts_with("mlkem768x25519plus."))
    {
        return Err("settings.decryption must be none or begin with mlkem768x25519plus.".to_owned());
    }
    if !plain && settings.get("fallbacks").is_some() {
        return Err("settings.fallbacks does not go with decryption".to_owned());
    }
    Ok(())
}

fn shadowsocks(settings: &Value) -> Result<(), String> {
    let method = settings.get("method").and_then(Value::as_str).unwrap_or_default();
    if let Some((_, length)) = SHADOWSOCKS_2022.iter().find(|(name, _)| *name == method) {
        let key = settings.get("password").and_then(Value::as_str).unwrap_or_default();
        let fits = STANDARD.decode(key).is_ok_and(|key| key.len() == *length);
        return if fits {
            Ok(())
        } else {
            Err(format!(
                "settings.password must be {length} bytes in base64 for {method}"
            ))
        };
    }
    if method.starts_with("2022-") {
        return Err(format!("settings.method {method} knows no users"));
    }
    if AEAD.contains(&method) {
        Ok(())
    } else {
        Err(format!("settings.method {method:?} is unknown"))
    }
}

fn wireguard(settings: &Value) -> Result<(), String> {
    let key = settings.get("secretKey").and_then(Value::as_str).unwrap_or_default();
    if !STANDARD.decode(key).is_ok_and(|key| key.len() == 32) {
        return Err("settings.secretKey must be 32 bytes in base64".to_owned());
    }
    let networks = settings
        .get("address")
        .and_then(Value::as_array)
        .filter(|list| !list.is_empty());
    let networks = networks.ok_or("settings.address must list the inbound's networks, such as 10.8.0.1/24")?;
    let fit = networks.iter().all(|it| {
        it.as_str()
            .is_some_and(|network| wireguard_address(network, 2).is_some())
    });
    if fit {
        Ok(())
    } else {
        Err("settings.address must hold networks with room, such as 10.8.0.1/24".to_owned())
    }
}

fn mtproto(settings: &Value) -> Result<(), String> {
    let domain = settings.get("tlsDomain").and_then(Value::as_str).unwrap_or_default();
    let fits = (1..=253).contains(&domain.len())
        && domain.split('.').all(|part| {
            (1..=63).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    if !fits {
        return Err("settings.tlsDomain must be a domain".to_owned());
    }
    let modes = settings.get("modes").filter(|modes| !modes.is_null());
    let none = modes.is_some_and(|modes| {
        !["classic", "secure", "tls"]
            .iter()
            .any(|mode| modes.get(*mode) == Some(&Value::Bool(true)))
    });
    if none {
        Err("settings.modes allows no mode".to_owned())
    } else {
        Ok(())
    }
}

fn client_is_wrong(client: &Client, row: &NodeProtocol, seen: &mut HashSet<[u8; 16]>) -> Option<String> {
    let email = client.email(row.id);
    if email.len() > NAME_MAX {
        return Some(format!("id makes the name {email}, longer than {NAME_MAX} characters"));
    }
    if row.protocol == VpnProtocol::Wireguard && addresses(client, row).is_none() {
        return Some(format!("id has no free address in the networks of inbound {}", row.id));
    }
    // Two secrets that an engine takes for one: bytes would be counted for the wrong user.
    (!seen.insert(distinct(client.uuid))).then(|| format!("uuid is that of another client of inbound {}", row.id))
}

/// The addresses of a client in the networks of a WireGuard inbound.
pub fn addresses(client: &Client, row: &NodeProtocol) -> Option<Vec<String>> {
    let networks = row.settings.get("address")?.as_array()?;
    networks
        .iter()
        .map(|network| wireguard_address(network.as_str()?, client.slot?))
        .collect()
}

/// What VLESS tells a client by: it ignores the bytes 6 and 7 of an id.
pub fn distinct(uuid: Uuid) -> [u8; 16] {
    let mut bytes = uuid.into_bytes();
    bytes[6] = 0;
    bytes[7] = 0;
    bytes
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
