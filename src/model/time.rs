//! A moment, in whole milliseconds since 1970: what every layer passes on. RFC 3339 at the edges.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds in a minute, an hour, a day.
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The last moment that jiff can write, 9999-12-30T22:00:00Z (in every offset it is still a year of four digits). Everything later is held to it.
const MAX: i64 = 253_402_207_200_000;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Time(i64);

impl Time {
    /// The last moment.
    pub const MAX: Self = Self(MAX);

    /// The moment at so many milliseconds since 1970, held within the years 1970 to 9999.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(0, MAX))
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 with an offset, such as `2026-11-24T05:30:11.5Z`. Nothing else is a time.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        // jiff reads more than RFC 3339 (bracketed zones, basic dates): the shape is held to the standard first.
        let bytes = text.as_bytes();
        let shaped = bytes.len() >= 20
            && bytes[4] == b'-'
            && bytes[7] == b'-'
            && matches!(bytes[10], b'T' | b't' | b' ')
            && !text.contains('[');
        let stamp: jiff::Timestamp = shaped.then(|| text.parse().ok())??;
        (0..=MAX)
            .contains(&stamp.as_millisecond())
            .then(|| Self(stamp.as_millisecond()))
    }

    /// The beginning of this moment's minute.
    pub const fn minute(self) -> Self {
        Self(self.0 - self.0 % MINUTE)
    }

    /// The beginning of this moment's hour, UTC.
    pub const fn hour(self) -> Self {
        Self(self.0 - self.0 % HOUR)
    }

    /// The beginning of this moment's day, UTC.
    pub const fn day(self) -> Self {
        Self(self.0 - self.0 % DAY)
    }

    /// How long it is from `earlier` to here; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// So much later.
    pub fn plus(self, span: Duration) -> Self {
        Self::from_millis(
            self.0
                .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// So much earlier, never before 1970.
    pub fn minus(self, span: Duration) -> Self {
        Self::from_millis(
            self.0
                .saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(stamp) => stamp.fmt(f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).ok_or_else(|| de::Error::custom("must be an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rfc3339_and_nothing_else() {
        let noon = Time::parse_rfc3339("2026-11-24T12:00:00Z").unwrap();
        assert_eq!(Time::parse_rfc3339("2026-11-24T14:00:00.000+02:00"), Some(noon));
        assert_eq!(noon.to_string(), "2026-11-24T12:00:00Z");
        for bad in [
            "",
            "now",
            "2026-11-24",
            "2026-11-24T12:00:00",
            "20261124T120000Z",
            "1764000000",
            "2026-13-01T00:00:00Z",
            "2026-11-24T12:00:00Z[UTC]",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(Time::parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn arithmetic_stays_in_range() {
        assert_eq!(
            Time::from_millis(i64::MAX).plus(Duration::MAX).to_string(),
            "9999-12-30T22:00:00Z"
        );
        assert_eq!(Time::default().minus(Duration::from_secs(1)), Time::default());
        assert_eq!(Time::from_millis(119_999).minute(), Time::from_millis(60_000));
        assert_eq!(Time::from_millis(2 * HOUR - 1).hour(), Time::from_millis(HOUR));
        assert_eq!(Time::from_millis(2 * DAY - 1).day(), Time::from_millis(DAY));
    }
}
