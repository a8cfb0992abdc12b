//! The last 15 minutes of a node's machine, a sample every 2 s.
//!
//! The arithmetic: a sample takes 64 bytes, 450 of them are 15 minutes: 28,800 bytes. With the rest of the actor, its state and its mailbox that stays
//! below 32 KiB a node; 10,000 nodes take 290 MB when all of them have reported for 15 minutes. Room is taken twice: for 50 samples, so that a node that
//! reports once takes 3.2 kB, then for all; more steps would leave as many holes behind in memory, of as many sizes, for every node.
//!
//! What a sample keeps is what was sent, to the byte, but for the share of the processor (24 bits, some 7 digits) and for what no machine has: above
//! 256 TiB of memory or disk, or 1 TiB a second, it is held there. What is below zero or no number is zero.

use std::{collections::VecDeque, time::Duration};

use crate::model::{
    Time,
    stats::{StatsPoint, SystemStats},
};

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
    /// From when on another sample is kept; until then it takes the last one's place.
    due: u32,
}

/// A number of so many bytes that is not below zero.
#[derive(Debug, Clone, Copy)]
struct Narrow<const N: usize>([u8; N]);

/// Bytes of memory or disk, up to 256 TiB.
type Size = Narrow<6>;

/// Bytes a second, up to 1 TiB.
type Rate = Narrow<5>;

#[derive(Debug, Clone, Copy)]
struct Sample {
    net_rx_total: u64,
    net_tx_total: u64,
    /// Milliseconds after the ring's base.
    at: u32,
    uptime_seconds: u32,
    cpu_percent: f32,
    cpu_cores: u16,
    ram_used: Size,
    ram_total: Size,
    disk_used: Size,
    disk_total: Size,
    net_rx_per_sec: Rate,
    net_tx_per_sec: Rate,
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
            system: sample.system(),
        });
        points.filter(|point| point.at >= oldest).collect()
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

impl Sample {
    #[allow(clippy::cast_possible_truncation, reason = "24 bits of it are kept")]
    fn new(at: u32, system: &SystemStats) -> Self {
        let whole = |value: i64| u64::try_from(value).unwrap_or(0);
        let cpu = system.cpu_percent as f32;
        Self {
            net_rx_total: whole(system.net_rx_total),
            net_tx_total: whole(system.net_tx_total),
            at,
            uptime_seconds: u32::try_from(whole(system.uptime_seconds)).unwrap_or(u32::MAX),
            cpu_percent: if cpu.is_finite() { cpu.max(0.0) } else { 0.0 },
            cpu_cores: u16::try_from(system.cpu_cores.max(0)).unwrap_or(u16::MAX),
            ram_used: Size::new(system.ram_used),
            ram_total: Size::new(system.ram_total),
            disk_used: Size::new(system.disk_used),
            disk_total: Size::new(system.disk_total),
            net_rx_per_sec: Rate::new(system.net_rx_per_sec),
            net_tx_per_sec: Rate::new(system.net_tx_per_sec),
        }
    }

    fn system(&self) -> SystemStats {
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        // As it is written, not as it is in 24 bits: 33.3 was sent, not 33.299999237.
        let cpu_percent = self.cpu_percent.to_string().parse();
        SystemStats {
            uptime_seconds: self.uptime_seconds.into(),
            cpu_percent: cpu_percent.unwrap_or_else(|_| self.cpu_percent.into()),
            cpu_cores: self.cpu_cores.into(),
            ram_used: self.ram_used.get(),
            ram_total: self.ram_total.get(),
            disk_used: self.disk_used.get(),
            disk_total: self.disk_total.get(),
            net_rx_per_sec: self.net_rx_per_sec.get(),
            net_tx_per_sec: self.net_tx_per_sec.get(),
            net_rx_total: whole(self.net_rx_total),
            net_tx_total: whole(self.net_tx_total),
        }
    }
}

impl<const N: usize> Narrow<N> {
    const MOST: u64 = (1 << (8 * N)) - 1;

    fn new(value: i64) -> Self {
        let bytes = u64::try_from(value).unwrap_or(0).min(Self::MOST).to_le_bytes();
        let mut narrow = [0; N];
        narrow.copy_from_slice(&bytes[..N]);
        Self(narrow)
    }

    fn get(self) -> i64 {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.0);
        i64::from_le_bytes(wide)
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
        assert_eq!(size_of::<Sample>(), 64);
        let mut ring = Ring::default();
        for number in 0..2_000 {
            ring.push(at(number * 2_000), &system(number));
            let room = if number < 50 { FIRST_ROOM } else { SAMPLES_MAX };
            assert_eq!(ring.samples.capacity(), room);
        }
        assert_eq!(ring.samples.len(), SAMPLES_MAX);
        assert_eq!(ring.samples.capacity(), SAMPLES_MAX);
        let bytes = size_of::<Ring>() + ring.samples.capacity() * size_of::<Sample>();
        assert!(bytes <= 29 << 10, "{bytes}");
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
