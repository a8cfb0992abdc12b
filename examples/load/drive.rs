//! Sends calls, and writes down how long they took.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use http::HeaderValue;
use tokio::{
    sync::mpsc,
    task::{JoinSet, LocalSet},
};

use vpn_core::clock::Stopwatch;

use super::{calls::Kind, client::Line};

/// Calls that are due and not sent yet: beyond that the generator is too slow, and its pacer waits.
const DUE: usize = 65_536;

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
    due: impl Iterator<Item = (Duration, Shot)> + Send + 'static,
) -> BTreeMap<Kind, Tally> {
    let (send, mut receive) = mpsc::channel(DUE);
    let watch = Stopwatch::start();
    // A thread of its own: the runtime's timer is exact to a millisecond only.
    let pacer = std::thread::spawn(move || {
        for (at, shot) in due {
            pause(at.saturating_sub(watch.elapsed()));
            if send.blocking_send((at, shot)).is_err() {
                return;
            }
        }
    });
    let tallies: Rc<RefCell<BTreeMap<Kind, Tally>>> = Rc::default();
    let sending = async {
        let mut calls = JoinSet::new();
        while let Some((due, shot)) = receive.recv().await {
            let (line, tallies) = (lines[shot.line].clone(), Rc::clone(&tallies));
            calls.spawn_local(async move {
                let outcome = line.call(shot.kind, &shot.key, shot.message).await;
                let mut tallies = tallies.borrow_mut();
                let tally = tallies.entry(shot.kind).or_insert_with(Tally::new);
                tally.note(watch.elapsed().saturating_sub(due), outcome);
            });
            while calls.try_join_next().is_some() {}
        }
        calls.join_all().await;
    };
    LocalSet::new().run_until(sending).await;
    pacer.join().unwrap();
    let mut tallies = tallies.take();
    tallies.values_mut().for_each(|tally| tally.took = watch.elapsed());
    tallies
}

#[expect(clippy::disallowed_methods, reason = "to wait for a moment is what it is for")]
fn pause(span: Duration) {
    std::thread::sleep(span);
}
