//! The schema, in steps. Several instances may start at once: one does it, the others wait and find it done.

use refinery::Migration;

use super::{
    door::Door,
    fault::Fault,
    line::{Line, identifier, literal},
};
use crate::store::StoreError;

mod embedded {
    refinery::embed_migrations!("sql/migrations/postgres");
}

/// Runs what is pending, all or nothing.
pub(super) async fn migrate(door: &Door, schema: &str) -> Result<Vec<String>, Fault> {
    let mut client = door.lines.open(None).await?.client;
    // It may have to rebuild tables of any size, and waits for whoever does that now.
    client
        .batch_execute(&format!(
            "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
             SELECT pg_advisory_lock(hashtextextended('core_migrations ' || {}, 0))",
            literal(schema)
        ))
        .await?;
    make_schema(&client, schema).await?;
    let run = embedded::migrations::runner()
        .set_grouped(true)
        .run_async(&mut client)
        .await;
    // The lock goes with the connection.
    drop(client);
    match run {
        Ok(report) => Ok(report.applied_migrations().iter().map(name).collect()),
        Err(failure) => Err(failed(&failure)),
    }
}

/// The schema itself may be an administrator's, who gave Core no right to make any.
async fn make_schema(client: &tokio_postgres::Client, schema: &str) -> Result<(), Fault> {
    let there = client
        .query_opt("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&schema])
        .await?;
    if there.is_none() {
        client
            .batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", identifier(schema)))
            .await?;
    }
    Ok(())
}

fn failed(failure: &refinery::Error) -> Fault {
    if let refinery::error::Kind::Connection(_, source) = failure.kind()
        && let Some(error) = source.downcast_ref::<tokio_postgres::Error>()
        && error.as_db_error().is_none()
    {
        return Fault::away(failure.to_string());
    }
    let why = std::error::Error::source(failure).map(super::address::told);
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    StoreError::Broken(format!("the schema can't be brought up to date: {failure}{why}")).into()
}

/// What [`migrate`] would run.
pub(super) async fn pending(line: &Line) -> Result<Vec<String>, Fault> {
    let met: bool = line
        .query_one("SELECT to_regclass('refinery_schema_history') IS NOT NULL", &[])
        .await?
        .try_get(0)?;
    let mut done: Vec<i32> = Vec::new();
    if met {
        let rows = line
            .client
            .query("SELECT version FROM refinery_schema_history", &[])
            .await?;
        done = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    }
    let runner = embedded::migrations::runner();
    let mut ours: Vec<&Migration> = runner.get_migrations().iter().collect();
    ours.sort();
    Ok(ours
        .into_iter()
        .filter(|it| !done.iter().any(|done| i64::from(*done) == i64::from(it.version())))
        .map(name)
        .collect())
}

/// As its file is called.
fn name(migration: &Migration) -> String {
    format!("V{:04}__{}", migration.version(), migration.name())
}
