//! `GET /admin/openapi.json`: what the routes take and answer, for machines.

pub mod routes;
pub mod schemas;

use std::sync::LazyLock;

use actix_web::{HttpResponse, http::header::ContentType};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use routes::Route;

/// What a line does not say: a path, and words for it.
const NOTES: &[(&str, &str)] = &[
    (
        "/admin/nodes/{id}/stats",
        "All whole steps (UTC) that the span touches and that have samples: every 2 s of the last 15 minutes, before that every minute. `from` and `to` are \
     RFC 3339, the last 15 minutes if there are none. `step` is in seconds, or minute, hour or day: without it the finest of 2, 10, 60, 300, 3600 and \
     86400 that makes at most 1,000 points; at most 5,000. cpuPercent (3 digits behind the point), ramUsed, diskUsed, netRxPerSec and netTxPerSec are \
     means over the step, the rest is the last in it. In the last 15 minutes memory and disk are whole KiB, rates are exact up to 16 MB/s and to 1 in 16 \
     million above.",
    ),
    (
        "/admin/events",
        "Each event has `id`, `event` (its type) and `data` (`{id, type, at, data}`). Without Last-Event-ID (or `after`, for clients that can't set the \
     header) the stream begins with what happens from now on; with it, with everything after that event that is still kept: the last 10,000 events of \
     this run of Core. An event `missed` without an id, with the data `{after}`, comes first if some of it is gone or may have been told before Core's \
     start: read the state anew. `type` is a list with commas. A comment comes every 15 s. The stream ends when Core stops and when the token no longer is \
     good; 503 with Retry-After when 64 streams are open.",
    ),
];

/// The document as it is sent. Anybody may ask for it, as often as he likes: it is made once, and its bytes are shared.
static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(document().to_string()));

/// Answers with [`document`].
pub async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(TEXT.clone())
}

/// The document, OpenAPI 3.1.
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in routes::all() {
        let path = paths.entry(route.path.as_str()).or_insert_with(|| json!({}));
        path[route.method] = operation(&route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Core",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The node routes are on HTTP_PORT, the admin routes and /metrics on ADMIN_PORT.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {
                "nodeKey": {"type": "apiKey", "in": "header", "name": "x-node-auth-key"},
                "adminToken": {"type": "http", "scheme": "bearer"},
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "security": security(route),
        "responses": responses(route),
    });
    if let Some((_, note)) = NOTES.iter().find(|(path, _)| *path == route.path) {
        operation["description"] = (*note).into();
    }
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if !route.body.is_empty() {
        operation["requestBody"] = json!({"required": true, "content": content(&route.body)});
    }
    operation
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split(|it: char| !it.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    std::iter::once(route.method).chain(words).collect::<Vec<_>>().join("_")
}

fn is_open(route: &Route) -> bool {
    [
        "/node/register",
        "/healthz",
        "/readyz",
        "/metrics",
        "/admin/openapi.json",
    ]
    .contains(&route.path.as_str())
}

fn security(route: &Route) -> Value {
    match is_open(route) {
        true => json!([]),
        false if route.path.starts_with("/node/") => json!([{"nodeKey": []}]),
        false => json!([{"adminToken": []}]),
    }
}

fn parameters(route: &Route) -> Vec<Value> {
    let names = route.path.split(['{', '}']).skip(1).step_by(2);
    let in_path =
        names.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "integer"}}));
    let in_query = route.query.iter().map(|name| {
        let kind = if *name == "limit" { "integer" } else { "string" };
        json!({"name": name, "in": "query", "schema": {"type": kind}})
    });
    let mut parameters: Vec<Value> = in_path.chain(in_query).collect();
    if has_tag(route) {
        parameters.push(json!({"name": "If-Match", "in": "header", "schema": {"type": "string"}}));
    }
    if is_stream(route) {
        parameters.push(json!({"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}));
    }
    parameters
}

/// Whether the answer never ends.
fn is_stream(route: &Route) -> bool {
    route.answer == "EventStream"
}

/// Whether the change of a row can be made to depend on what the row says.
fn has_tag(route: &Route) -> bool {
    let untagged = ["registration-codes", "tokens", "keys"];
    let is_row = route.path.ends_with('}') && !untagged.iter().any(|it| route.path.contains(it));
    is_row && ["patch", "delete"].contains(&route.method)
}

fn responses(route: &Route) -> Value {
    let mut good = json!({"description": "Done"});
    if !route.answer.is_empty() {
        good["content"] = content(&route.answer);
    }
    let mut responses = json!({ route.status: good });
    let error = |status: &'static str| match status {
        "400" => Some("A field is wrong: it is named"),
        "401" => Some("The key, code or token is missing or not valid"),
        "403" => Some("A viewer changes nothing"),
        "404" => Some("There is no such thing"),
        "412" => Some("It was changed meanwhile"),
        "413" => Some("The body is too large"),
        "415" => Some("The body is not JSON"),
        "429" => Some("Too often: come back after Retry-After"),
        "502" => Some("The node could not be asked: the message says why, `last` is what it said before"),
        "504" => Some("The node did not answer within 3 s; `last` is what it said before"),
        "503" => Some("Not now: come back after Retry-After"),
        _ => None,
    };
    for status in statuses(route) {
        let description = error(status).unwrap_or("It failed");
        let shape = if ["502", "504"].contains(&status) {
            "LookError"
        } else {
            "Error"
        };
        responses[status] = json!({"description": description, "content": content(shape)});
    }
    if route.path == "/node/config/latest" {
        responses["304"] = json!({"description": "The config is the one that If-None-Match names"});
    }
    if route.path == "/node/register" || route.path == "/admin/nodes/{id}" && route.method == "patch" {
        responses["409"] = json!({"description": "The name is taken", "content": content("Error")});
    }
    responses
}

fn statuses(route: &Route) -> Vec<&'static str> {
    if route.path == "/readyz" {
        return Vec::new();
    }
    let (changes, has_id) = (route.method != "get", route.path.contains('{'));
    let is_admin = route.path.starts_with("/admin/");
    let is_look = route.path.ends_with("/runtime-status");
    let is_secret = route.path.ends_with("/config");
    [
        ("400", !route.body.is_empty() || !route.query.is_empty()),
        ("401", !is_open(route) || route.path == "/node/register"),
        ("403", is_admin && (changes || is_secret)),
        ("404", has_id),
        ("412", has_tag(route)),
        ("413", !route.body.is_empty()),
        ("415", !route.body.is_empty()),
        ("429", !is_open(route) || route.path == "/node/register"),
        ("502", is_look),
        ("504", is_look),
        ("503", !is_open(route) || route.path == "/node/register"),
    ]
    .into_iter()
    .filter_map(|(status, is_possible)| is_possible.then_some(status))
    .collect()
}

/// A body of this shape; `[…]` is a page.
fn content(shape: &str) -> Value {
    if shape == "EventStream" {
        return json!({"text/event-stream": {"schema": {"type": "string"}}});
    }
    let schema = match shape.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(row) => schemas::page_of(row),
        None if shape == "object" => json!({"type": "object"}),
        None => json!({"$ref": format!("#/components/schemas/{shape}")}),
    };
    json!({"application/json": {"schema": schema}})
}

#[cfg(test)]
mod tests;
