//! telemt's config file for one MTProto inbound.

use serde_json::Value as Json;
use toml::{Table, Value};

/// A field of a user as telemt has it; none = not set.
type Field = fn(&Json) -> Option<Value>;

/// The ports that the agent gave a telemt process, both on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Prometheus.
    pub metrics: u16,
    /// telemt's own API.
    pub api: u16,
}

/// Writes the file. `[access.users]` is always there: without it telemt opens with a user of its own whose secret everybody knows.
pub fn render(inbound: &Json, ports: Ports) -> Result<String, String> {
    let tag = inbound["tag"].as_str().unwrap_or_default();
    let mut root = Table::new();
    root.insert("general".to_owned(), general(inbound).into());
    root.insert("server".to_owned(), server(inbound, ports).into());
    root.insert(
        "censorship".to_owned(),
        censorship(inbound).map_err(|error| format!("{tag}: {error}"))?.into(),
    );
    if let Some(upstreams) = inbound["upstreams"].as_array().filter(|it| !it.is_empty()) {
        let upstreams: Vec<Value> = upstreams.iter().filter_map(toml_of).collect();
        root.insert("upstreams".to_owned(), upstreams.into());
    }
    root.insert(
        "access".to_owned(),
        access(inbound).map_err(|error| format!("{tag}: {error}"))?.into(),
    );
    toml::to_string(&root).map_err(|error| format!("{tag}: {error}"))
}

fn general(inbound: &Json) -> Table {
    let mut general = Table::new();
    let public = table([
        ("public_host", toml_of(&inbound["publicHost"])),
        ("public_port", toml_of(&inbound["publicPort"])),
    ]);
    general.insert("use_middle_proxy".to_owned(), flag(&inbound["useMiddleProxy"]));
    insert(&mut general, "ad_tag", toml_of(&inbound["adTag"]));
    let modes = ["classic", "secure", "tls"].map(|mode| (mode, Some(flag(&inbound["modes"][mode]))));
    general.insert("modes".to_owned(), table(modes).into());
    general.insert("links".to_owned(), public.into());
    general
}

fn server(inbound: &Json, ports: Ports) -> Table {
    let listener = table([("ip", toml_of(&inbound["listen"]))]);
    let api = table([
        ("enabled", Some(true.into())),
        ("listen", Some(format!("127.0.0.1:{}", ports.api).into())),
        ("read_only", Some(true.into())),
        ("runtime_edge_enabled", Some(true.into())),
    ]);
    table([
        ("port", toml_of(&inbound["port"])),
        ("proxy_protocol", Some(flag(&inbound["proxyProtocol"]))),
        ("metrics_listen", Some(format!("127.0.0.1:{}", ports.metrics).into())),
        ("metrics_whitelist", Some(vec!["127.0.0.1/32"].into())),
        ("api", Some(api.into())),
        ("listeners", Some(vec![listener].into())),
    ])
}

/// `tls_domain` has a default of its own that is known everywhere, so that none is an error.
fn censorship(inbound: &Json) -> Result<Table, String> {
    let domain = inbound["tlsDomain"].as_str().filter(|it| !it.is_empty());
    let domain = domain.ok_or("tlsDomain is missing")?;
    let mask = &inbound["mask"];
    Ok(table([
        ("tls_domain", Some(domain.into())),
        ("tls_domains", toml_of(&inbound["tlsDomains"])),
        ("mask", Some(flag(&mask["enabled"]))),
        ("mask_host", toml_of(&mask["host"])),
        ("mask_port", toml_of(&mask["port"])),
        ("tls_emulation", Some(flag(&mask["tlsEmulation"]))),
    ]))
}

fn access(inbound: &Json) -> Result<Table, String> {
    let users = inbound["users"].as_array().filter(|users| !users.is_empty());
    let users = users.ok_or("an inbound without users must not run")?;
    let mut access = Table::new();
    insert(
        &mut access,
        "user_max_unique_ips_mode",
        toml_of(&inbound["uniqueIps"]["mode"]),
    );
    insert(
        &mut access,
        "user_max_unique_ips_window_secs",
        toml_of(&inbound["uniqueIps"]["windowSecs"]),
    );
    let mut by_name = |list: &str, field: Field| {
        let mut table = Table::new();
        for user in users {
            insert(&mut table, user["username"].as_str()?, field(user));
        }
        if !table.is_empty() || list == "users" {
            access.insert(list.to_owned(), table.into());
        }
        Some(())
    };
    let lists: [(&str, Field); 7] = [
        ("users", |user| toml_of(&user["secret"])),
        ("user_ad_tags", |user| toml_of(&user["adTag"])),
        ("user_max_tcp_conns", |user| toml_of(&user["maxTcpConns"])),
        ("user_max_unique_ips", |user| toml_of(&user["maxUniqueIps"])),
        ("user_data_quota", |user| toml_of(&user["dataQuotaBytes"])),
        ("user_expirations", |user| toml_of(&user["expiration"])),
        ("user_rate_limits", rate_limits),
    ];
    for (list, field) in lists {
        by_name(list, field).ok_or("a user has no username")?;
    }
    Ok(access)
}

/// Bits a second; 0 = unlimited, but not both.
fn rate_limits(user: &Json) -> Option<Value> {
    let limit = |key: &str| user[key].as_i64().unwrap_or_default();
    let (up, down) = (limit("rateUpBps"), limit("rateDownBps"));
    (up > 0 || down > 0).then(|| table([("up_bps", Some(up.into())), ("down_bps", Some(down.into()))]).into())
}

fn table<const N: usize>(fields: [(&str, Option<Value>); N]) -> Table {
    let mut table = Table::new();
    for (key, value) in fields {
        insert(&mut table, key, value);
    }
    table
}

fn insert(table: &mut Table, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        table.insert(key.to_owned(), value);
    }
}

fn flag(value: &Json) -> Value {
    value.as_bool().unwrap_or_default().into()
}

/// None for null: TOML has none.
fn toml_of(value: &Json) -> Option<Value> {
    Value::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inbound() -> Json {
        json!({
            "tag": "mtproto-18", "protoId": 18, "listen": "127.0.0.1", "port": 20500,
            "tlsDomain": "front.example.test", "tlsDomains": [],
            "modes": {"classic": false, "secure": false, "tls": true},
            "mask": {"enabled": true, "host": "127.0.0.1", "port": 18443, "tlsEmulation": false},
            "publicHost": "edge1.example.test", "publicPort": 20500, "proxyProtocol": false, "useMiddleProxy": false,
            "adTag": null, "uniqueIps": {"mode": "active_window", "windowSecs": 30},
            "upstreams": [{"type": "socks5", "address": "127.0.0.1:20599", "weight": 1}],
            "users": [
                {"username": "u1.l2.s3.i18", "secret": "925b642277854e098c762fb50fdee252", "maxTcpConns": 50, "maxUniqueIps": null,
                 "dataQuotaBytes": null, "expiration": "2027-01-01T00:00:00Z", "rateUpBps": null, "rateDownBps": 8000, "adTag": null},
                {"username": "u4.l5.s6.i18", "secret": "d3a0bd3f5c82492cab6e816f2e576a60", "maxTcpConns": null, "maxUniqueIps": null,
                 "dataQuotaBytes": null, "expiration": null, "rateUpBps": null, "rateDownBps": null, "adTag": null},
            ],
        })
    }

    const PORTS: Ports = Ports {
        metrics: 9090,
        api: 9091,
    };

    #[test]
    fn the_file_says_all_of_it() {
        let text = render(&inbound(), PORTS).unwrap();
        assert!(text.contains("[access.users]"), "{text}");
        assert!(
            text.contains(r#""u1.l2.s3.i18" = "925b642277854e098c762fb50fdee252""#),
            "{text}"
        );
        let file: Table = text.parse().unwrap();
        assert_eq!(file["censorship"]["tls_domain"].as_str(), Some("front.example.test"));
        assert_eq!(file["censorship"]["mask_port"].as_integer(), Some(18443));
        assert_eq!(file["general"]["modes"]["tls"].as_bool(), Some(true));
        assert_eq!(file["server"]["port"].as_integer(), Some(20500));
        assert_eq!(file["server"]["listeners"][0]["ip"].as_str(), Some("127.0.0.1"));
        assert_eq!(file["server"]["metrics_listen"].as_str(), Some("127.0.0.1:9090"));
        assert_eq!(file["upstreams"][0]["type"].as_str(), Some("socks5"));
        let access = &file["access"];
        assert_eq!(access["users"].as_table().unwrap().len(), 2);
        assert_eq!(access["user_max_tcp_conns"]["u1.l2.s3.i18"].as_integer(), Some(50));
        assert_eq!(
            access["user_expirations"]["u1.l2.s3.i18"].as_str(),
            Some("2027-01-01T00:00:00Z")
        );
        assert_eq!(
            access["user_rate_limits"]["u1.l2.s3.i18"]["down_bps"].as_integer(),
            Some(8000)
        );
        assert_eq!(access["user_rate_limits"].as_table().unwrap().len(), 1);
        assert!(access.get("user_data_quota").is_none());
    }

    #[test]
    fn what_would_open_the_door_is_refused() {
        let mut nobody = inbound();
        nobody["users"] = json!([]);
        assert!(render(&nobody, PORTS).unwrap_err().contains("without users"));
        let mut bare = inbound();
        bare["tlsDomain"] = Json::Null;
        assert!(render(&bare, PORTS).unwrap_err().contains("tlsDomain"));
    }
}
