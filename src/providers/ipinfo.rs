//! IPinfo: 1,000 addresses a call, with a token. <https://ipinfo.io/developers/batch>

use std::{collections::HashMap, net::IpAddr, time::Duration};

use async_trait::async_trait;
use reqwest::Client;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use url::Url;

use super::{
    Answer, Info, Pace, Provider, ProviderError,
    asking::{self, Said},
    system, text,
};
use crate::model::{Time, presence::parse_ip};

const NAME: &str = "ipinfo";

/// How long it is left alone when it has had enough and does not say for how long: mostly the month's addresses are used up.
const UNSAID: Duration = Duration::from_mins(10);

/// See the module.
pub struct IpInfo {
    client: Client,
    url: Url,
    token: SecretString,
}

impl IpInfo {
    /// The service at this address, with this token.
    pub fn new(base: &Url, token: SecretString) -> Result<Self, String> {
        Ok(Self {
            client: asking::client()?,
            url: asking::batch_url(base)?,
            token,
        })
    }
}

#[async_trait]
impl Provider for IpInfo {
    fn name(&self) -> &'static str {
        NAME
    }

    fn batch_size(&self) -> usize {
        1_000
    }

    /// It names no limit of calls, only of addresses: this one is ours.
    fn pace(&self) -> Pace {
        Pace {
            calls: 30,
            span: Duration::from_mins(1),
        }
    }

    async fn look_up(&self, ips: &[IpAddr], at: Time) -> Result<Answer, ProviderError> {
        let request = self
            .client
            .post(self.url.clone())
            .bearer_auth(self.token.expose_secret())
            .json(&asking::texts(ips));
        let Said { body, .. } = asking::ask(request, UNSAID).await?;
        let infos = decode(ips, &body, at)?;
        Ok(Answer { infos, left: None })
    }
}

/// An answer is an object: an address that was asked for, and what is known of it.
fn decode(ips: &[IpAddr], body: &[u8], at: Time) -> Result<Vec<(IpAddr, Value)>, ProviderError> {
    let items: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| ProviderError::Garbage(format!("it is no object of JSON: {error}")))?;
    let mut found: HashMap<IpAddr, Value> = items
        .into_iter()
        .filter_map(|(key, item)| Some((parse_ip(key.rsplit('/').next()?)?, item)))
        .collect();
    // One address may be left out; that many are means that it answers something else.
    if ips.len() > 1 && !ips.iter().any(|ip| found.contains_key(ip)) {
        return Err(ProviderError::Garbage(
            "it names none of the addresses that were asked for".to_owned(),
        ));
    }
    let info = |ip: &IpAddr| {
        let raw = found.remove(ip).unwrap_or_default();
        (*ip, info(raw, at).into_json())
    };
    Ok(ips.iter().map(info).collect())
}

/// Its three shapes: that of `ipinfo.io` (`org` = number and name, `asn`, `company` and `privacy` with a plan), that of `api.ipinfo.io` (`geo`, `as`,
/// `is_hosting`, `anonymous`), and the small one (`asn`, `as_name`, `country_code`).
fn info(raw: Value, at: Time) -> Info {
    if !raw.is_object() || raw["bogon"] == true {
        return Info::nothing(NAME, at, raw);
    }
    let first = |values: &[&Value]| values.iter().find_map(|value| text(value));
    let (number, name) = system(&raw["org"]);
    let (asn, geo) = (&raw["asn"], &raw["geo"]);
    let system = &raw["as"];
    let country = first(&[&geo["country_code"], &raw["country_code"], &raw["country"]]);
    Info {
        provider: NAME,
        fetched_at: at,
        country: country.filter(|it| it.len() == 2),
        region: first(&[&geo["region"], &raw["region"]]),
        city: first(&[&geo["city"], &raw["city"]]),
        asn: first(&[&system["asn"], &asn["asn"], asn]).or(number),
        org: first(&[&raw["company"]["name"]])
            .or(name)
            .or_else(|| first(&[&system["name"], &raw["as_name"]])),
        isp: first(&[&raw["carrier"]["name"], &asn["name"], &system["name"], &raw["as_name"]]),
        proxy: proxy(&raw),
        hosting: raw["privacy"]["hosting"]
            .as_bool()
            .or_else(|| raw["is_hosting"].as_bool()),
        raw,
    }
}

/// Whether it is a way to hide: true if one is, none if nothing is said.
fn proxy(raw: &Value) -> Option<bool> {
    let (privacy, anonymous) = (&raw["privacy"], &raw["anonymous"]);
    [
        &privacy["vpn"],
        &privacy["proxy"],
        &privacy["tor"],
        &privacy["relay"],
        &raw["is_anonymous"],
        &anonymous["is_vpn"],
        &anonymous["is_proxy"],
        &anonymous["is_tor"],
        &anonymous["is_relay"],
    ]
    .into_iter()
    .filter_map(Value::as_bool)
    .reduce(|one, other| one || other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn told(raw: &Value) -> Value {
        let mut told = info(raw.clone(), Time::from_millis(0)).into_json();
        let fields = told.as_object_mut().unwrap();
        assert_eq!(fields.remove("raw"), Some(raw.clone()));
        assert_eq!(fields.remove("provider"), Some(json!("ipinfo")));
        assert_eq!(fields.remove("fetchedAt"), Some(json!("1970-01-01T00:00:00Z")));
        told
    }

    #[test]
    fn its_shapes_are_told_in_our_words() {
        let free = json!({"ip": "8.8.8.8", "city": "Mountain View", "region": "California", "country": "US", "org": "AS15169 Google LLC"});
        let expected = json!({"country": "US", "region": "California", "city": "Mountain View", "asn": "AS15169", "org": "Google LLC",
            "isp": null, "proxy": null, "hosting": null});
        assert_eq!(told(&free), expected);
        let paid = json!({"ip": "8.8.8.8", "country": "US", "asn": {"asn": "AS1", "name": "Net"}, "company": {"name": "Firm"},
            "privacy": {"vpn": false, "proxy": false, "tor": true, "relay": false, "hosting": true}});
        let expected = json!({"country": "US", "region": null, "city": null, "asn": "AS1", "org": "Firm", "isp": "Net", "proxy": true,
            "hosting": true});
        assert_eq!(told(&paid), expected);
        let newer = json!({"ip": "8.8.8.8", "geo": {"city": "Mountain View", "region": "California", "country": "United States",
            "country_code": "US"}, "as": {"asn": "AS15169", "name": "Google LLC"}, "is_anonymous": false, "is_hosting": true});
        let expected = json!({"country": "US", "region": "California", "city": "Mountain View", "asn": "AS15169", "org": "Google LLC",
            "isp": "Google LLC", "proxy": false, "hosting": true});
        assert_eq!(told(&newer), expected);
        let small = json!({"ip": "8.8.8.8", "asn": "AS15169", "as_name": "Google LLC", "country_code": "US", "country": "United States"});
        let expected = json!({"country": "US", "region": null, "city": null, "asn": "AS15169", "org": "Google LLC", "isp": "Google LLC",
            "proxy": null, "hosting": null});
        assert_eq!(told(&small), expected);
    }

    #[test]
    fn what_it_knows_nothing_of_is_kept_as_nothing() {
        let body = json!({"8.8.8.8": {"ip": "8.8.8.8", "bogon": true}, "1.1.1.1": "Wrong ip", "/2606:4700::1": {"country": "US"}}).to_string();
        let asked = ips(&["8.8.8.8", "1.1.1.1", "9.9.9.9", "2606:4700::1"]);
        let infos = decode(&asked, body.as_bytes(), Time::default()).unwrap();
        let countries: Vec<_> = infos.iter().map(|(_, info)| info["country"].clone()).collect();
        assert_eq!(countries, [Value::Null, Value::Null, Value::Null, json!("US")]);
        assert_eq!(infos[1].1["raw"], "Wrong ip");
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for body in ["", "<html>", "[]", "{", "{}", "{\"error\": {\"title\": \"no\"}}"] {
            let outcome = decode(&ips(&["8.8.8.8", "8.8.4.4"]), body.as_bytes(), Time::default());
            assert!(matches!(outcome, Err(ProviderError::Garbage(_))), "{body}");
        }
        let one = decode(&ips(&["8.8.8.8"]), b"{}", Time::default()).unwrap();
        assert_eq!(one[0].1["raw"], Value::Null, "one may be left out");
    }
}
