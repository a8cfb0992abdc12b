//! What can go wrong inside a transaction, and what the outside hears of it.

use tokio_postgres::{
    Error,
    error::{DbError, SqlState},
};

use super::address::told;
use crate::store::{
    StoreError,
    naming::{MISSING, camel_case, taken},
};

/// Why a piece of work stopped; its transaction is rolled back.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database said no, or nothing.
    Postgres(Error),
    /// We said no.
    Store(StoreError),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Postgres(error) => f.write_str(&words(error)),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What the database says: its words, its detail, its code.
fn words(error: &Error) -> String {
    let Some(said) = error.as_db_error() else {
        return told(error);
    };
    let detail = said.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    format!("{}{detail} [{}]", said.message(), said.code().code())
}

/// What is to be done about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The same transaction, once more: it met another one, or a statement that was made before the schema changed.
    Again,
    /// The same call may work later.
    Away,
    /// What was written is not what the tables take.
    Data,
    /// A fault of ours, or of the schema's.
    Broken,
}

impl Fault {
    /// The database can't be reached.
    pub(super) fn away(why: impl Into<String>) -> Self {
        Self::Store(StoreError::Away(why.into()))
    }

    /// A value of the caller's that can't be taken.
    pub(super) fn refused(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Store(StoreError::Refused {
            field: field.into(),
            message: message.into(),
        })
    }

    /// What the database said, if it said something.
    pub(super) fn said(&self) -> Option<&DbError> {
        match self {
            Self::Postgres(error) => error.as_db_error(),
            Self::Store(_) => None,
        }
    }

    /// Whether it only says that an earlier statement of the transaction failed.
    pub(super) fn is_echo(&self) -> bool {
        self.said().is_some_and(|said| said.code().code() == "25P02")
    }

    /// The unique key that was broken: its table, the column that says whose it is, and the column that a caller chose.
    pub(super) fn broken_key(&self) -> Option<(&str, Option<&'static str>, &'static str)> {
        let said = self.said().filter(|said| *said.code() == SqlState::UNIQUE_VIOLATION)?;
        let (owner, column) = match said.constraint()? {
            "users_uuid_key" | "subscription_links_uuid_key" => (None, "uuid"),
            "subscription_links_link_id_subscription_id_key" => (Some("link_id"), "subscription_id"),
            "node_protocols_by_tag" | "node_outbounds_node_id_tag_key" | "node_balancers_node_id_tag_key" => {
                (Some("node_id"), "tag")
            }
            "nodes_name_key" => (None, "name"),
            "links_token_key" => (None, "token"),
            other if other.ends_with("_pkey") => (None, "id"),
            _ => return None,
        };
        Some((said.table()?, owner, column))
    }

    /// If this is about what was written, names it as a field of the caller's `row` (`subscriptionLinks[3]`).
    pub(super) fn blame(self, row: &str) -> Self {
        if let Some((table, owner, column)) = self.broken_key() {
            return Self::refused(format!("{row}.{}", camel_case(column)), taken(table, owner));
        }
        match self.said() {
            Some(said) if *said.code() == SqlState::NOT_NULL_VIOLATION => {
                let column = said.column().unwrap_or("id");
                Self::refused(format!("{row}.{}", camel_case(column)), MISSING)
            }
            _ => self,
        }
    }

    /// What is to be done about it.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Store(StoreError::Away(_)) => Kind::Away,
            Self::Store(_) => Kind::Broken,
            Self::Postgres(error) => match error.as_db_error() {
                // Two who take one name at once: the second sees it at the next try, and says so.
                Some(said) if said.constraint() == Some("nodes_name_key") => Kind::Again,
                Some(said) => kind_of(said.code().code(), said.message()),
                // A value of ours that does not fit its column never reached the server.
                None if error.to_string().starts_with("error serializing parameter") => Kind::Data,
                None => Kind::Away,
            },
        }
    }

    /// What the outside hears.
    pub(super) fn into_store_error(self) -> StoreError {
        let kind = self.kind();
        match self {
            Self::Store(error) => error,
            // However often it is tried: a reference that somebody else's tables make.
            Self::Postgres(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => {
                StoreError::Broken(words(&error))
            }
            Self::Postgres(error) if matches!(kind, Kind::Away | Kind::Again) => StoreError::Away(words(&error)),
            Self::Postgres(error) => StoreError::Broken(words(&error)),
        }
    }
}

/// By the class of the SQLSTATE, as PostgreSQL's appendix A lists them.
#[expect(clippy::match_same_arms, reason = "each has a reason of its own")]
fn kind_of(code: &str, message: &str) -> Kind {
    match code {
        // serialization_failure, deadlock_detected.
        "40001" | "40P01" => Kind::Again,
        // A statement that was prepared before a migration changed what it gives.
        "0A000" if message.contains("cached plan") => Kind::Again,
        "26000" => Kind::Again,
        // What a row refers to went, or what refers to it came, since it was looked at: the next try sees that, and the rules say so.
        "23503" => Kind::Again,
        // lock_not_available, query_canceled, read_only_sql_transaction, idle_in_transaction_session_timeout.
        "55P03" | "57014" | "25006" | "25P03" => Kind::Away,
        // No schema yet: another process is about to make it, or somebody dropped it.
        "3F000" | "42P01" => Kind::Away,
        // Not the database that was meant, or not with this password: only an operator mends it.
        "3D000" | "28000" | "28P01" => Kind::Away,
        _ => match code.get(..2) {
            Some("08" | "53" | "57" | "58" | "XX") => Kind::Away,
            Some("21" | "22" | "23" | "44" | "P0") => Kind::Data,
            _ => Kind::Broken,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_an_error_says_what_to_do() {
        for (code, kind) in [
            ("40P01", Kind::Again),
            ("57P01", Kind::Away),
            ("53300", Kind::Away),
            ("53100", Kind::Away),
            ("08006", Kind::Away),
            ("23505", Kind::Data),
            ("22021", Kind::Data),
            ("P0001", Kind::Data),
            ("42703", Kind::Broken),
        ] {
            assert_eq!(kind_of(code, ""), kind, "{code}");
        }
    }
}
