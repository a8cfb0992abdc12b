//! The log and the metrics.

use std::{io::IsTerminal as _, sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Upper bounds of the time histograms, in seconds: from a call decided in memory to a slow store.
const SECONDS: &[f64] = &[0.000_1, 0.000_5, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];

/// How often measured times are folded into their histograms: until then each takes 8 bytes, and at 10,000 calls a second that is 400 KB.
pub const FOLD_EVERY: Duration = Duration::from_secs(5);

/// Starts the log on stderr, for people or as JSON lines (by default what fits where it goes): what `RUST_LOG` lets through, else `info`. Only the first call counts.
pub fn start_log(pretty: Option<bool>) {
    let pretty = pretty.unwrap_or_else(|| std::io::stderr().is_terminal());
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn,refinery_core=warn,fred=off"));
    let registry = tracing_subscriber::registry().with(filter);
    let started = if pretty {
        registry
            .with(fmt::layer().with_writer(std::io::stderr).with_target(false))
            .try_init()
    } else {
        registry
            .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
            .try_init()
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
}

/// Starts the metrics, once a process; gives what `/metrics` shows.
///
/// # Panics
/// If the bounds of the histograms are refused: they are constants.
pub fn start_metrics() -> PrometheusHandle {
    static STARTED: OnceLock<PrometheusHandle> = OnceLock::new();
    let start = || {
        let recorder = PrometheusBuilder::new()
            .set_buckets(SECONDS)
            .expect("the bounds are not empty")
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another recorder has the metrics: /metrics shows none");
        }
        handle
    };
    STARTED.get_or_init(start).clone()
}
