//! The only place that asks what time it is.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::model::Time;

/// Tells the time. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` and moves only by [`Clock::advance`]: for tests.
    pub fn manual(start: Time) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.millis()))))
    }

    /// Now.
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::System => {
                #[allow(clippy::disallowed_methods, reason = "this is the clock")]
                let now = jiff::Timestamp::now();
                Time::from_millis(now.as_millisecond())
            }
            Source::Manual(millis) => Time::from_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// How long it has been since some moment before: it never goes back, as [`Clock::now`] may.
    pub fn running(&self) -> Duration {
        static START: OnceLock<Stopwatch> = OnceLock::new();
        match &self.0 {
            Source::System => START.get_or_init(Stopwatch::start).elapsed(),
            Source::Manual(millis) => {
                let millis = u64::try_from(millis.load(Ordering::SeqCst)).unwrap_or(0);
                Duration::from_millis(millis)
            }
        }
    }

    /// Moves a manual clock on.
    ///
    /// # Panics
    /// If this is the machine's clock.
    pub fn advance(&self, span: Duration) {
        match &self.0 {
            Source::System => panic!("the machine's clock can't be moved"),
            Source::Manual(millis) => millis.store(self.now().plus(span).millis(), Ordering::SeqCst),
        }
    }
}

/// Measures how long something took: for metrics and for the patience with a connection, never for what is decided about nodes.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        #[allow(clippy::disallowed_methods, reason = "this is the clock")]
        let now = std::time::Instant::now();
        Self(now)
    }

    /// How long it has been.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
