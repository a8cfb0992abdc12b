//! Counts and times RPCs, by method.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tower::{Layer, Service};

use crate::clock::Stopwatch;

/// The calls that are told apart; all others are one.
const METHODS: &[&str] = &[
    "/nodeservice.NodeService/Heartbeat",
    "/nodeservice.NodeService/ReportUsage",
    "/nodeservice.NodeService/ReportOutboundUsage",
    "/nodeservice.NodeService/GetLatestConfig",
    "/nodeservice.NodeService/ConfirmConfigApplied",
    "/nodeservice.NodeService/ReportNodeStats",
    "/nodeservice.NodeService/ReportOnlineUsers",
];

/// Wraps services in [`Measured`].
#[derive(Debug, Clone, Copy)]
pub struct Measure;

impl<S> Layer<S> for Measure {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Measured<S> {
        Measured { inner }
    }
}

/// A service whose calls are counted and timed.
#[derive(Debug, Clone)]
pub struct Measured<S> {
    inner: S,
}

impl<S, Body, Answer> Service<http::Request<Body>> for Measured<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Answer>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    Answer: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let method = METHODS.iter().copied().find(|known| *known == path).unwrap_or("other");
        let method = method.rsplit('/').next().unwrap_or(method);
        let watch = Stopwatch::start();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            // An error without a message comes as headers alone; success says its status in the trailers.
            let failed = answer.headers().get("grpc-status").is_some_and(|status| status != "0");
            let outcome = if failed { "error" } else { "ok" };
            metrics::counter!("core_grpc_calls_total", "method" => method, "outcome" => outcome).increment(1);
            metrics::histogram!("core_grpc_seconds", "method" => method).record(watch.elapsed().as_secs_f64());
            Ok(answer)
        })
    }
}
