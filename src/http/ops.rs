//! What machines ask of the process itself: does it live, may it be sent calls, how does it do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use actix_web::{HttpResponse, web::Data};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use crate::{journal::Journal, redis::Redis, store::Store};

/// How long a look at the store may take for `/readyz`.
const PING_WAIT: Duration = Duration::from_secs(1);

/// What these routes work with.
pub struct Ops {
    /// Whether calls may be sent: from when everything is loaded until the stop begins.
    pub ready: Arc<AtomicBool>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Redis, where there is a mirror.
    pub redis: Option<Redis>,
    /// The journal.
    pub journal: Journal,
    /// The metrics.
    pub metrics: PrometheusHandle,
}

/// `GET /healthz`
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"ok": true}))
}

/// `GET /readyz`
pub async fn readyz(ops: Data<Ops>) -> HttpResponse {
    let ready = ops.ready.load(SeqCst);
    let store = tokio::time::timeout(PING_WAIT, ops.store.ping())
        .await
        .is_ok_and(|pong| pong.is_ok());
    let journal = ops.journal.health().writable;
    let word = |good: bool| if good { "ok" } else { "away" };
    let redis = ops.redis.as_ref().map_or("off", |redis| word(redis.is_there()));
    let mut response = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    let journal = if journal { "ok" } else { "refusing" };
    response.json(json!({"ready": ready, "store": word(store), "redis": redis, "journal": journal}))
}

/// `GET /metrics`
pub async fn metrics(ops: Data<Ops>) -> HttpResponse {
    ops.metrics.run_upkeep();
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(ops.metrics.render())
}
