//! `/admin/nodes/{id}/runtime-status` and `/admin/nodes/{id}/stats`

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    admin::{
        history::HistorySpan,
        live::{RuntimeStatus, Source},
    },
    http::error::ApiError,
    live_fetch::LookError,
    model::NodeId,
    node::ring,
};

use super::{Answer, Door, moment, path_id, query};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeQuery {
    #[serde(default)]
    from_node: bool,
}

/// `GET /admin/nodes/{id}/runtime-status[?fromNode=true]`
pub async fn runtime_status(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let id = id(&request)?;
    let RuntimeQuery { from_node } = query(&request)?;
    if !from_node {
        return Ok(HttpResponse::Ok().json(shown(&door.desk.runtime_status(id).await?)));
    }
    match door.desk.look(id).await? {
        Ok(status) => Ok(HttpResponse::Ok().json(shown(&status))),
        Err(error) => Ok(failed(&error, &door.desk.runtime_status(id).await?)),
    }
}

#[derive(Deserialize)]
struct StatsQuery {
    from: Option<String>,
    to: Option<String>,
    step: Option<String>,
}

/// `GET /admin/nodes/{id}/stats?from=&to=&step=`; without times the last 15 minutes, without a step one that suits them.
pub async fn stats(door: Data<Door>, request: HttpRequest) -> Answer {
    door.reader(&request).await?;
    let id = id(&request)?;
    door.desk.node(id)?;
    let wanted: StatsQuery = query(&request)?;
    let to = moment("to", wanted.to.as_deref(), door.desk.clock.now())?;
    let from = moment("from", wanted.from.as_deref(), to.minus(ring::SPAN))?;
    let step = match wanted.step.as_deref() {
        None => None,
        Some("minute") => Some(60),
        Some("hour") => Some(3_600),
        Some("day") => Some(86_400),
        Some(seconds) => {
            let bad = || ApiError::bad_request("step must be whole seconds, or minute, hour or day");
            Some(seconds.parse().map_err(|_| bad())?)
        }
    };
    let span = HistorySpan::new(from, to, step)?;
    let points = door.desk.stats_history(id, span).await?;
    Ok(HttpResponse::Ok().json(json!({"step": span.step_seconds(), "points": points})))
}

/// A look that failed is told as every error, with what is known besides.
fn failed(error: &LookError, last: &RuntimeStatus) -> HttpResponse {
    let status = match error {
        LookError::Late => StatusCode::GATEWAY_TIMEOUT,
        LookError::Refused { .. } | LookError::NoKey | LookError::Unreachable(_) | LookError::BadAnswer(_) => {
            StatusCode::BAD_GATEWAY
        }
    };
    let mut body = ApiError::new(status, error.to_string()).to_json();
    body["last"] = shown(last);
    HttpResponse::build(status).json(body)
}

fn shown(status: &RuntimeStatus) -> Value {
    let stats = status.stats.as_ref();
    json!({
        "nodeId": status.node,
        "receivedAt": stats.map(|stats| stats.received_at),
        "ageSeconds": stats.map(|stats| status.now.since(stats.received_at).as_secs()),
        "source": match status.source {
            Source::Memory => "memory",
            Source::Redis => "redis",
            Source::Node => "node",
        },
        "system": stats.map(|stats| stats.system),
        "xray": stats.and_then(|stats| stats.xray),
        "mtproto": stats.and_then(|stats| stats.mtproto.as_ref()),
    })
}

fn id(request: &HttpRequest) -> Result<NodeId, ApiError> {
    path_id(request, "id", "node")
}
