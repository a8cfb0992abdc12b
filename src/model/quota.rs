//! What a subscription may use, and what it has used.

use super::{
    SubscriptionId, Time,
    catalog::{ResetStrategy, SubscriptionStatus},
};

/// A subscription's quota as of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Up and down together, times the multipliers of the nodes, since the period began.
    pub period_bytes: i64,
    /// When the period began; none = with the subscription.
    pub period_started_at: Option<Time>,
}

/// A change of a subscription's status that Core makes by itself, or an admin by a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusChange {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Only if it is this now.
    pub from: SubscriptionStatus,
    /// From now on.
    pub to: SubscriptionStatus,
}

/// When the period that `now` is in began, by the strategy; none = it has no end.
pub fn period_start(strategy: ResetStrategy, now: Time) -> Option<Time> {
    const DAY: i64 = 86_400_000;
    let day = now.millis() / DAY;
    let days = match strategy {
        ResetStrategy::None => return None,
        ResetStrategy::Daily => day,
        // 1970-01-01 was a Thursday: day 4 was a Monday.
        ResetStrategy::Weekly => day - (day + 3).rem_euclid(7),
        ResetStrategy::Monthly => {
            let date = jiff::Timestamp::from_millisecond(now.millis())
                .ok()?
                .to_zoned(jiff::tz::TimeZone::UTC)
                .date();
            day - i64::from(date.day()) + 1
        }
    };
    Some(Time::from_millis(days * DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_at_midnight_utc() {
        let start =
            |strategy, now: &str| period_start(strategy, Time::parse_rfc3339(now).unwrap()).map(|at| at.to_string());
        let at = |text: &str| Some(text.to_owned());
        assert_eq!(start(ResetStrategy::None, "2026-11-24T12:00:00Z"), None);
        assert_eq!(
            start(ResetStrategy::Daily, "2026-11-24T23:59:59Z"),
            at("2026-11-24T00:00:00Z")
        );
        assert_eq!(
            start(ResetStrategy::Weekly, "2026-11-24T12:00:00Z"),
            at("2026-11-23T00:00:00Z")
        );
        assert_eq!(
            start(ResetStrategy::Weekly, "2026-11-23T00:00:00Z"),
            at("2026-11-23T00:00:00Z")
        );
        assert_eq!(
            start(ResetStrategy::Weekly, "2026-11-22T23:59:59Z"),
            at("2026-11-16T00:00:00Z")
        );
        assert_eq!(
            start(ResetStrategy::Monthly, "2026-11-24T12:00:00Z"),
            at("2026-11-01T00:00:00Z")
        );
        assert_eq!(
            start(ResetStrategy::Monthly, "2024-02-29T12:00:00Z"),
            at("2024-02-01T00:00:00Z")
        );
    }
}
