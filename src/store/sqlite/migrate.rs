//! The schema, in steps.

use rusqlite::Connection;

use super::fault::{Fault, is_away};
use crate::store::{
    StoreError,
    standing::{Standing, name},
};

mod embedded {
    refinery::embed_migrations!("sql/migrations/sqlite");
}

/// Runs what is pending, all or nothing.
pub(super) fn migrate(connection: &mut Connection) -> Result<Vec<String>, Fault> {
    let failure = match embedded::migrations::runner().set_grouped(true).run(connection) {
        Ok(report) => return Ok(report.applied_migrations().iter().map(name).collect()),
        Err(error) => error,
    };
    if let refinery::error::Kind::Connection(_, source) = failure.kind()
        && source.downcast_ref().is_some_and(is_away)
    {
        return Err(StoreError::Away(failure.to_string()).into());
    }
    // Another process may have been faster between refinery's look and its write: then there is nothing left to do.
    if standing(connection)?.pending.is_empty() && !is_divergent(&failure) {
        return Ok(Vec::new());
    }
    Err(StoreError::Broken(format!("the schema can't be brought up to date: {failure}")).into())
}

/// What [`migrate`] would run, and what it does not know.
pub(super) fn standing(connection: &Connection) -> Result<Standing, Fault> {
    let met: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history')",
        [],
        |row| row.get(0),
    )?;
    let mut done = Vec::new();
    if met {
        let mut statement = connection.prepare("SELECT version, name FROM refinery_schema_history")?;
        done = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, rusqlite::Error>>()?;
    }
    Ok(Standing::new(embedded::migrations::runner().get_migrations(), &done))
}

/// Whether the schema is not ours: another Core, older or newer, made it.
fn is_divergent(error: &refinery::Error) -> bool {
    use refinery::error::Kind;
    matches!(
        error.kind(),
        Kind::DivergentVersion(..) | Kind::MissingVersion(_) | Kind::RepeatedVersion(_)
    )
}
