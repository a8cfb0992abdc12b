//! How a node's machine was over time: what memory has of the last 15 minutes and what the store has of every minute, in steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    model::{
        NodeId, Time,
        stats::{StatsPoint, SystemStats},
    },
    node::ring,
    store::StoreError,
};

use super::{AdminError, Desk};

/// Steps that are taken when nobody says which, in seconds: the finest that makes no more than so many points.
const STEPS: [i64; 6] = [2, 10, 60, 300, 3_600, 86_400];
const POINTS_WANTED: i64 = 1_000;

/// The most points of an answer.
const POINTS_MAX: i64 = 5_000;

/// The longest step: a year.
const STEP_MAX: i64 = 366 * 86_400;

/// How much is read from the store at a time: a week of minutes.
const PAGE: u32 = 10_080;

/// What a sample of the store stands for beside one of memory: a minute beside 2 s.
const MINUTE_WEIGHT: i64 = 30;

/// What is asked for: all whole steps, UTC, that the span touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistorySpan {
    from: Time,
    to: Time,
    /// Milliseconds.
    step: i64,
}

impl HistorySpan {
    /// From one moment to before another, in steps of so many seconds; none = what suits the span.
    pub fn new(from: Time, to: Time, step: Option<i64>) -> Result<Self, AdminError> {
        if from > to {
            return Err(AdminError::Invalid("from must not be later than to".to_owned()));
        }
        let of = |seconds: i64| Self {
            from,
            to,
            step: seconds * 1_000,
        };
        let span = match step {
            Some(step) if (1..=STEP_MAX).contains(&step) => of(step),
            Some(_) => {
                return Err(AdminError::Invalid(format!(
                    "step must be between 1 and {STEP_MAX} seconds"
                )));
            }
            None => {
                let mut fine = STEPS.into_iter().map(of).filter(|it| it.steps() <= POINTS_WANTED);
                fine.next().unwrap_or_else(|| of(86_400))
            }
        };
        if span.steps() > POINTS_MAX {
            return Err(AdminError::Invalid(format!(
                "step is too small for this span: it would make more than {POINTS_MAX} points"
            )));
        }
        Ok(span)
    }

    /// The step, in seconds.
    pub const fn step_seconds(&self) -> i64 {
        self.step / 1_000
    }

    fn begin(&self) -> Time {
        self.step_of(self.from)
    }

    fn end(&self) -> Time {
        Time::from_millis(self.begin().millis() + self.steps() * self.step)
    }

    fn step_of(&self, at: Time) -> Time {
        Time::from_millis(at.millis() - at.millis() % self.step)
    }

    const fn steps(&self) -> i64 {
        let first = self.from.millis() / self.step;
        (self.to.millis() + self.step - 1) / self.step - first
    }
}

/// Samples, summed up step by step.
#[derive(Debug)]
struct History {
    span: HistorySpan,
    /// Minutes that memory knows: what the store has of them is in there.
    known: BTreeSet<Time>,
    steps: BTreeMap<Time, Step>,
}

#[derive(Debug, Default)]
struct Step {
    weight: i64,
    cpu_percent: f64,
    ram_used: i128,
    disk_used: i128,
    net_rx_per_sec: i128,
    net_tx_per_sec: i128,
    last: (Time, SystemStats),
}

impl History {
    /// What memory has, oldest first.
    fn new(span: HistorySpan, lately: &[StatsPoint]) -> Self {
        let mut history = Self {
            span,
            known: lately.iter().map(|point| point.at.minute()).collect(),
            steps: BTreeMap::new(),
        };
        lately.iter().for_each(|point| history.add(point, 1));
        history
    }

    /// Whether the store may know more: memory has everything from its first minute on.
    fn needs_store(&self) -> bool {
        self.known.first().is_none_or(|first| self.span.begin() < *first)
    }

    /// A minute of the store.
    fn add_minute(&mut self, point: &StatsPoint) {
        if !self.known.contains(&point.at.minute()) {
            self.add(point, MINUTE_WEIGHT);
        }
    }

    fn add(&mut self, point: &StatsPoint, weight: i64) {
        let StatsPoint { at, system } = *point;
        if at < self.span.begin() || at >= self.span.end() {
            return;
        }
        let step = self.steps.entry(self.span.step_of(at)).or_default();
        let weighed = |value: i64| i128::from(value) * i128::from(weight);
        step.weight += weight;
        #[allow(clippy::cast_precision_loss, reason = "a weight is small")]
        let share = system.cpu_percent * weight as f64;
        step.cpu_percent += share;
        step.ram_used += weighed(system.ram_used);
        step.disk_used += weighed(system.disk_used);
        step.net_rx_per_sec += weighed(system.net_rx_per_sec);
        step.net_tx_per_sec += weighed(system.net_tx_per_sec);
        if at >= step.last.0 {
            step.last = (at, system);
        }
    }

    /// A point for each step that has samples, oldest first.
    fn points(&self) -> Vec<StatsPoint> {
        let point = |(at, step): (&Time, &Step)| StatsPoint {
            at: *at,
            system: step.system(),
        };
        self.steps.iter().map(point).collect()
    }
}

impl Step {
    fn system(&self) -> SystemStats {
        let mean = |sum: i128| i64::try_from(sum / i128::from(self.weight.max(1))).unwrap_or(i64::MAX);
        #[allow(clippy::cast_precision_loss, reason = "a weight is small")]
        let cpu_percent = self.cpu_percent / self.weight.max(1) as f64;
        SystemStats {
            // Memory holds some 7 digits of it.
            cpu_percent: (cpu_percent * 1_000.0).round() / 1_000.0,
            ram_used: mean(self.ram_used),
            disk_used: mean(self.disk_used),
            net_rx_per_sec: mean(self.net_rx_per_sec),
            net_tx_per_sec: mean(self.net_tx_per_sec),
            ..self.last.1
        }
    }
}

impl Desk {
    /// How a node's machine was. While the store is away memory answers alone, if the span lies within its 15 minutes.
    pub async fn stats_history(&self, id: NodeId, span: HistorySpan) -> Result<Vec<StatsPoint>, AdminError> {
        let mut history = History::new(span, &self.nodes.lately(id).await?);
        if history.needs_store() {
            match self.add_minutes(id, &mut history).await {
                Err(StoreError::Away(_)) if span.from >= self.clock.now().minus(ring::SPAN) => {}
                added => added?,
            }
        }
        Ok(history.points())
    }

    async fn add_minutes(&self, id: NodeId, history: &mut History) -> Result<(), StoreError> {
        let (mut from, to) = (history.span.begin(), history.span.end());
        loop {
            let minutes = self.store.node_stats(id, from, to, PAGE).await?;
            for minute in &minutes {
                history.add_minute(&StatsPoint {
                    at: minute.at,
                    system: minute.system,
                });
            }
            match minutes.last() {
                Some(last) if minutes.len() == PAGE as usize => from = last.at.plus(Duration::from_millis(1)),
                _ => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
