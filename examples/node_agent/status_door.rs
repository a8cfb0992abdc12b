//! The agent's own HTTP port: tells Core, and only Core, how the node does at this moment (docs/AGENTS.md).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use vpn_core::{clock::Clock, model::Time, proto::nodeservice::ReportNodeStatsRequest};

use super::engine::Engine;

/// How long a question and its answer may take: longer than this Core does not wait.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// The longest head of a question.
const HEAD_MAX: usize = 8 << 10;

/// So many are served at once; others wait.
const AT_ONCE: usize = 8;

/// A question is as old as this, or as far ahead, at most.
const SKEW_MAX: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Debug)]
pub struct StatusDoor(TcpListener);

impl StatusDoor {
    /// Listens; port 0 = any free one.
    pub async fn open(ip: IpAddr, port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((ip, port)).await;
        Ok(Self(
            listener.with_context(|| format!("can't listen on {ip} port {port}"))?,
        ))
    }

    /// Where it listens.
    pub fn port(&self) -> std::io::Result<u16> {
        self.0.local_addr().map(|address: SocketAddr| address.port())
    }

    /// Answers those who know this key, for ever.
    pub async fn serve(&self, auth_key: &str, engine: &Engine) {
        let key = Sha256::digest(auth_key);
        let key = &key;
        let callers = stream::unfold((), |()| async { Some((self.0.accept().await, ())) });
        callers
            .for_each_concurrent(AT_ONCE, |caller| async move {
                let answered = match caller {
                    Ok((stream, _)) => tokio::time::timeout(TIME_LIMIT, answer(stream, key, engine)).await,
                    // Out of file descriptors, perhaps: not so soon again.
                    Err(_) => return tokio::time::sleep(TIME_LIMIT).await,
                };
                if !matches!(answered, Ok(Ok(()))) {
                    tracing::debug!("a caller of the status port went without an answer");
                }
            })
            .await;
    }
}

async fn answer(mut stream: TcpStream, key: &[u8], engine: &Engine) -> std::io::Result<()> {
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece).await?;
        if read == 0 || head.len() + read > HEAD_MAX {
            return Ok(());
        }
        head.extend_from_slice(&piece[..read]);
    }
    let (status, body) = match judge(&String::from_utf8_lossy(&head), key, Clock::system().now()) {
        Ok(()) => ("200 OK", shown(&engine.stats().await)),
        Err(status) => (status, json!({"error": status})),
    };
    let body = body.to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Whether this is Core's question: else the status that says why not.
fn judge(head: &str, key: &[u8], now: Time) -> Result<(), &'static str> {
    let mut lines = head.split("\r\n");
    if !lines
        .next()
        .unwrap_or_default()
        .starts_with("GET /runtime-status HTTP/1.")
    {
        return Err("404 Not Found");
    }
    let header = |name: &str| {
        let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        let mut found = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        found.next().map_or("", |(_, value)| value.trim())
    };
    let timestamp = header("x-core-timestamp");
    let asked = timestamp.parse().map_or(Time::default(), Time::from_millis);
    let signed = Hmac::<Sha256>::new_from_slice(key).is_ok_and(|mac| {
        let mac = mac.chain_update(format!("GET /runtime-status {timestamp}"));
        // In constant time.
        mac.verify_slice(&of_hex(header("x-core-signature"))).is_ok()
    });
    let fresh = now.since(asked).max(asked.since(now)) <= SKEW_MAX;
    if signed && fresh {
        Ok(())
    } else {
        Err("401 Unauthorized")
    }
}

/// Bytes out of their hex; none if it is not hex.
fn of_hex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    bytes.unwrap_or_default()
}

/// A report, as Core reads it here.
fn shown(report: &ReportNodeStatsRequest) -> Value {
    let system = report.system.unwrap_or_default();
    json!({
        "system": {
            "uptimeSeconds": system.uptime_seconds,
            "cpuPercent": system.cpu_percent,
            "cpuCores": system.cpu_cores,
            "ramUsed": system.ram_used,
            "ramTotal": system.ram_total,
            "diskUsed": system.disk_used,
            "diskTotal": system.disk_total,
            "netRxPerSec": system.net_rx_per_sec,
            "netTxPerSec": system.net_tx_per_sec,
            "netRxTotal": system.net_rx_total,
            "netTxTotal": system.net_tx_total,
        },
        "xray": report.xray.as_ref().map(|xray| json!({"running": xray.running, "uptimeSeconds": xray.uptime_seconds})),
        "mtproto": serde_json::from_str::<Value>(&report.mtproto_json).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "core_node_17_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8_1f228def";
    const SIGNATURE: &str = "2a06fb496f3be7eff22820297c630d37564b58f7fdacde3cd9cd91a537e30756";

    fn asked(first: &str, signature: &str, millis_later: i64) -> Result<(), &'static str> {
        let head =
            format!("{first}\r\nHost: x\r\nX-Core-Timestamp: 1764000000000\r\nx-core-signature: {signature}\r\n\r\n");
        let now = Time::from_millis(1_764_000_000_000 + millis_later);
        judge(&head, &Sha256::digest(KEY), now)
    }

    #[test]
    fn only_core_is_answered() {
        let get = "GET /runtime-status HTTP/1.1";
        assert_eq!(asked(get, SIGNATURE, 60_000), Ok(()));
        assert_eq!(asked(get, SIGNATURE, -60_000), Ok(()));
        for (first, signature, later, status) in [
            (get, SIGNATURE, 60_001, "401 Unauthorized"),
            (get, SIGNATURE, -60_001, "401 Unauthorized"),
            (get, &SIGNATURE[..62], 0, "401 Unauthorized"),
            (get, &SIGNATURE.replace('2', "3"), 0, "401 Unauthorized"),
            (get, "", 0, "401 Unauthorized"),
            (get, "zz", 0, "401 Unauthorized"),
            ("GET / HTTP/1.1", SIGNATURE, 0, "404 Not Found"),
            ("POST /runtime-status HTTP/1.1", SIGNATURE, 0, "404 Not Found"),
        ] {
            assert_eq!(
                asked(first, signature, later),
                Err(status),
                "{first} {signature} {later}"
            );
        }
    }
}
