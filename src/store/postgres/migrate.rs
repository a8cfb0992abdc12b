//! The schema, in steps. Several instances may start at once: one does it, the others wait and find it done.

use super::{
    door::Door,
    fault::Fault,
    line::{Line, identifier, literal},
};
use crate::store::{
    StoreError,
    standing::{Standing, name},
};

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

/// What [`migrate`] would run, and what it does not know.
pub(super) async fn standing(line: &Line) -> Result<Standing, Fault> {
    let met: bool = line
        .query_one("SELECT to_regclass('refinery_schema_history') IS NOT NULL", &[])
        .await?
        .try_get(0)?;
    let mut done = Vec::new();
    if met {
        let sql = "SELECT version::bigint, name FROM refinery_schema_history";
        let rows = line.client.query(sql, &[]).await?;
        let line = |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
        done = rows.iter().map(line).collect::<Result<_, tokio_postgres::Error>>()?;
    }
    Ok(Standing::new(embedded::migrations::runner().get_migrations(), &done))
}
