//! Counts and times HTTP calls, by route.

use std::time::Duration;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use crate::clock::Stopwatch;

/// A middleware for all routes.
pub async fn measure<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let watch = Stopwatch::start();
    let response = next.call(request).await?;
    let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
    note(route, response.status().as_u16(), watch.elapsed());
    Ok(response)
}

fn note(route: String, status: u16, took: Duration) {
    metrics::counter!("core_http_calls_total", "route" => route.clone(), "status" => status.to_string()).increment(1);
    metrics::histogram!("core_http_seconds", "route" => route).record(took.as_secs_f64());
}
