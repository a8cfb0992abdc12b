//! How the model's values stand in columns.

use std::{borrow::Cow, error::Error, fmt::Display, str::FromStr};

use bytes::BytesMut;
use serde_json::Value;
use tokio_postgres::{
    Row,
    types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked},
};

use crate::model::{
    CodeId, JournalId, KeyId, LinkId, LsId, NodeId, OutboundId, Position, ProtocolId, SubscriptionId, Time, TokenId,
    UserId, node_config::ConfigHash, secrets::SecretHash,
};

type Outcome<T> = Result<T, Box<dyn Error + Sync + Send>>;

macro_rules! ids {
    ($($name:ident),+ $(,)?) => {$(
        impl ToSql for $name {
            fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Outcome<IsNull> {
                self.0.to_sql(kind, out)
            }

            accepts!(INT8);
            to_sql_checked!();
        }

        impl<'a> FromSql<'a> for $name {
            fn from_sql(kind: &Type, raw: &'a [u8]) -> Outcome<Self> {
                i64::from_sql(kind, raw).map(Self)
            }

            accepts!(INT8);
        }
    )+};
}

ids!(
    NodeId,
    KeyId,
    CodeId,
    TokenId,
    UserId,
    SubscriptionId,
    LinkId,
    LsId,
    ProtocolId,
    OutboundId,
);

macro_rules! bytes {
    ($($name:ident),+) => {$(
        impl ToSql for $name {
            fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Outcome<IsNull> {
                self.0.as_slice().to_sql(kind, out)
            }

            accepts!(BYTEA);
            to_sql_checked!();
        }

        impl<'a> FromSql<'a> for $name {
            fn from_sql(_: &Type, raw: &'a [u8]) -> Outcome<Self> {
                Ok(Self(raw.try_into()?))
            }

            accepts!(BYTEA);
        }
    )+};
}

bytes!(SecretHash, ConfigHash, JournalId);

/// PostgreSQL counts microseconds from 2000-01-01.
const EPOCH_MILLIS: i64 = 946_684_800_000;

/// A moment as the wire has it.
pub(super) fn microseconds(at: Time) -> i64 {
    (at.millis() - EPOCH_MILLIS) * 1_000
}

impl ToSql for Time {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Outcome<IsNull> {
        microseconds(*self).to_sql(kind, out)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

/// `infinity` is the last moment that Core knows, and `-infinity` the first.
impl<'a> FromSql<'a> for Time {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Outcome<Self> {
        let micros = i64::from_sql(kind, raw)?;
        Ok(Self::from_millis(micros.div_euclid(1_000).saturating_add(EPOCH_MILLIS)))
    }

    accepts!(TIMESTAMPTZ);
}

impl ToSql for Position {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Outcome<IsNull> {
        i64::try_from(self.0)?.to_sql(kind, out)
    }

    accepts!(INT8);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for Position {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Outcome<Self> {
        Ok(Self(u64::try_from(i64::from_sql(kind, raw)?)?))
    }

    accepts!(INT8);
}

/// A value that stands in its column as text: a name, an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<T>(pub(super) T);

impl<T: Display + std::fmt::Debug> ToSql for Text<T> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Outcome<IsNull> {
        self.0.to_string().to_sql(kind, out)
    }

    accepts!(TEXT, VARCHAR);
    to_sql_checked!();
}

impl<'a, T> FromSql<'a> for Text<T>
where
    T: FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Outcome<Self> {
        Ok(Self(<&str>::from_sql(kind, raw)?.parse()?))
    }

    accepts!(TEXT, VARCHAR);
}

/// JSON. What we can't read of it (PostgreSQL knows larger numbers and deeper nesting) is read as a JSON string: a check further up names it,
/// and the other columns can be read.
pub(super) struct Json(pub(super) Value);

impl<'a> FromSql<'a> for Json {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Outcome<Self> {
        Ok(Self(Value::from_sql(kind, raw).unwrap_or_else(|_| {
            // Behind the version of the format.
            String::from_utf8_lossy(raw.get(1..).unwrap_or_default()).into()
        })))
    }

    accepts!(JSONB);
}

/// A port: PostgreSQL has no unsigned numbers.
pub(super) fn port(row: &Row, column: &str) -> Result<u16, tokio_postgres::Error> {
    // A check keeps the column in range.
    Ok(u16::try_from(row.try_get::<_, i32>(column)?).unwrap_or(0))
}

/// A text that PostgreSQL can hold: it knows no NUL.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}").into()
    } else {
        text.into()
    }
}

/// JSON that PostgreSQL can hold.
pub(super) fn storable_json(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => storable(&text).into_owned().into(),
        Value::Array(items) => items.into_iter().map(storable_json).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (storable(&name).into_owned(), storable_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}

/// JSON from a text of which it is known only that it should be some.
pub(super) fn json_of(text: &str) -> Value {
    storable_json(serde_json::from_str(text).unwrap_or_else(|_| text.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn moments_are_the_wires() {
        let at = Time::parse_rfc3339("2000-01-01T00:00:01.5Z").unwrap();
        assert_eq!(microseconds(at), 1_500_000);
        let read = |micros: i64| Time::from_sql(&Type::TIMESTAMPTZ, &micros.to_be_bytes()).unwrap();
        assert_eq!(read(1_500_000), at);
        assert_eq!(read(i64::MAX), Time::from_millis(i64::MAX));
        assert_eq!(read(i64::MIN), Time::from_millis(0));
    }

    #[test]
    fn nul_is_replaced() {
        assert_eq!(storable("a\0b"), "a\u{fffd}b");
        assert_eq!(
            storable_json(json!({ "k\0": ["\0", 1] })),
            json!({ "k\u{fffd}": ["\u{fffd}", 1] })
        );
        assert_eq!(json_of("{"), json!("{"));
    }
}
