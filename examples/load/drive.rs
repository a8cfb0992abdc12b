//! Sends calls, and writes down how long they took.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use http::HeaderValue;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::{io::unix::AsyncFd, task::JoinSet};
use vpn_core::clock::Stopwatch;

use super::{calls::Kind, client::Line};

/// What takes longer counts as this; a minute in microseconds.
const LONGEST: u64 = 60_000_000;

/// What is to be sent.
#[derive(Clone)]
pub struct Shot {
    pub kind: Kind,
    /// On which of the lines.
    pub line: usize,
    pub key: HeaderValue,
    pub message: Bytes,
}

/// What came of it.
pub struct Tally {
    pub calls: u64,
    pub failed: u64,
    /// Of what failed first.
    pub first: Option<String>,
    pub took: Duration,
    /// In microseconds.
    pub latencies: Histogram<u64>,
}

impl Tally {
    fn new() -> Self {
        Self {
            calls: 0,
            failed: 0,
            first: None,
            took: Duration::ZERO,
            latencies: Histogram::new_with_bounds(1, LONGEST, 3).unwrap(),
        }
    }

    fn note(&mut self, took: Duration, outcome: anyhow::Result<()>) {
        self.calls += 1;
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros);
        if let Err(error) = outcome {
            self.failed += 1;
            self.first.get_or_insert_with(|| error.to_string());
        }
    }

    /// Calls a second.
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    pub fn rate(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }

    /// What so many percent of the calls took at most.
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    pub fn millis(&self, percent: f64) -> f64 {
        self.latencies.value_at_percentile(percent) as f64 / 1_000.0
    }
}

/// As fast as answers come: `under_way` calls on every line, for so long.
pub async fn closed(lines: &[Line], under_way: usize, span: Duration, next: impl FnMut(usize) -> Shot) -> Tally {
    let tally = RefCell::new(Tally::new());
    let next = RefCell::new(next);
    let watch = Stopwatch::start();
    let workers = (0..lines.len() * under_way).map(|worker| {
        let line = worker % lines.len();
        let (tally, next) = (&tally, &next);
        async move {
            while watch.elapsed() < span {
                let shot = next.borrow_mut()(line);
                let since = Stopwatch::start();
                let outcome = lines[line].call(shot.kind, &shot.key, shot.message).await;
                tally.borrow_mut().note(since.elapsed(), outcome);
            }
        }
    });
    join_all(workers).await;
    let mut tally = tally.into_inner();
    tally.took = watch.elapsed();
    tally
}

/// Each call when it is due, whatever became of those before; what it took counts from then. `due` gives the times since the start, rising.
/// Tallies by kind.
pub async fn open(
    lines: &[Line],
    due: impl Iterator<Item = (Duration, Shot)>,
) -> anyhow::Result<BTreeMap<Kind, Tally>> {
    let tallies: Arc<Mutex<BTreeMap<Kind, Tally>>> = Arc::default();
    let pacer = Pacer::new()?;
    let watch = Stopwatch::start();
    let mut calls = JoinSet::new();
    for (due, shot) in due {
        pacer.pause(due.saturating_sub(watch.elapsed())).await?;
        let (line, tallies) = (lines[shot.line].clone(), Arc::clone(&tallies));
        calls.spawn(async move {
            let outcome = line.call(shot.kind, &shot.key, shot.message).await;
            let took = watch.elapsed().saturating_sub(due);
            let mut tallies = tallies.lock().unwrap();
            tallies.entry(shot.kind).or_insert_with(Tally::new).note(took, outcome);
        });
        while calls.try_join_next().is_some() {}
    }
    calls.join_all().await;
    let mut tallies = std::mem::take(&mut *tallies.lock().unwrap());
    tallies.values_mut().for_each(|tally| tally.took = watch.elapsed());
    Ok(tallies)
}

/// Waits for moments: the runtime's timer is exact to a millisecond only.
struct Pacer(AsyncFd<OwnedFd>);

impl Pacer {
    #[expect(
        deprecated,
        reason = "its successor is unsafe; an `OwnedFd` keeps what that asks for"
    )]
    fn new() -> std::io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        Ok(Self(AsyncFd::new(timer)?))
    }

    async fn pause(&self, span: Duration) -> anyhow::Result<()> {
        if span.is_zero() {
            // It is late; the calls under way go on meanwhile.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: span.try_into()?,
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(read) = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0; 8])?)) {
                read?;
                return Ok(());
            }
        }
    }
}
