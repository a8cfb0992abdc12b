//! How the model's values stand in columns.

use std::{fmt::Display, str::FromStr};

use rusqlite::{
    Result, ToSql,
    types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef},
};
use serde_json::Value;

use crate::model::{
    CodeId, JournalId, KeyId, LinkId, LsId, NodeId, OutboundId, Position, ProtocolId, SubscriptionId, Time, TokenId,
    UserId, node_config::ConfigHash, secrets::SecretHash,
};

macro_rules! ids {
    ($($name:ident),+ $(,)?) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
                Ok(self.0.into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                i64::column_result(value).map(Self)
            }
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

macro_rules! blobs {
    ($($name:ident),+) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Borrowed(ValueRef::Blob(&self.0)))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                FromSql::column_result(value).map(Self)
            }
        }
    )+};
}

blobs!(SecretHash, ConfigHash, JournalId);

impl ToSql for Time {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(self.millis().into())
    }
}

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self::from_millis)
    }
}

impl ToSql for Position {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        i64::try_from(self.0)
            .map(Into::into)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

impl FromSql for Position {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let position = i64::column_result(value)?;
        u64::try_from(position)
            .map(Self)
            .map_err(|_| FromSqlError::OutOfRange(position))
    }
}

/// A value that stands in its column as text: a name, an address, a UUID.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> ToSql for Text<T> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(self.0.to_string().into())
    }
}

impl<T> FromSql for Text<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

/// JSON. What is not JSON is read as a JSON string: a check further up names it, and the other columns can be read.
pub(super) struct Json(pub(super) Value);

impl FromSql for Json {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        Ok(Self(
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        ))
    }
}
