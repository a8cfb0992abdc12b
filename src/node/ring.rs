//! The last 15 minutes of a node's machine, a sample every 2 s.
//!
//! The arithmetic: a sample takes 50 bytes, 450 of them are 15 minutes: 22,500 bytes, for which the allocator gives 24,576. What of a machine changes once in
//! a lifetime (memory, disk, processors) is kept once, beside the samples. With the rest of the actor, its state and its mailbox a node stays below
//! 32 KiB; 10,000 nodes take 250 MB when all of them have reported for 15 minutes. Room is taken twice: for 50 samples, so that a node that reports once
//! takes 2.5 kB, then for all; more steps would leave as many holes behind in memory, of as many sizes, for every node.

mod sample;

use std::{collections::VecDeque, time::Duration};

use crate::model::{
    Time,
    stats::{StatsPoint, SystemStats},
};

use sample::{Machine, Sample};

/// For how long samples are kept.
pub const SPAN: Duration = Duration::from_mins(15);

/// How far samples are apart, on average: more are sent only by an agent that is wrong.
const EVERY_MILLIS: u32 = 2_000;

/// So much sooner than it is due a sample may come: calls do not arrive on the tick.
const EARLY_MILLIS: u32 = 500;

/// 15 minutes of samples.
const SAMPLES_MAX: usize = 450;

/// How many samples room is made for at first.
const FIRST_ROOM: usize = 50;

/// Past this many milliseconds the times in the ring are counted from its oldest sample anew: 24 days.
const REBASE: u32 = u32::MAX / 2;

/// See the module.
#[derive(Debug, Default)]
pub struct Ring {
    /// Times are counted from here.
    base: Time,
    samples: VecDeque<Sample>,
    /// What the machine is, and from which sample's time on. Nearly always one.
    machines: VecDeque<(u32, Machine)>,
    /// From when on another sample is kept; until then it takes the last one's place.
    due: u32,
}

impl Ring {
    /// Takes a sample. Of those that come faster than every 2 s the latest counts; if the clock was set back, what lies in the future goes.
    pub fn push(&mut self, at: Time, system: &SystemStats) {
        while self.newest().is_some_and(|newest| newest > at) {
            self.samples.pop_back();
            self.due = 0;
        }
        self.let_go(at);
        let at = self.place(at);
        self.know(at, Machine::new(system));
        let sample = Sample::new(at, system);
        let early = at.saturating_add(EARLY_MILLIS) < self.due;
        match self.samples.back_mut() {
            Some(last) if early => *last = sample,
            _ => {
                self.due = self
                    .due
                    .max(at.saturating_sub(EARLY_MILLIS))
                    .saturating_add(EVERY_MILLIS);
                self.grow();
                self.samples.push_back(sample);
            }
        }
    }

    /// All samples of the last 15 minutes, oldest first.
    pub fn points(&self, now: Time) -> Vec<StatsPoint> {
        let oldest = now.minus(SPAN);
        let points = self.samples.iter().map(|sample| StatsPoint {
            at: self.time(sample.at),
            system: sample.system(self.machine(sample.at)),
        });
        points.filter(|point| point.at >= oldest).collect()
    }

    /// What the machine was then.
    fn machine(&self, at: u32) -> Machine {
        let later = self.machines.partition_point(|(from, _)| *from <= at);
        self.machines[later.saturating_sub(1)].1
    }

    /// From this sample on the machine is this one.
    fn know(&mut self, at: u32, machine: Machine) {
        while self.machines.back().is_some_and(|(from, _)| *from >= at) {
            self.machines.pop_back();
        }
        if self.machines.back().is_none_or(|(_, known)| *known != machine) {
            self.machines.push_back((at, machine));
        }
        let oldest = self.samples.front().map_or(at, |sample| sample.at);
        while self.machines.get(1).is_some_and(|(from, _)| *from <= oldest) {
            self.machines.pop_front();
        }
    }

    fn newest(&self) -> Option<Time> {
        self.samples.back().map(|sample| self.time(sample.at))
    }

    fn time(&self, at: u32) -> Time {
        self.base.plus(Duration::from_millis(at.into()))
    }

    /// Lets go of what is older than 15 minutes.
    fn let_go(&mut self, now: Time) {
        let oldest = now.minus(SPAN);
        while self.samples.front().is_some_and(|sample| self.time(sample.at) < oldest) {
            self.samples.pop_front();
        }
    }

    /// Where a moment is in the ring, which holds nothing later.
    fn place(&mut self, at: Time) -> u32 {
        let millis = |at: Time, base: Time| u32::try_from(at.since(base).as_millis()).unwrap_or(u32::MAX);
        if self.samples.is_empty() {
            (self.base, self.due) = (at, 0);
        } else if millis(at, self.base) > REBASE
            && let Some(oldest) = self.samples.front().map(|sample| sample.at)
        {
            self.base = self.time(oldest);
            self.due = self.due.saturating_sub(oldest);
            self.samples.iter_mut().for_each(|sample| sample.at -= oldest);
            self.machines
                .iter_mut()
                .for_each(|(from, _)| *from = from.saturating_sub(oldest));
        }
        millis(at, self.base)
    }

    /// Makes room for one more.
    fn grow(&mut self) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        } else if self.samples.len() == self.samples.capacity() {
            let room = if self.samples.is_empty() {
                FIRST_ROOM
            } else {
                SAMPLES_MAX
            };
            self.samples.reserve_exact(room - self.samples.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Time {
        Time::from_millis(1_764_000_000_000 + millis)
    }

    fn system(number: i64) -> SystemStats {
        SystemStats {
            uptime_seconds: number,
            ..SystemStats::default()
        }
    }

    fn numbers(ring: &Ring, now: Time) -> Vec<i64> {
        ring.points(now)
            .iter()
            .map(|point| point.system.uptime_seconds)
            .collect()
    }

    #[test]
    fn a_full_ring_fits_its_budget() {
        assert_eq!(size_of::<Sample>(), 50);
        let mut ring = Ring::default();
        for number in 0..2_000 {
            ring.push(at(number * 2_000), &system(number));
            let room = if number < 50 { FIRST_ROOM } else { SAMPLES_MAX };
            assert_eq!(ring.samples.capacity(), room);
        }
        assert_eq!(ring.samples.len(), SAMPLES_MAX);
        assert_eq!((ring.samples.capacity(), ring.machines.len()), (SAMPLES_MAX, 1));
        let bytes = size_of::<Ring>() + ring.samples.capacity() * size_of::<Sample>();
        assert!(bytes <= 24 << 10, "{bytes}");
    }

    #[test]
    fn what_was_sent_is_kept() {
        let sent = SystemStats {
            uptime_seconds: 86_400 * 400,
            cpu_percent: 33.3,
            cpu_cores: 512,
            ram_used: 1,
            ram_total: 1_234_567_890_123,
            disk_used: 99_999_999_999_999,
            disk_total: (1 << 48) - 1,
            net_rx_per_sec: 123_456_789,
            net_tx_per_sec: (1 << 40) - 1,
            net_rx_total: i64::MAX,
            net_tx_total: 9_007_199_254_740_993,
        };
        let mut ring = Ring::default();
        ring.push(at(7), &sent);
        let points = ring.points(at(7));
        assert_eq!(
            points,
            [StatsPoint {
                at: at(7),
                system: sent
            }]
        );
    }

    #[test]
    fn what_is_no_measure_is_zero_or_the_most_that_there_is() {
        let sent = SystemStats {
            uptime_seconds: -1,
            cpu_percent: f64::NAN,
            cpu_cores: i32::MAX,
            ram_used: -1,
            ram_total: i64::MAX,
            disk_used: i64::MIN,
            disk_total: i64::MAX,
            net_rx_per_sec: -5,
            net_tx_per_sec: i64::MAX,
            net_rx_total: -1,
            net_tx_total: i64::MAX,
        };
        let mut ring = Ring::default();
        ring.push(at(0), &sent);
        let kept = ring.points(at(0))[0].system;
        assert_eq!(
            (kept.uptime_seconds, kept.ram_used, kept.disk_used, kept.net_rx_total),
            (0, 0, 0, 0)
        );
        assert_eq!((kept.cpu_percent, kept.cpu_cores), (0.0, 65_535));
        assert_eq!((kept.ram_total, kept.disk_total), ((1 << 48) - 1, (1 << 48) - 1));
        assert_eq!((kept.net_rx_per_sec, kept.net_tx_per_sec), (0, (1 << 40) - 1));
    }

    #[test]
    fn a_machine_that_changes_is_what_it_was_at_every_sample() {
        let mut ring = Ring::default();
        let with = |disk_total, number| SystemStats {
            disk_total,
            ..system(number)
        };
        let disks = |ring: &Ring, now| -> Vec<i64> {
            let points = ring.points(at(now));
            points.iter().map(|point| point.system.disk_total).collect()
        };
        for (second, disk) in [(0, 5), (2, 5), (4, 9), (6, 9), (8, 5)] {
            ring.push(at(second * 1_000), &with(disk, second));
        }
        assert_eq!(disks(&ring, 8_000), [5, 5, 9, 9, 5]);
        // One that comes too soon takes the last one's place, and the clock is set back over two.
        ring.push(at(8_300), &with(7, 8));
        assert_eq!(disks(&ring, 8_300), [5, 5, 9, 9, 7]);
        ring.push(at(5_000), &with(3, 5));
        assert_eq!(disks(&ring, 5_000), [5, 5, 9, 3]);
        ring.push(at(902_500), &with(3, 6));
        assert_eq!(disks(&ring, 902_500), [9, 3, 3]);
        assert_eq!(ring.machines.len(), 2);
        for number in 0..2_000 {
            ring.push(at(1_000_000 + number * 2_000), &with(number % 2, number));
        }
        assert!(ring.machines.len() <= SAMPLES_MAX + 1);
        assert_eq!(disks(&ring, 1_000_000 + 1_999 * 2_000)[..3], [0, 1, 0]);
    }

    #[test]
    fn a_flood_does_not_shorten_the_15_minutes() {
        let mut ring = Ring::default();
        for millis in 0..1_000_000 {
            ring.push(at(millis), &system(millis));
        }
        let points = ring.points(at(1_000_000));
        assert!(points.len() >= SAMPLES_MAX - 1, "{}", points.len());
        let oldest = points[0].at.millis() - at(0).millis();
        assert!((100_000..=104_000).contains(&oldest), "{oldest}");
        assert_eq!(points.last().unwrap().system.uptime_seconds, 999_999);
        assert!(points.windows(2).all(|two| two[0].at < two[1].at));
    }

    #[test]
    fn calls_that_are_not_on_the_tick_are_all_kept() {
        let mut ring = Ring::default();
        for number in 0..450 {
            let jitter = [0, 400, -400, 90, -250][usize::try_from(number % 5).unwrap()];
            ring.push(at(1_000 + number * 2_000 + jitter), &system(number));
        }
        assert_eq!(numbers(&ring, at(899_000)), (0..450).collect::<Vec<_>>());
    }

    #[test]
    fn the_latest_of_a_burst_counts() {
        let mut ring = Ring::default();
        for (millis, number) in [(0, 1), (2_000, 2), (2_100, 3), (2_200, 4), (4_000, 5)] {
            ring.push(at(millis), &system(number));
        }
        assert_eq!(numbers(&ring, at(4_000)), [1, 4, 5]);
    }

    #[test]
    fn what_is_old_goes() {
        let mut ring = Ring::default();
        ring.push(at(0), &system(1));
        ring.push(at(10_000), &system(2));
        assert_eq!(numbers(&ring, at(900_000)), [1, 2]);
        assert_eq!(numbers(&ring, at(900_001)), [2]);
        ring.push(at(905_000), &system(3));
        assert_eq!(ring.samples.len(), 2);
        assert!(numbers(&ring, at(20_000_000)).is_empty());
    }

    #[test]
    fn a_clock_that_is_set_back_takes_the_future_away() {
        let mut ring = Ring::default();
        for number in 0..10 {
            ring.push(at(number * 2_000), &system(number));
        }
        ring.push(at(9_000), &system(100));
        assert_eq!(numbers(&ring, at(9_000)), [0, 1, 2, 3, 4, 100]);
        ring.push(at(-5_000_000_000), &system(200));
        ring.push(at(-4_999_998_000), &system(201));
        assert_eq!(numbers(&ring, at(-4_999_998_000)), [200, 201]);
        ring.push(Time::default(), &system(300));
        assert_eq!(numbers(&ring, Time::default()), [300]);
    }

    #[test]
    fn a_ring_lives_for_years() {
        let mut ring = Ring::default();
        let two_months = 5_184_000_000_i64;
        // The ring is never empty: a call every 10 minutes.
        for number in 0..two_months / 600_000 {
            ring.push(at(number * 600_000), &system(number));
        }
        let last = two_months / 600_000 - 1;
        assert_eq!(numbers(&ring, at(last * 600_000)), [last - 1, last]);
        assert_eq!(ring.points(at(last * 600_000))[1].at, at(last * 600_000));
        ring.push(at(i64::MAX / 1_000_000), &system(7));
        assert_eq!(ring.samples.len(), 1);
    }
}
