//! `/admin/nodes`

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::{
    http::{
        body::{self, Int},
        error::ApiError,
    },
    model::{
        NodeId,
        node::{NodeKey, NodePatch},
        node_config::CONFIG_LARGE,
        presence::parse_ip,
        secrets::Role,
    },
    node::slot::NodeView,
};

use super::{Answer, Door, listed, page, path_id};

/// `GET /admin/nodes`
pub async fn list(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let page = page(&request)?;
    let nodes: Vec<Value> = door.desk.nodes(page).iter().map(shown).collect();
    Ok(listed(page, &nodes, |node| node["id"].as_i64().unwrap_or(0)))
}

/// `GET /admin/nodes/{id}`
pub async fn one(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    Ok(tagged(&door.desk.node(id(&request)?)?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PatchDto {
    name: Option<String>,
    ip: Option<String>,
    port: Option<Int>,
    region: Option<String>,
    #[serde(default, deserialize_with = "present")]
    domain: Option<Option<String>>,
    enabled: Option<bool>,
    traffic_multiplier: Option<f64>,
}

/// Tells a field that is null from one that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// `PATCH /admin/nodes/{id}`
pub async fn patch(door: Data<Door>, request: HttpRequest, payload: Payload) -> Answer {
    let by = door.writer(&request).await?;
    let id = id(&request)?;
    let dto: PatchDto = body::json(&request, payload).await?;
    let ip = dto
        .ip
        .map(|ip| parse_ip(&ip).ok_or_else(|| ApiError::bad_request("ip must be an IP address")));
    let port = dto.port.map(|port| {
        let port = u16::try_from(port.0).ok().filter(|port| *port > 0);
        port.ok_or_else(|| ApiError::bad_request("port must be between 1 and 65535"))
    });
    let patch = NodePatch {
        name: dto.name,
        ip: ip.transpose()?,
        port: port.transpose()?,
        region: dto.region,
        domain: dto.domain,
        enabled: dto.enabled,
        traffic_multiplier: dto.traffic_multiplier,
    };
    let view = door.desk.patch_node(id, patch, if_match(&request), &by).await?;
    Ok(tagged(&view))
}

/// `DELETE /admin/nodes/{id}`
pub async fn remove(door: Data<Door>, request: HttpRequest) -> Answer {
    let by = door.writer(&request).await?;
    door.desk.delete_node(id(&request)?, if_match(&request), &by).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET /admin/nodes/{id}/errors`
pub async fn errors(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let page = page(&request)?;
    Ok(listed(
        page,
        &door.desk.node_errors(id(&request)?, page).await?,
        |error| error.id,
    ))
}

/// `GET /admin/nodes/{id}/config`: it holds credentials, so only for admins.
pub async fn config(door: Data<Door>, request: HttpRequest) -> Answer {
    door.admit(&request, Role::Admin).await?;
    let config = door.desk.node_config(id(&request)?)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::ETAG, config.etag()))
        .content_type("application/json")
        .body(config.body()))
}

/// `POST /admin/nodes/{id}/config/retry`
pub async fn retry_config(door: Data<Door>, request: HttpRequest) -> Answer {
    door.writer(&request).await?;
    Ok(tagged(&door.desk.retry_config(id(&request)?).await?))
}

/// `GET /admin/nodes/{id}/keys`
pub async fn keys(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let keys: Vec<Value> = door
        .desk
        .node_keys(id(&request)?)
        .await?
        .iter()
        .map(shown_key)
        .collect();
    Ok(HttpResponse::Ok().json(json!({"items": keys, "nextCursor": null})))
}

/// `GET /admin/nodes/{id}/keys/{key}`
pub async fn key(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let key = door
        .desk
        .node_key(id(&request)?, path_id(&request, "key", "key")?)
        .await?;
    Ok(HttpResponse::Ok().json(shown_key(&key)))
}

/// `POST /admin/nodes/{id}/keys`
pub async fn add_key(door: Data<Door>, request: HttpRequest) -> Answer {
    let by = door.writer(&request).await?;
    let (secret, key) = door.desk.add_key(id(&request)?, &by).await?;
    let mut shown = shown_key(&key);
    shown["authKey"] = secret.expose_secret().into();
    Ok(HttpResponse::Created().json(shown))
}

/// `DELETE /admin/nodes/{id}/keys/{key}`
pub async fn revoke_key(door: Data<Door>, request: HttpRequest) -> Answer {
    let by = door.writer(&request).await?;
    door.desk
        .revoke_key(id(&request)?, path_id(&request, "key", "key")?, &by)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

fn id(request: &HttpRequest) -> Result<NodeId, ApiError> {
    path_id(request, "id", "node")
}

fn if_match(request: &HttpRequest) -> Option<i64> {
    let text = request
        .headers()
        .get(header::IF_MATCH)?
        .to_str()
        .unwrap_or_default()
        .trim();
    // A tag that is none of ours fits no version.
    (text != "*").then(|| text.trim_matches('"').parse().unwrap_or(-1))
}

fn tagged(view: &NodeView) -> HttpResponse {
    let etag = format!("\"{}\"", view.seed.record.version);
    HttpResponse::Ok().insert_header((header::ETAG, etag)).json(shown(view))
}

fn shown(view: &NodeView) -> Value {
    let (record, config) = (&view.seed.record, &view.seed.config);
    let mut shown = json!({
        "id": record.id,
        "name": record.name,
        "ip": record.ip,
        "port": record.port,
        "region": record.region,
        "domain": record.domain,
        "enabled": record.enabled,
        "trafficMultiplier": record.traffic_multiplier,
        "status": view.state.status,
        "syncStatus": view.state.sync_status,
        "revision": config.revision(),
        "appliedRevision": view.state.applied_revision,
        "configHash": config.hash().to_string(),
        "configBytes": config.body_len(),
        "configProblems": config.problems(),
        "lastSeenAt": view.state.last_seen_at,
        "onlineUsers": view.online_users,
        "clockSkew": view.clock_skew,
        "createdAt": record.created_at,
        "version": record.version,
    });
    if config.body_len() > CONFIG_LARGE {
        shown["configNotice"] = "the config is above 3 MiB: the agent must raise its gRPC receive limit".into();
    }
    shown
}

fn shown_key(key: &NodeKey) -> Value {
    json!({
        "id": key.id,
        "nodeId": key.node_id,
        "createdAt": key.created_at,
        "firstUsedAt": key.first_used_at,
        "revokedAt": key.revoked_at,
    })
}
