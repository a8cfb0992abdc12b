//! What can go wrong inside a transaction, and what the outside hears of it.

use rusqlite::{Error, ErrorCode};

use crate::store::{
    StoreError,
    naming::{MISSING, camel_case, taken},
};

/// Why a piece of work stopped; its transaction is rolled back.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database said no.
    Sqlite(Error),
    /// We said no.
    Store(StoreError),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    /// A value of the caller's that can't be taken.
    pub(super) fn refused(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Store(StoreError::Refused {
            field: field.into(),
            message: message.into(),
        })
    }

    /// If this is a broken constraint on a column, names that column as a field of the caller's `row`
    /// (`subscriptionLinks[3]`; "" = the fields stand alone).
    pub(super) fn blame(self, row: &str) -> Self {
        let Self::Sqlite(Error::SqliteFailure(_, Some(text))) = &self else {
            return self;
        };
        let Some((column, message)) = broken_constraint(text) else {
            return self;
        };
        let field = camel_case(column);
        Self::refused(
            if row.is_empty() {
                field
            } else {
                format!("{row}.{field}")
            },
            message,
        )
    }

    /// Whether the connection must be thrown away: what it believes of the file may no longer hold.
    pub(super) fn breaks_connection(&self) -> bool {
        let Self::Sqlite(error) = self else {
            return false;
        };
        matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::InternalMalfunction
            )
        )
    }

    /// What the outside hears.
    pub(super) fn into_store_error(self) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sqlite(error) if is_away(&error) => StoreError::Away(error.to_string()),
            Self::Sqlite(error) => StoreError::Broken(error.to_string()),
        }
    }
}

/// Whether the same call may work later: the file is held, full, gone or out of reach.
pub(super) fn is_away(error: &Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

/// Whether the database refused what it was given, and will again: a constraint, a type, a trigger's word; not the state of the file.
pub(super) fn is_for_what_is_in_it(error: &Error) -> bool {
    match error {
        Error::SqliteFailure(code, text) => match code.code {
            ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => true,
            // Without a code of their own, and from a trigger: everything else of this kind is about the schema.
            ErrorCode::Unknown => matches!(text.as_deref(), Some("integer overflow" | "malformed JSON")),
            _ => false,
        },
        Error::ToSqlConversionFailure(_)
        | Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..) => true,
        _ => false,
    }
}

/// The column that a constraint is about, and what is wrong with it. `SQLite` lists all columns of a unique key: the last
/// is the one that a caller chose, the first says whose it is (`node_outbounds.node_id, node_outbounds.tag`).
fn broken_constraint(text: &str) -> Option<(&str, String)> {
    if let Some(column) = text.strip_prefix("NOT NULL constraint failed: ") {
        return column.split_once('.').map(|(_, column)| (column, MISSING.to_owned()));
    }
    let columns = text.strip_prefix("UNIQUE constraint failed: ")?;
    let (first, last) = (columns.split(", ").next()?, columns.rsplit(", ").next()?);
    let (table, column) = last.split_once('.')?;
    let owner = first.split_once('.')?.1;
    Some((column, taken(table, (first != last).then_some(owner))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_names_the_field() {
        assert_eq!(
            broken_constraint("UNIQUE constraint failed: node_outbounds.node_id, node_outbounds.tag"),
            Some((
                "tag",
                "is taken by another outbound of the node, perhaps one that was deleted".to_owned()
            ))
        );
        assert_eq!(
            broken_constraint("NOT NULL constraint failed: nodes.traffic_multiplier"),
            Some(("traffic_multiplier", "is missing".to_owned()))
        );
        assert_eq!(broken_constraint("FOREIGN KEY constraint failed"), None);
    }
}
