//! Whether Redis is there: by what became of the last command, and by what the connection tells of itself.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering::Relaxed},
};
use std::time::Duration;

use crate::{clock::Clock, model::Time};

/// An answer as old as this says nothing of now: somebody asks every second.
const FRESH: Duration = Duration::from_secs(5);

/// What is known of it.
const UNKNOWN: u8 = 0;
const THERE: u8 = 1;
const AWAY: u8 = 2;

/// See the module.
pub(super) struct Health {
    state: AtomicU8,
    /// When it last answered, in milliseconds since 1970.
    heard: AtomicI64,
    /// It has answered since somebody looked.
    answered: AtomicBool,
    /// Why it can't be reached, as the connection told it last.
    fault: Mutex<Option<String>>,
    clock: Clock,
    shown: String,
}

impl Health {
    /// Of a Redis that nobody has asked yet.
    pub(super) fn new(clock: Clock, shown: String) -> Self {
        metrics::gauge!("core_redis_connected").set(0.0);
        Self {
            state: AtomicU8::new(UNKNOWN),
            heard: AtomicI64::new(0),
            answered: AtomicBool::new(false),
            fault: Mutex::default(),
            clock,
            shown,
        }
    }

    /// It answered.
    pub(super) fn answered(&self) {
        self.heard.store(self.clock.now().millis(), Relaxed);
        self.answered.store(true, Relaxed);
        if self.state.swap(THERE, Relaxed) != THERE {
            *self.fault() = None;
            metrics::gauge!("core_redis_connected").set(1.0);
            tracing::info!(redis = self.shown, "Redis is there");
        }
    }

    /// The connection tells that it is not.
    pub(super) fn told(&self, why: &str) {
        *self.fault() = Some(why.to_owned());
        self.silent();
    }

    /// It did not answer. Before anything is known of it that says no more than that there is no connection yet.
    pub(super) fn silent(&self) {
        let fault = self.fault();
        if fault.is_none() && self.state.load(Relaxed) == UNKNOWN {
            return;
        }
        if self.state.swap(AWAY, Relaxed) != AWAY {
            metrics::gauge!("core_redis_connected").set(0.0);
            let error = fault.as_deref().unwrap_or("no answer");
            tracing::warn!(
                redis = self.shown,
                error,
                "Redis is away: what is to be there is written when it is back"
            );
        }
    }

    /// Whether it is there.
    pub(super) fn is_there(&self) -> bool {
        let heard = Time::from_millis(self.heard.load(Relaxed));
        self.state.load(Relaxed) == THERE && self.clock.now().since(heard) <= FRESH
    }

    /// Whether it answered since the last look.
    pub(super) fn take_answered(&self) -> bool {
        self.answered.swap(false, Relaxed)
    }

    /// Why it can't be reached, if the connection told it.
    pub(super) fn why(&self) -> Option<String> {
        self.fault().clone()
    }

    fn fault(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_while_it_answers() {
        let clock = Clock::manual(Time::from_millis(1_000_000));
        let health = Health::new(clock.clone(), "redis://db".to_owned());
        health.silent();
        assert!(!health.is_there());
        health.answered();
        assert!(health.is_there() && health.take_answered() && !health.take_answered());
        clock.advance(FRESH);
        assert!(health.is_there());
        clock.advance(Duration::from_millis(1));
        assert!(!health.is_there());
        health.answered();
        health.told("connection refused");
        assert!(!health.is_there());
        assert_eq!(health.why().as_deref(), Some("connection refused"));
        health.answered();
        assert!(health.is_there() && health.why().is_none());
    }
}
