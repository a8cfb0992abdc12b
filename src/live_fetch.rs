//! Asks a node itself how it does: `GET http://{ip}:{port}/runtime-status`, signed, once, to nowhere else.

mod reach;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use ipnet::IpNet;
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::model::{
    Time,
    json::{Room, bounded},
    secrets::SecretHash,
    stats::{StatsSnapshot, SystemStats, XrayStats},
};

/// How long a look may take in all.
pub const TIME_LIMIT: Duration = Duration::from_secs(3);

/// The longest answer that is read. One of a node with 1,000 MTProto inbounds has some 300 KiB.
const ANSWER_MAX: usize = 1 << 20;

/// What is asked for, and what is signed together with the time.
const PATH: &str = "/runtime-status";

/// Why a node did not say how it does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// Core must not go there.
    #[error("{ip} is {what}: a live look goes there only if LIVE_FETCH_ALLOW has it")]
    Refused {
        /// The registered address.
        ip: IpAddr,
        /// What kind of address it is.
        what: &'static str,
    },
    /// There is nothing to sign with.
    #[error("the node has not shown any key yet, so the question can't be signed")]
    NoKey,
    /// It did not answer in time.
    #[error("the node did not answer within {} s", TIME_LIMIT.as_secs())]
    Late,
    /// It can't be reached.
    #[error("the node can't be reached: {0}")]
    Unreachable(String),
    /// It answered something else.
    #[error("the node's answer can't be used: {0}")]
    BadAnswer(String),
}

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LiveFetch {
    client: Client,
    allow: Vec<IpNet>,
}

impl LiveFetch {
    /// One that goes to public addresses, and to these.
    ///
    /// # Errors
    /// If there can't be an HTTP client.
    pub fn new(allow: Vec<IpNet>) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .http1_only()
            .pool_max_idle_per_host(0)
            .timeout(TIME_LIMIT)
            .build()?;
        Ok(Self { client, allow })
    }

    /// Asks the node at its registered address, with the key that it used last. `received_at` of the answer is `now`, when it was asked.
    pub async fn look(&self, node: SocketAddr, key: Option<SecretHash>, now: Time) -> Result<StatsSnapshot, LookError> {
        let ip = node.ip().to_canonical();
        if let Some(what) = reach::refused(ip, &self.allow) {
            return Err(LookError::Refused { ip, what });
        }
        let (node, key) = (SocketAddr::new(ip, node.port()), key.ok_or(LookError::NoKey)?);
        let body = tokio::time::timeout(TIME_LIMIT, self.ask(node, key, now));
        let body = body.await.map_err(|_| LookError::Late)??;
        parse(&body, now).map_err(LookError::BadAnswer)
    }

    async fn ask(&self, node: SocketAddr, key: SecretHash, now: Time) -> Result<Vec<u8>, LookError> {
        let timestamp = now.millis().to_string();
        let request = self
            .client
            .get(format!("http://{node}{PATH}"))
            .header("x-core-signature", signature(key, &timestamp))
            .header("x-core-timestamp", timestamp);
        let answer = request.send().await.map_err(|error| failed(&error))?;
        if answer.status() != StatusCode::OK {
            let status = answer.status().as_u16();
            return Err(LookError::BadAnswer(format!("it has the status {status}")));
        }
        body(answer).await
    }
}

/// The signature of a question at this time (decimal milliseconds since 1970): hex HMAC-SHA-256 with the SHA-256 of the node's key as its key.
pub fn signature(SecretHash(key): SecretHash, timestamp: &str) -> String {
    // An HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        return String::new();
    };
    mac.update(format!("GET {PATH} {timestamp}").as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

async fn body(mut answer: Response) -> Result<Vec<u8>, LookError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(LookError::BadAnswer("it is longer than 1 MiB".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn failed(error: &reqwest::Error) -> LookError {
    if error.is_timeout() {
        return LookError::Late;
    }
    // The innermost words say most: "Connection refused".
    let mut why: &dyn std::error::Error = error;
    while let Some(source) = why.source() {
        why = source;
    }
    if error.is_connect() {
        LookError::Unreachable(why.to_string())
    } else {
        LookError::BadAnswer(why.to_string())
    }
}

/// What a node answers: as a report has it, in JSON.
#[derive(Deserialize)]
struct Answer {
    system: SystemStats,
    xray: Option<XrayStats>,
    mtproto: Option<Map<String, Value>>,
}

fn parse(body: &[u8], received_at: Time) -> Result<StatsSnapshot, String> {
    bounded(body, Room::TREE).map_err(|error| error.to_string())?;
    let mut json = serde_json::Deserializer::from_slice(body);
    let answer: Result<Answer, _> = serde_path_to_error::deserialize(&mut json);
    let answer = answer.map_err(|error| match error.path().to_string() {
        path if path == "." => "it is no JSON object with system".to_owned(),
        path => format!("{path} is missing or wrong"),
    })?;
    json.end().map_err(|_| "there is more behind its JSON".to_owned())?;
    let Answer { system, xray, mtproto } = answer;
    Ok(StatsSnapshot {
        received_at,
        system,
        xray,
        mtproto,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sha2::Digest as _;

    use super::*;

    /// The example of docs/AGENTS.md, to the byte.
    #[test]
    fn the_worked_example_of_the_manual_is_right() {
        let manual = include_str!("../docs/AGENTS.md");
        let line = |name: &str| {
            let line = manual.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("{name} is in the manual"))
                .trim()
                .to_owned()
        };
        let (key, timestamp) = (line("auth key:"), line("x-core-timestamp:"));
        let hash = SecretHash::of(&key);
        let hex = hex::encode(Sha256::digest(&key));
        assert_eq!(line("SHA-256 of it:"), hex);
        assert_eq!(line("message:"), format!("GET /runtime-status {timestamp}"));
        assert_eq!(line("x-core-signature:"), signature(hash, &timestamp));
    }

    fn answer() -> Value {
        json!({
            "system": {
                "uptimeSeconds": 60, "cpuPercent": 3.5, "cpuCores": 2, "ramUsed": 1, "ramTotal": 2, "diskUsed": 3, "diskTotal": 4,
                "netRxPerSec": 5, "netTxPerSec": 6, "netRxTotal": 7, "netTxTotal": 8, "more": true
            },
            "xray": {"running": true, "uptimeSeconds": null},
            "mtproto": {"tg": {"running": true}}
        })
    }

    fn read(answer: &Value) -> Result<StatsSnapshot, String> {
        parse(answer.to_string().as_bytes(), Time::from_millis(5))
    }

    #[test]
    fn a_good_answer_is_read() {
        let snapshot = read(&answer()).unwrap();
        assert_eq!((snapshot.system.ram_total, snapshot.system.net_tx_total), (2, 8));
        assert_eq!(
            snapshot.xray.map(|xray| (xray.running, xray.uptime_seconds)),
            Some((true, None))
        );
        assert_eq!(snapshot.mtproto.unwrap()["tg"]["running"], true);
        let mut little = answer();
        little["xray"] = Value::Null;
        little.as_object_mut().unwrap().remove("mtproto");
        let snapshot = read(&little).unwrap();
        assert_eq!((snapshot.xray, snapshot.mtproto), (None, None));
    }

    #[test]
    fn a_bad_answer_is_refused_with_its_field() {
        for (pointer, bad, named) in [
            ("/system", json!(null), "system"),
            ("/system/ramUsed", json!("much"), "system.ramUsed"),
            ("/system/ramUsed", json!(1.5), "system.ramUsed"),
            ("/system/cpuCores", json!(1_u64 << 40), "system.cpuCores"),
            ("/xray/running", json!("yes"), "xray.running"),
            ("/mtproto", json!([]), "mtproto"),
        ] {
            let mut wrong = answer();
            *wrong.pointer_mut(pointer).unwrap() = bad;
            let why = read(&wrong).unwrap_err();
            assert!(why.starts_with(named), "{pointer}: {why}");
        }
        let mut short = answer();
        short["system"].as_object_mut().unwrap().remove("diskTotal");
        assert!(read(&short).unwrap_err().starts_with("system"));
        for garbage in ["", "<html>", "[]", "null", "{}", "{\"system\":{}}"] {
            assert!(parse(garbage.as_bytes(), Time::default()).is_err(), "{garbage}");
        }
        let mut large = answer();
        large["mtproto"] = json!({"a": vec![json!({}); 10_000]});
        assert!(read(&large).unwrap_err().contains("at most 10000 objects and arrays"));
        let twice = format!("{0}{0}", answer());
        assert!(parse(twice.as_bytes(), Time::default()).is_err());
    }
}
