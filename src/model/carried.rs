//! How many bytes a node may report by what its machine says that it carried.
//!
//! A byte for a user passes the machine twice, so `netRxTotal + netTxTotal` is twice what users can have had. All of it is allowed, and
//! [`MARGIN`] besides: what is beyond that nobody can have had.

use std::{collections::VecDeque, time::Duration};

use super::{Time, entry::Identity, stats::SystemStats, suspect::Suspicion, usage::UsageRow};

/// What counters that are read at different moments, and minutes that began before a machine did, may differ by.
pub const MARGIN: u64 = 1 << 30;

/// A machine that was not seen for longer than this may have carried what a fast line carries meanwhile.
const UNSEEN: Duration = Duration::from_mins(1);

/// 10 Gbit/s, in bytes a millisecond.
const LINE: u64 = 1_250_000;

/// So many reports are known again when they are repeated: an agent repeats what was not answered, and has few under way.
const REPEATS: usize = 16;

/// See the module. Bytes.
#[derive(Debug)]
pub struct Carried {
    /// The counters of the machine, as it last said them, and when.
    total: u64,
    at: Time,
    /// What it carried and users did not get yet.
    left: u64,
    /// The last reports, and what each of them took.
    taken: VecDeque<(u64, u64)>,
}

impl Carried {
    /// What the first look at the machine says; none if it says nothing.
    pub fn first(system: &SystemStats, at: Time) -> Option<Self> {
        let total = total(system)?;
        Some(Self {
            total,
            at,
            left: total.saturating_add(MARGIN),
            taken: VecDeque::new(),
        })
    }

    /// Another look. Counters that are lower than before began anew: the machine was started.
    pub fn look(&mut self, system: &SystemStats, at: Time) {
        let Some(total) = total(system) else { return };
        let grown = total
            .checked_sub(self.total)
            .unwrap_or_else(|| self.unseen(at).saturating_add(total));
        (self.total, self.at) = (total, at);
        self.left = self.left.saturating_add(grown);
    }

    /// Marks what the machine can't have carried; the rest is taken from what it did. A report that comes again first gives back what it took.
    pub fn judge(&mut self, identity: &Identity, rows: &mut [UsageRow], now: Time) {
        let id = short(identity);
        if let Some(before) = self.taken.iter().position(|(known, _)| *known == id)
            && let Some((_, bytes)) = self.taken.remove(before)
        {
            self.left = self.left.saturating_add(bytes);
        }
        let mut unseen = self.unseen(now);
        let mut taken = 0;
        for row in rows.iter_mut().filter(|row| row.suspect.is_none()) {
            let bytes = row.bytes().cast_unsigned();
            if bytes > self.left.saturating_add(unseen) {
                row.suspect = Some(Suspicion::BeyondCarried);
                continue;
            }
            let seen = bytes.min(self.left);
            self.left -= seen;
            unseen -= bytes - seen;
            taken += seen;
        }
        if self.taken.len() == REPEATS {
            self.taken.pop_front();
        }
        self.taken.push_back((id, taken));
    }

    fn unseen(&self, now: Time) -> u64 {
        let gap = now.since(self.at);
        if gap <= UNSEEN {
            return 0;
        }
        u64::try_from(gap.as_millis()).map_or(u64::MAX, |millis| millis.saturating_mul(LINE))
    }
}

/// Both ways. A machine whose counters stand at zero has none that can be read.
fn total(system: &SystemStats) -> Option<u64> {
    let way = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
    let total = way(system.net_rx_total).saturating_add(way(system.net_tx_total));
    (total > 0).then_some(total)
}

fn short(identity: &Identity) -> u64 {
    identity.hash.first_chunk().copied().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ProtocolId, UserId};

    const GIB: i64 = 1 << 30;

    fn at(seconds: i64) -> Time {
        Time::from_millis(1_700_000_000_000 + 1_000 * seconds)
    }

    fn machine(rx: i64, tx: i64) -> SystemStats {
        SystemStats {
            net_rx_total: rx,
            net_tx_total: tx,
            ..SystemStats::default()
        }
    }

    /// Which of these sizes are suspect in a report of this name.
    fn judged(carried: &mut Carried, name: &str, sizes: &[i64], now: Time) -> Vec<bool> {
        let row = |bytes_down: &i64| UsageRow {
            user: UserId(1),
            subscription: None,
            protocol: ProtocolId(1),
            minute: now.minute(),
            bytes_up: 0,
            bytes_down: *bytes_down,
            suspect: None,
        };
        let mut rows: Vec<_> = sizes.iter().map(row).collect();
        carried.judge(&Identity::of_key(name), &mut rows, now);
        rows.iter()
            .map(|row| row.suspect == Some(Suspicion::BeyondCarried))
            .collect()
    }

    #[test]
    fn no_more_counts_than_passed_the_machine() {
        let mut carried = Carried::first(&machine(GIB, 2 * GIB), at(0)).unwrap();
        assert_eq!(
            judged(&mut carried, "a", &[3 * GIB, GIB + 1, GIB], at(1)),
            [false, true, false]
        );
        assert_eq!(judged(&mut carried, "b", &[1, 0], at(1)), [true, false]);
        carried.look(&machine(GIB + 5, 2 * GIB + 5), at(2));
        assert_eq!(judged(&mut carried, "c", &[10, 1], at(2)), [false, true]);
    }

    #[test]
    fn a_report_that_comes_again_takes_once() {
        let mut carried = Carried::first(&machine(GIB, 0), at(0)).unwrap();
        for _ in 0..100 {
            assert_eq!(judged(&mut carried, "a", &[2 * GIB, 1], at(1)), [false, true]);
        }
        assert_eq!(judged(&mut carried, "b", &[1], at(1)), [true]);
        for number in 0..100 {
            judged(&mut carried, &number.to_string(), &[], at(1));
        }
        assert_eq!(carried.taken.len(), REPEATS);
    }

    #[test]
    fn counters_begin_anew_with_the_machine() {
        let mut carried = Carried::first(&machine(9 * GIB, 9 * GIB), at(0)).unwrap();
        assert_eq!(judged(&mut carried, "a", &[19 * GIB], at(0)), [false]);
        carried.look(&machine(7, 0), at(2));
        assert_eq!(judged(&mut carried, "b", &[7, 1], at(2)), [false, true]);
        carried.look(&machine(1, 0), at(102));
        let line = 100_000 * LINE.cast_signed();
        assert_eq!(judged(&mut carried, "c", &[line, 2, 1], at(102)), [false, true, false]);
    }

    #[test]
    fn what_nobody_saw_counts_as_a_fast_line() {
        let mut carried = Carried::first(&machine(1, 0), at(0)).unwrap();
        assert_eq!(judged(&mut carried, "a", &[GIB + 1], at(60)), [false]);
        assert_eq!(judged(&mut carried, "b", &[1], at(60)), [true]);
        let line = 61_000 * LINE.cast_signed();
        assert_eq!(judged(&mut carried, "c", &[line, 1], at(61)), [false, true]);
    }

    #[test]
    fn a_machine_without_counters_is_not_judged() {
        assert!(Carried::first(&machine(0, 0), at(0)).is_none());
        assert!(Carried::first(&machine(-5, 0), at(0)).is_none());
        let mut carried = Carried::first(&machine(5, 0), at(0)).unwrap();
        carried.look(&machine(0, 0), at(2));
        carried.look(&machine(6, 0), at(4));
        assert_eq!(carried.left, MARGIN + 6);
    }
}
