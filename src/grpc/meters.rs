//! Counts and times RPCs, by method.

use http::HeaderMap;
use metrics::{Counter, Histogram};

use crate::clock::Stopwatch;

/// The calls that are told apart; all others are one.
const METHODS: [&str; 7] = [
    "/nodeservice.NodeService/Heartbeat",
    "/nodeservice.NodeService/ReportUsage",
    "/nodeservice.NodeService/ReportOutboundUsage",
    "/nodeservice.NodeService/GetLatestConfig",
    "/nodeservice.NodeService/ConfirmConfigApplied",
    "/nodeservice.NodeService/ReportNodeStats",
    "/nodeservice.NodeService/ReportOnlineUsers",
];

/// Which of them a call is.
#[derive(Clone, Copy)]
pub struct Method(Option<usize>);

impl Method {
    /// The method with this path.
    pub fn at(path: &str) -> Self {
        Self(METHODS.iter().position(|known| *known == path))
    }

    /// Whether it is one of the nodes'.
    pub const fn is_known(self) -> bool {
        self.0.is_some()
    }
}

/// A meter a method. They are looked up once: to find one by its labels costs more than to move it.
pub struct Meters {
    methods: [Meter; METHODS.len()],
    others: Meter,
}

/// What is known of a method.
pub struct Meter {
    ok: Counter,
    failed: Counter,
    seconds: Histogram,
}

impl Default for Meters {
    /// All of them, at zero if they are new.
    fn default() -> Self {
        Self {
            methods: METHODS.map(|path| Meter::new(path.rsplit('/').next().unwrap_or(path))),
            others: Meter::new("other"),
        }
    }
}

impl Meters {
    /// The meter of a method.
    pub fn of(&self, method: Method) -> &Meter {
        method.0.map_or(&self.others, |index| &self.methods[index])
    }
}

impl Meter {
    fn new(method: &'static str) -> Self {
        Self {
            ok: metrics::counter!("core_grpc_calls_total", "method" => method, "outcome" => "ok"),
            failed: metrics::counter!("core_grpc_calls_total", "method" => method, "outcome" => "error"),
            seconds: metrics::histogram!("core_grpc_seconds", "method" => method),
        }
    }

    /// A call was answered with these headers.
    pub fn note(&self, watch: Stopwatch, answer: &HeaderMap) {
        // An error without a message comes as headers alone; success says its status in the trailers.
        let failed = answer.get("grpc-status").is_some_and(|status| status != "0");
        if failed { &self.failed } else { &self.ok }.increment(1);
        self.seconds.record(watch.elapsed().as_secs_f64());
    }
}
