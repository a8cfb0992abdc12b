//! How often a provider may be called: one for all that ask it.

use std::{collections::VecDeque, time::Duration};

use crate::{model::Time, providers::Pace};

/// The longest time without a call: a clock that was set back must not make it longer.
const REST_MOST: Duration = Duration::from_hours(1);

/// What a provider says of seconds is rounded: one more is on the safe side.
const ROUNDED: Duration = Duration::from_secs(1);

/// See the module. Within any span there are no more calls than the pace allows, and none while the provider wants none.
#[derive(Debug)]
pub struct Budget {
    pace: Pace,
    /// The calls within the last span, oldest first.
    made: VecDeque<Time>,
    not_before: Time,
}

impl Budget {
    /// One from which nothing was taken.
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            made: VecDeque::with_capacity(pace.calls),
            not_before: Time::default(),
        }
    }

    /// Whether a call may be made now.
    pub fn may_call(&mut self, now: Time) -> bool {
        self.not_before = self.not_before.min(now.plus(REST_MOST));
        for made in &mut self.made {
            *made = (*made).min(now);
        }
        // One that was made exactly a span ago is still within it.
        while self.made.front().is_some_and(|made| now.since(*made) > self.pace.span) {
            self.made.pop_front();
        }
        now >= self.not_before && self.made.len() < self.pace.calls
    }

    /// A call is made now, whatever comes of it.
    pub fn call(&mut self, now: Time) {
        self.made.push_back(now);
    }

    /// The call is over. It counts from here on: when it reached the provider, which counts too, is not known any better.
    pub fn called(&mut self, now: Time) {
        if let Some(last) = self.made.back_mut() {
            *last = (*last).max(now);
        }
    }

    /// The provider says how many calls it still takes, and in how long it takes more.
    pub fn left(&mut self, now: Time, calls: u64, reset: Duration) {
        if calls == 0 {
            self.told_to_rest(now, reset);
        }
    }

    /// The provider says that it takes no call for so long.
    pub fn told_to_rest(&mut self, now: Time, span: Duration) {
        self.rest(now, span.saturating_add(ROUNDED));
    }

    /// No call for so long.
    pub fn rest(&mut self, now: Time, span: Duration) {
        self.not_before = self.not_before.max(now.plus(span.min(REST_MOST)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        calls: 15,
        span: Duration::from_mins(1),
    };

    fn at(millis: i64) -> Time {
        Time::from_millis(1_000_000_000 + millis)
    }

    #[test]
    fn there_are_no_more_calls_in_any_span() {
        let mut budget = Budget::new(PACE);
        let mut made: Vec<i64> = Vec::new();
        for millis in (0..300_000).step_by(100) {
            if budget.may_call(at(millis)) {
                budget.call(at(millis));
                made.push(millis);
            }
        }
        for (from, first) in made.iter().enumerate() {
            let within = made[from..].iter().filter(|it| **it - first <= 60_000).count();
            assert!(within <= 15, "{within} calls from {first} on");
        }
        assert_eq!(made.len(), 75);
    }

    /// A call that took 9 s may have been counted at its end.
    #[test]
    fn a_call_counts_from_its_end() {
        let mut budget = Budget::new(Pace { calls: 1, ..PACE });
        budget.call(at(0));
        budget.called(at(9_000));
        assert!(!budget.may_call(at(69_000)));
        assert!(budget.may_call(at(69_001)));
    }

    #[test]
    fn it_rests_as_long_as_it_is_told() {
        let mut budget = Budget::new(PACE);
        budget.left(at(0), 3, Duration::from_secs(40));
        assert!(budget.may_call(at(0)));
        budget.left(at(0), 0, Duration::from_secs(40));
        budget.rest(at(0), Duration::from_secs(10));
        assert!(!budget.may_call(at(40_000)));
        assert!(budget.may_call(at(41_000)));
    }

    #[test]
    fn a_clock_that_is_set_back_costs_an_hour_at_most() {
        let mut budget = Budget::new(PACE);
        for _ in 0..15 {
            budget.call(at(1_000_000_000));
        }
        budget.rest(at(1_000_000_000), Duration::MAX);
        assert!(!budget.may_call(at(0)));
        assert!(!budget.may_call(at(3_599_999)));
        assert!(budget.may_call(at(3_600_000)));
    }
}
