//! Agents that write down what they send: a report never changes, has a name of its own, and is sent again until it is acknowledged.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tonic::Code;
use vpn_core::{
    clock::Clock,
    model::Time,
    proto::nodeservice::{OutboundUsageItem, ReportOutboundUsageRequest, ReportUsageRequest, UsageEntry},
};

use super::fleet::{Place, USERS, exit, protocol};
use crate::harness::rpc::Agent;

/// A report. Equal reports are one.
#[derive(Debug, Clone)]
pub struct Report {
    pub node: i64,
    /// Its idempotency key.
    pub name: String,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Usage(Vec<UsageEntry>),
    Outbound(Vec<OutboundUsageItem>),
    Sessions(Vec<Event>),
}

#[derive(Debug, Clone)]
pub struct Event {
    pub user: i64,
    pub online: bool,
    pub at: Time,
}

impl Report {
    /// The report of a node with this number; every third of them is of the same kind, and no two say the same.
    pub fn new(node: i64, number: i64) -> Self {
        let now = Clock::system().now();
        let user = |index: i64| 1 + (number + index) % USERS;
        let bytes = |index: i64| (1 << 20) + node * 1_000_003 + number * 7_919 + index;
        let what = match number % 3 {
            0 => What::Usage(
                (0..5)
                    .map(|index| UsageEntry {
                        user_id: user(index),
                        subscription_id: Some(user(index)),
                        node_protocol_id: protocol(node),
                        bytes_up: bytes(index),
                        bytes_down: 3 * bytes(index),
                        recorded_at: now.to_string().into(),
                    })
                    .collect(),
            ),
            1 => What::Outbound(
                [exit(node), "direct".to_owned()]
                    .into_iter()
                    .zip(0..)
                    .map(|(tag, index)| OutboundUsageItem {
                        tag,
                        bytes_up: bytes(index),
                        bytes_down: 5 * bytes(index),
                    })
                    .collect(),
            ),
            _ => What::Sessions(
                (0..3)
                    .map(|index| Event {
                        user: user(index),
                        online: number % 2 == 0,
                        at: Time::from_millis(now.millis() - index),
                    })
                    .collect(),
            ),
        };
        Self {
            node,
            name: format!("node-{node}-report-{number}"),
            what,
        }
    }

    /// Rows that it brings to the store, if none is summed with another.
    pub fn rows(&self) -> usize {
        match &self.what {
            What::Usage(entries) => entries.len(),
            What::Outbound(items) => items.len(),
            What::Sessions(events) => events.len(),
        }
    }

    /// How it goes over HTTP.
    pub fn route_and_body(&self) -> (&'static str, Value) {
        match &self.what {
            What::Usage(entries) => {
                let entry = |it: &UsageEntry| {
                    json!({
                        "userId": it.user_id, "subscriptionId": it.subscription_id, "nodeProtocolId": it.node_protocol_id,
                        "bytesUp": it.bytes_up, "bytesDown": it.bytes_down, "recordedAt": it.recorded_at,
                    })
                };
                (
                    "/node/usage",
                    json!({"entries": entries.iter().map(entry).collect::<Vec<_>>()}),
                )
            }
            What::Outbound(items) => {
                let item =
                    |it: &OutboundUsageItem| json!({"tag": it.tag, "bytesUp": it.bytes_up, "bytesDown": it.bytes_down});
                (
                    "/node/outbound-usage",
                    json!({"items": items.iter().map(item).collect::<Vec<_>>()}),
                )
            }
            What::Sessions(events) => {
                let event = |it: &Event| {
                    json!({
                        "userId": it.user, "protocol": "vless", "eventType": if it.online { "online" } else { "offline" },
                        "occurredAt": it.at.to_string(), "ipAddress": "192.0.2.77",
                    })
                };
                (
                    "/node/session-events",
                    json!({"events": events.iter().map(event).collect::<Vec<_>>()}),
                )
            }
        }
    }
}

/// Why a report was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 401 or UNAUTHENTICATED.
    Stranger,
    /// 503 with `Retry-After`, or UNAVAILABLE from Core itself.
    Later,
    /// There was no answer, or another one.
    Lost(String),
}

/// A node's lines to a Core: both transports.
#[derive(Debug, Clone)]
pub struct Line {
    pub place: Place,
    pub rpc: Agent,
    pub key: String,
    client: reqwest::Client,
}

impl Line {
    pub async fn new(place: impl Into<Place>, key: &str) -> Self {
        let place = place.into();
        Self {
            place,
            rpc: Agent::connect(place.grpc, key),
            key: key.to_owned(),
            client: reqwest::Client::new(),
        }
    }

    /// A request to a node route with the key.
    pub fn http(&self, method: reqwest::Method, route: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("http://127.0.0.1:{}{route}", self.place.http))
            .header("x-node-auth-key", &self.key)
    }

    /// Sends over gRPC; what gRPC does not have goes over HTTP.
    pub async fn send(&self, report: &Report) -> Result<(), Refusal> {
        let mut client = self.rpc.client.clone();
        let answer = match &report.what {
            What::Usage(entries) => {
                let request = ReportUsageRequest {
                    entries: entries.clone(),
                    ..ReportUsageRequest::default()
                };
                let answer = client.report_usage(self.rpc.named(&report.name, request)).await;
                answer.map(|answer| answer.into_inner().rejected)
            }
            What::Outbound(items) => {
                let request = ReportOutboundUsageRequest {
                    items: items.clone(),
                    ..ReportOutboundUsageRequest::default()
                };
                let answer = client
                    .report_outbound_usage(self.rpc.named(&report.name, request))
                    .await;
                answer.map(|answer| answer.into_inner().rejected)
            }
            What::Sessions(_) => return self.send_http(report).await,
        };
        match answer {
            Ok(rejected) => {
                assert_eq!(rejected, 0, "{report:?}");
                Ok(())
            }
            Err(status) => Err(refusal(&status)),
        }
    }

    /// Sends over HTTP.
    pub async fn send_http(&self, report: &Report) -> Result<(), Refusal> {
        let (route, body) = report.route_and_body();
        let request = self.http(reqwest::Method::POST, route).json(&body);
        let lost = |error: reqwest::Error| Refusal::Lost(error.to_string());
        let answer = request
            .header("x-idempotency-key", &report.name)
            .send()
            .await
            .map_err(lost)?;
        let (status, later) = (answer.status(), answer.headers().contains_key("retry-after"));
        let text = answer.text().await.map_err(lost)?;
        match status {
            StatusCode::OK => {
                assert_eq!(text, r#"{"ok":true}"#);
                Ok(())
            }
            StatusCode::UNAUTHORIZED => Err(Refusal::Stranger),
            StatusCode::SERVICE_UNAVAILABLE if later => Err(Refusal::Later),
            _ => Err(Refusal::Lost(format!("{status}: {text}"))),
        }
    }

    /// Sends these, on one transport and the other in turn; all must be acknowledged.
    pub async fn send_all(&self, reports: &[Report]) {
        for (report, turn) in reports.iter().zip(0..) {
            let sent = if turn % 2 == 0 {
                self.send(report).await
            } else {
                self.send_http(report).await
            };
            assert_eq!(sent, Ok(()), "{report:?}");
        }
    }
}

/// What a status of gRPC means. The transport says UNAVAILABLE too, but not in Core's words.
pub fn refusal(status: &tonic::Status) -> Refusal {
    let of_core = std::error::Error::source(status).is_none();
    match status.code() {
        Code::Unauthenticated => Refusal::Stranger,
        Code::Unavailable if of_core => Refusal::Later,
        _ => Refusal::Lost(status.to_string()),
    }
}
