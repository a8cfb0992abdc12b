//! A sample a minute of every node's machine, on its way to the store.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use crate::{
    clock::Clock,
    model::{
        NodeId, Time,
        stats::{StatsSample, SystemStats},
    },
    store::{Store, StoreError},
};

/// How often it writes: a minute is in the store at most so long after its end.
const EVERY: Duration = Duration::from_secs(10);

/// So many minutes wait while the store is away: 10,000 nodes take some 110 bytes each a minute, 18 MB in all. Memory shows the last 15 minutes anyway.
const MINUTES_MAX: usize = 16;

/// The most samples of one transaction.
const BATCH: usize = 2_000;

/// The last word of each node in each minute that is not in the store yet.
#[derive(Debug, Default)]
pub struct Collector {
    minutes: Mutex<BTreeMap<Time, HashMap<NodeId, SystemStats>>>,
}

impl Collector {
    /// A node said how its machine is.
    pub fn note(&self, node: NodeId, at: Time, system: &SystemStats) {
        let mut minutes = self.minutes();
        minutes.entry(at.minute()).or_default().insert(node, *system);
        if minutes.len() > MINUTES_MAX
            && let Some((_, dropped)) = minutes.pop_first()
        {
            count_dropped(dropped.len());
        }
    }

    /// Takes out what is not of this minute or later ones.
    fn take_before(&self, minute: Time) -> BTreeMap<Time, HashMap<NodeId, SystemStats>> {
        let mut minutes = self.minutes();
        let later = minutes.split_off(&minute);
        std::mem::replace(&mut *minutes, later)
    }

    /// Takes back what could not be written. What was said since is newer.
    fn take_back(&self, samples: &[StatsSample]) {
        let mut minutes = self.minutes();
        for sample in samples {
            let minute = minutes.entry(sample.at).or_default();
            minute.entry(sample.node).or_insert(sample.system);
        }
        while minutes.len() > MINUTES_MAX
            && let Some((_, dropped)) = minutes.pop_first()
        {
            count_dropped(dropped.len());
        }
    }

    fn minutes(&self) -> MutexGuard<'_, BTreeMap<Time, HashMap<NodeId, SystemStats>>> {
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count_dropped(samples: usize) {
    metrics::counter!("core_node_stats_dropped_total").increment(samples as u64);
}

/// Writes what was collected.
pub struct SampleSaver {
    collector: Arc<Collector>,
    store: Arc<dyn Store>,
    clock: Clock,
    failing: bool,
}

impl SampleSaver {
    /// A saver that has written nothing yet.
    pub fn new(collector: Arc<Collector>, store: Arc<dyn Store>, clock: Clock) -> Self {
        Self {
            collector,
            store,
            clock,
            failing: false,
        }
    }

    /// Writes the minutes that are over, until it is told to stop; then the one that is not over too.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let end = tokio::select! {
                _ = ticks.tick() => false,
                _ = stopped.wait_for(|stopped| *stopped) => true,
            };
            if end {
                return self.save(Time::from_millis(i64::MAX)).await;
            }
            self.save(self.clock.now().minute()).await;
        }
    }

    /// Writes what is not of this minute or later ones. What can't be written waits.
    async fn save(&mut self, before: Time) {
        let samples: Vec<StatsSample> = self
            .collector
            .take_before(before)
            .into_iter()
            .flat_map(|(at, nodes)| {
                nodes
                    .into_iter()
                    .map(move |(node, system)| StatsSample { node, at, system })
            })
            .collect();
        let mut rest = samples.as_slice();
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(BATCH));
            match self.store.save_node_stats(batch).await {
                Ok(()) => self.failing = false,
                Err(error) => return self.failed(&error, rest),
            }
            rest = later;
        }
    }

    /// Said once, until it works again. What the store would refuse for ever must not hold up the rest.
    fn failed(&mut self, error: &StoreError, rest: &[StatsSample]) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(%error, samples = rest.len(), "samples of the nodes' machines can't be written now");
        }
        if matches!(error, StoreError::Away(_)) {
            self.collector.take_back(rest);
        } else {
            count_dropped(rest.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64, seconds: i64) -> Time {
        Time::from_millis((29_400_000 + minute) * 60_000 + seconds * 1_000)
    }

    fn system(number: i64) -> SystemStats {
        SystemStats {
            uptime_seconds: number,
            ..SystemStats::default()
        }
    }

    fn numbers(minutes: &BTreeMap<Time, HashMap<NodeId, SystemStats>>) -> Vec<(Time, i64)> {
        let numbers = |(at, nodes): (&Time, &HashMap<NodeId, SystemStats>)| {
            let mut numbers: Vec<_> = nodes.values().map(|system| (*at, system.uptime_seconds)).collect();
            numbers.sort_unstable();
            numbers
        };
        minutes.iter().flat_map(numbers).collect()
    }

    #[test]
    fn the_last_word_of_a_minute_counts_when_the_minute_is_over() {
        let collector = Collector::default();
        for (minute, seconds, node, number) in [(0, 0, 1, 1), (0, 58, 1, 2), (0, 30, 2, 3), (1, 0, 1, 4)] {
            collector.note(NodeId(node), at(minute, seconds), &system(number));
        }
        assert!(collector.take_before(at(0, 0)).is_empty());
        assert_eq!(
            numbers(&collector.take_before(at(1, 0))),
            [(at(0, 0), 2), (at(0, 0), 3)]
        );
        assert_eq!(
            numbers(&collector.take_before(Time::from_millis(i64::MAX))),
            [(at(1, 0), 4)]
        );
    }

    #[test]
    fn what_could_not_be_written_waits_and_what_is_newer_wins() {
        let collector = Collector::default();
        collector.note(NodeId(1), at(0, 1), &system(1));
        collector.note(NodeId(2), at(0, 1), &system(2));
        let taken = collector.take_before(at(1, 0));
        collector.note(NodeId(1), at(0, 59), &system(10));
        let back: Vec<StatsSample> = taken
            .into_iter()
            .flat_map(|(at, nodes)| {
                nodes
                    .into_iter()
                    .map(move |(node, system)| StatsSample { node, at, system })
            })
            .collect();
        collector.take_back(&back);
        assert_eq!(
            numbers(&collector.take_before(at(1, 0))),
            [(at(0, 0), 2), (at(0, 0), 10)]
        );
    }

    #[test]
    fn the_oldest_minutes_go_when_too_many_wait() {
        let collector = Collector::default();
        for minute in 0..100 {
            collector.note(NodeId(1), at(minute, 0), &system(minute));
        }
        let waits = numbers(&collector.take_before(at(200, 0)));
        assert_eq!(waits.len(), MINUTES_MAX);
        assert_eq!(waits[0], (at(84, 0), 84));
        let back = StatsSample {
            node: NodeId(1),
            at: at(1, 0),
            system: system(1),
        };
        collector.take_back(&[back]);
        assert_eq!(numbers(&collector.take_before(at(200, 0))), [(at(1, 0), 1)]);
    }
}
