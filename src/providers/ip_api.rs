//! ip-api.com: 100 addresses a call, 15 calls a minute, no key. <https://ip-api.com/docs/api:batch>

use std::{collections::HashMap, net::IpAddr, time::Duration};

use async_trait::async_trait;
use reqwest::{Client, header::HeaderMap};
use serde_json::Value;
use url::Url;

use super::{
    Answer, Info, Pace, Provider, ProviderError,
    asking::{self, Said},
    system, text,
};
use crate::model::{Time, presence::parse_ip};

const NAME: &str = "ip-api";

/// What is asked for.
const FIELDS: &str = "status,message,query,country,countryCode,region,regionName,city,zip,lat,lon,timezone,isp,org,as,asname,mobile,proxy,hosting";

/// How long it is left alone when it has had enough and does not say for how long.
const UNSAID: Duration = Duration::from_mins(1);

/// See the module.
pub struct IpApi {
    client: Client,
    url: Url,
}

impl IpApi {
    /// The service at this address.
    pub fn new(base: &Url) -> Result<Self, String> {
        let mut url = asking::batch_url(base)?;
        url.query_pairs_mut().append_pair("fields", FIELDS);
        Ok(Self {
            client: asking::client()?,
            url,
        })
    }
}

#[async_trait]
impl Provider for IpApi {
    fn name(&self) -> &'static str {
        NAME
    }

    fn batch_size(&self) -> usize {
        100
    }

    fn pace(&self) -> Pace {
        Pace {
            calls: 15,
            span: Duration::from_mins(1),
        }
    }

    async fn look_up(&self, ips: &[IpAddr], at: Time) -> Result<Answer, ProviderError> {
        let request = self.client.post(self.url.clone()).json(&asking::texts(ips));
        let Said { headers, body } = asking::ask(request, UNSAID).await?;
        let infos = decode(ips, &body, at)?;
        let left = left(&headers);
        Ok(Answer { infos, left })
    }
}

/// Calls that are left, and when there are more.
fn left(headers: &HeaderMap) -> Option<(u64, Duration)> {
    let calls = asking::number(headers, "x-rl")?;
    Some((calls, asking::seconds(headers, "x-ttl").unwrap_or(UNSAID)))
}

/// An answer is a list; each item names its address.
fn decode(ips: &[IpAddr], body: &[u8], at: Time) -> Result<Vec<(IpAddr, Value)>, ProviderError> {
    let items: Vec<Value> = serde_json::from_slice(body)
        .map_err(|error| ProviderError::Garbage(format!("it is no list of JSON: {error}")))?;
    let mut found: HashMap<IpAddr, Value> = HashMap::with_capacity(items.len());
    for item in items {
        if let Some(ip) = item["query"].as_str().and_then(parse_ip) {
            found.insert(ip, item);
        }
    }
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

fn info(raw: Value, at: Time) -> Info {
    if raw["status"] != "success" {
        return Info::nothing(NAME, at, raw);
    }
    let (asn, name) = system(&raw["as"]);
    Info {
        provider: NAME,
        fetched_at: at,
        country: text(&raw["countryCode"]),
        region: text(&raw["regionName"]).or_else(|| text(&raw["region"])),
        city: text(&raw["city"]),
        asn,
        org: text(&raw["org"]).or(name),
        isp: text(&raw["isp"]),
        proxy: raw["proxy"].as_bool(),
        hosting: raw["hosting"].as_bool(),
        raw,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_answer_is_told_in_our_words() {
        let good = json!({
            "status": "success", "country": "United States", "countryCode": "US", "region": "VA", "regionName": "Virginia", "city": "Ashburn",
            "isp": "Google LLC", "org": "Google Public DNS", "as": "AS15169 Google LLC", "proxy": false, "hosting": true, "query": "8.8.8.8",
        });
        let bad = json!({"status": "fail", "message": "reserved range", "query": "8.8.4.4"});
        let body = json!([bad, good, {"query": "9.9.9.9", "status": "success"}, 7, {"query": "no"}]).to_string();
        let asked = ips(&["8.8.8.8", "8.8.4.4", "1.1.1.1"]);
        let infos = decode(&asked, body.as_bytes(), Time::from_millis(0)).unwrap();
        assert_eq!(infos.iter().map(|(ip, _)| *ip).collect::<Vec<_>>(), asked);
        let expected = json!({
            "provider": "ip-api", "fetchedAt": "1970-01-01T00:00:00Z", "country": "US", "region": "Virginia", "city": "Ashburn",
            "asn": "AS15169", "org": "Google Public DNS", "isp": "Google LLC", "proxy": false, "hosting": true, "raw": good,
        });
        assert_eq!(infos[0].1, expected);
        assert_eq!((&infos[1].1["country"], &infos[1].1["raw"]), (&Value::Null, &bad));
        assert_eq!(
            (&infos[2].1["country"], &infos[2].1["raw"]),
            (&Value::Null, &Value::Null)
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for body in [
            "",
            "<html>",
            "{}",
            "[",
            "null",
            "[]",
            "[{\"query\": \"9.9.9.9\"}]",
            "\"\\ud800\"",
        ] {
            let outcome = decode(&ips(&["8.8.8.8", "8.8.4.4"]), body.as_bytes(), Time::default());
            assert!(matches!(outcome, Err(ProviderError::Garbage(_))), "{body}");
        }
        assert!(decode(&ips(&["8.8.8.8"]), &[0xff, 0xfe], Time::default()).is_err());
        let one = decode(&ips(&["8.8.8.8"]), b"[]", Time::default()).unwrap();
        assert_eq!(one[0].1["raw"], Value::Null, "one may be left out");
    }
}
