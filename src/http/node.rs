//! The node routes: decode, call, answer.

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};
use compact_str::CompactString;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, Unexpected},
};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    auth::{AuthError, Authenticator, Caller, limits::Call, registration::Registrar},
    model::{
        node::NodeIdentity,
        presence::parse_ip,
        session::SessionItem,
        usage::{OutboundItem, UsageItem},
    },
    node::{
        ConfirmApplied, DETAILS_MAX, Heartbeat, OutboundReport, Receipt, ReportError, SessionReport, UsageReport,
        registry::Nodes,
    },
};

use super::{
    body::{self, Int, Object},
    error::ApiError,
    from,
};

/// What the node routes work with.
pub struct Door {
    /// Who calls.
    pub auth: Arc<Authenticator>,
    /// Whom it concerns.
    pub nodes: Nodes,
    /// How nodes come in.
    pub registrar: Registrar,
}

type Answer = Result<HttpResponse, ApiError>;

#[derive(Deserialize)]
struct RegisterDto {
    code: SecretString,
    name: String,
    ip: String,
    port: Int,
    region: String,
    domain: Option<String>,
}

/// `POST /node/register`
pub async fn register(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    door.auth
        .guard()
        .register(from(door.auth.guard(), &request))
        .map_err(AuthError::from)?;
    let dto: RegisterDto = body::json(&request, payload).await?;
    let code = dto.code.clone();
    let registered = door.registrar.register(code.expose_secret(), identity(dto)?).await?;
    Ok(HttpResponse::Created().json(json!({
        "authKey": registered.auth_key.expose_secret(),
        "nodeId": registered.node,
    })))
}

fn identity(dto: RegisterDto) -> Result<NodeIdentity, ApiError> {
    let text = |field: &str, value: String, max: usize, least: usize| {
        let value = value.trim().to_owned();
        if (least..=max).contains(&value.chars().count()) && !value.chars().any(char::is_control) {
            Ok(value)
        } else {
            Err(ApiError::bad_request(format!(
                "{field} must have {least} to {max} characters"
            )))
        }
    };
    Ok(NodeIdentity {
        name: text("name", dto.name, 255, 1)?,
        ip: parse_ip(&dto.ip).ok_or_else(|| ApiError::bad_request("ip must be an IP address"))?,
        port: u16::try_from(dto.port.0)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| ApiError::bad_request("port must be between 1 and 65535"))?,
        region: text("region", dto.region, 255, 0)?,
        domain: dto
            .domain
            .filter(|it| !it.is_empty())
            .map(|it| text("domain", it, 253, 1))
            .transpose()?,
    })
}

#[derive(Deserialize)]
struct HeartbeatDto {
    ip: Option<String>,
    revision: Option<Int>,
}

/// `POST /node/heartbeat`
pub async fn heartbeat(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let caller = caller(&door, &request, Call::Heartbeat).await?;
    let dto: HeartbeatDto = body::json_or_empty(&request, payload).await?;
    let heartbeat = Heartbeat {
        revision: dto.revision.map_or(0, |it| it.0),
        ip: heartbeat_ip(dto.ip.as_deref()),
    };
    let need_sync = door.nodes.heartbeat(caller.node, heartbeat).await?;
    Ok(HttpResponse::Ok().json(json!({"ok": true, "needSync": need_sync})))
}

fn heartbeat_ip(text: Option<&str>) -> Option<IpAddr> {
    let text = text.filter(|it| !it.is_empty())?;
    let ip = parse_ip(text);
    if ip.is_none() {
        metrics::counter!("core_bad_ips_total", "call" => "heartbeat").increment(1);
    }
    ip
}

#[derive(Deserialize)]
struct UsageDto {
    entries: Vec<Object<UsageEntryDto>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageEntryDto {
    user_id: Int,
    subscription_id: Option<Int>,
    node_protocol_id: Int,
    bytes_up: Int,
    bytes_down: Int,
    recorded_at: CompactString,
}

/// `POST /node/usage`
pub async fn usage(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let caller = caller(&door, &request, Call::Usage).await?;
    let dto: UsageDto = body::json(&request, payload).await?;
    let items = dto.entries.into_iter().map(|Object(it)| it.item()).collect();
    let report = UsageReport::new(idempotency_key(&request), items);
    Ok(accepted(&door.nodes.usage(caller.node, report).await?))
}

impl UsageEntryDto {
    fn item(self) -> UsageItem {
        UsageItem {
            user_id: self.user_id.0,
            subscription_id: self.subscription_id.map(|it| it.0).filter(|it| *it != 0),
            node_protocol_id: self.node_protocol_id.0,
            bytes_up: self.bytes_up.0,
            bytes_down: self.bytes_down.0,
            recorded_at: self.recorded_at,
        }
    }
}

#[derive(Deserialize)]
struct OutboundUsageDto {
    items: Vec<Object<OutboundItemDto>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutboundItemDto {
    tag: String,
    bytes_up: Int,
    bytes_down: Int,
}

/// `POST /node/outbound-usage`
pub async fn outbound_usage(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let caller = caller(&door, &request, Call::OutboundUsage).await?;
    let dto: OutboundUsageDto = body::json(&request, payload).await?;
    let item = |Object(it): Object<OutboundItemDto>| OutboundItem {
        tag: it.tag,
        bytes_up: it.bytes_up.0,
        bytes_down: it.bytes_down.0,
    };
    let items = dto.items.into_iter().map(item).collect();
    let report = OutboundReport::new(idempotency_key(&request), items);
    Ok(accepted(&door.nodes.outbound_usage(caller.node, report).await?))
}

#[derive(Deserialize)]
struct SessionEventsDto {
    events: Vec<Object<SessionEventDto>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionEventDto {
    user_id: Int,
    protocol: String,
    event_type: String,
    occurred_at: String,
    ip_address: Option<String>,
}

/// `POST /node/session-events`
pub async fn session_events(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let caller = caller(&door, &request, Call::SessionEvents).await?;
    let dto: SessionEventsDto = body::json(&request, payload).await?;
    let items = dto.events.into_iter().map(|Object(it)| it.item()).collect();
    let report = SessionReport::new(idempotency_key(&request), items);
    Ok(accepted(&door.nodes.session_events(caller.node, report).await?))
}

impl SessionEventDto {
    fn item(self) -> SessionItem {
        SessionItem {
            user_id: self.user_id.0,
            protocol: self.protocol,
            event_type: self.event_type,
            occurred_at: self.occurred_at,
            ip_address: self.ip_address,
        }
    }
}

/// `GET /node/config/latest`
pub async fn latest_config(door: Data<Door>, request: HttpRequest) -> Answer {
    let caller = caller(&door, &request, Call::Config).await?;
    let config = door.nodes.config(caller.node).await?;
    let etag = config.etag();
    if matches_etag(&request, &etag) {
        return Ok(HttpResponse::NotModified().insert_header((header::ETAG, etag)).finish());
    }
    Ok(HttpResponse::Ok()
        .insert_header((header::ETAG, etag))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header(("x-core-structure-hash", config.structure().to_string()))
        .insert_header(("x-core-users-hash", config.users().to_string()))
        .content_type("application/json")
        .body(config.body()))
}

fn matches_etag(request: &HttpRequest, etag: &str) -> bool {
    let tags = request
        .headers()
        .get_all(header::IF_NONE_MATCH)
        .filter_map(|value| value.to_str().ok());
    tags.flat_map(|list| list.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}

#[derive(Deserialize)]
struct AppliedDto {
    revision: Int,
}

/// `POST /node/config/applied`
pub async fn config_applied(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let caller = caller(&door, &request, Call::Applied).await?;
    let AppliedDto {
        revision: Int(revision),
    } = body::json(&request, payload).await?;
    if revision < 0 {
        return Err(ApiError::bad_request("revision must not be negative"));
    }
    door.nodes
        .confirm_applied(caller.node, ConfirmApplied { revision })
        .await?;
    Ok(ok())
}

#[derive(Deserialize)]
struct ErrorDto {
    message: String,
    code: Option<String>,
    details: Option<Details>,
}

/// The JSON of an object. What is too long to be kept is not made a tree, which may be many times as large.
struct Details(String);

impl<'de> Deserialize<'de> for Details {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        if !text.get().starts_with('{') {
            return Err(D::Error::invalid_type(Unexpected::Other("another value"), &"an object"));
        }
        if text.get().len() > DETAILS_MAX {
            return Ok(Self(Box::<str>::from(text).into_string()));
        }
        let object: Map<String, Value> = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        Ok(Self(Value::Object(object).to_string()))
    }
}

/// `POST /node/error`
pub async fn report_error(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let caller = caller(&door, &request, Call::Error).await?;
    let dto: ErrorDto = body::json(&request, payload).await?;
    let details = dto.details.map(|Details(json)| json);
    door.nodes
        .report_error(caller.node, ReportError::cut(dto.message, dto.code, details))
        .await?;
    Ok(ok())
}

async fn caller(door: &Door, request: &HttpRequest, call: Call) -> Result<Caller, ApiError> {
    let key = request.headers().get("x-node-auth-key");
    let key = key.and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok(door.auth.admit(key, from(door.auth.guard(), request), call).await?)
}

fn idempotency_key(request: &HttpRequest) -> Option<&str> {
    request
        .headers()
        .get("x-idempotency-key")
        .and_then(|value| value.to_str().ok())
        .filter(|key| !key.is_empty())
}

fn accepted(receipt: &Receipt) -> HttpResponse {
    if receipt.rejected == 0 {
        return ok();
    }
    HttpResponse::Ok().json(json!({"ok": true, "rejected": receipt.rejected, "reasons": receipt.reasons}))
}

fn ok() -> HttpResponse {
    HttpResponse::Ok().json(json!({"ok": true}))
}
