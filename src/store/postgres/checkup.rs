//! What an operator should know of the database: see [`crate::store::Store::checkup`].

use tokio_postgres::Row;

use super::{
    door::CONNECTIONS,
    fault::Fault,
    line::{LISTENING, Line},
    migrate,
};
use crate::model::{Time, finding::Finding};

/// The oldest that the schema works on.
const OLDEST: i64 = 150_000;

/// Clocks that are further apart put reports into other minutes than their nodes meant, and tokens end at another time than they say.
const CLOCKS_APART_MILLIS: i64 = 5_000;

/// Looks at everything; `now` is this machine's time.
pub(super) async fn checkup(line: &Line, schema: &str, now: Time) -> Result<Vec<Finding>, Fault> {
    let row = line
        .query_one(include_str!("../../../sql/queries/postgres/checkup.sql"), &[&schema])
        .await?;
    let mut findings = vec![version(&row)?];
    if row.try_get("is_read_only")? {
        findings.push(Finding::bad(
            "the database can only be read: it is a standby, or set to read only",
            "Name the primary in DATABASE_URL, or unset default_transaction_read_only.",
        ));
    }
    findings.push(migrate::standing(line).await?.finding());
    findings.push(rights(&row, schema)?);
    findings.extend(durability(&row)?);
    findings.push(clocks(&row, now)?);
    findings.push(connections(&row)?);
    Ok(findings)
}

fn version(row: &Row) -> Result<Finding, Fault> {
    let (version, number): (String, i64) = (row.try_get("version")?, row.try_get("version_number")?);
    Ok(if number < OLDEST {
        Finding::bad(
            format!("the store is PostgreSQL {version}, which is too old"),
            "Core needs PostgreSQL 15 or newer.",
        )
    } else {
        Finding::ok(format!("the store answers: PostgreSQL {version}"))
    })
}

fn rights(row: &Row, schema: &str) -> Result<Finding, Fault> {
    let strange: i64 = row.try_get("strange_tables")?;
    Ok(if !row.try_get::<_, bool>("may_make")? {
        Finding::bad(
            format!("Core's role may not make what it needs in the schema {schema}"),
            "Make Core's role the owner of the schema, or let it make schemas in this database.",
        )
    } else if strange > 0 {
        Finding::bad(
            format!("{strange} tables of the schema {schema} belong to another role: migrations will fail"),
            "Make Core's role their owner (REASSIGN OWNED).",
        )
    } else {
        Finding::ok("Core's role has the rights that it needs")
    })
}

fn durability(row: &Row) -> Result<Vec<Finding>, Fault> {
    let mut findings = Vec::new();
    for setting in ["fsync", "full_page_writes"] {
        if row.try_get::<_, String>(setting)? == "off" {
            findings.push(Finding::warn(
                format!("{setting} is off in the database: a crash of its machine can lose what it has committed"),
                format!("Set {setting} = on."),
            ));
        }
    }
    if row.try_get::<_, Option<String>>("synchronous_commit")?.as_deref() == Some("off") {
        findings.push(Finding::warn(
            "synchronous_commit is off by default in the database; Core's own sessions turn it on, others may lose what they committed",
            "Set synchronous_commit = on.",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("what the database commits is durable"));
    }
    Ok(findings)
}

fn clocks(row: &Row, now: Time) -> Result<Finding, Fault> {
    let apart = row.try_get::<_, i64>("millis")? - now.millis();
    let seconds = apart / 1_000;
    Ok(if apart.abs() > CLOCKS_APART_MILLIS {
        Finding::warn(
            format!("the database's clock is {seconds} s off this machine's"),
            "Have both machines set their clocks by NTP.",
        )
    } else {
        Finding::ok("the database's clock is this machine's")
    })
}

/// A Core that runs has its connections already; then this asks for room for another.
fn connections(row: &Row) -> Result<Finding, Fault> {
    let needed = i64::from(CONNECTIONS) + LISTENING;
    let free: i64 = row.try_get("connections_free")?;
    let limits: [Option<i64>; 2] = [row.try_get("role_limit")?, row.try_get("database_limit")?];
    let limit = limits.into_iter().flatten().filter(|limit| *limit >= 0).min();
    Ok(match limit {
        Some(limit) if limit < needed => Finding::warn(
            format!("this role or database may have {limit} connections, and an instance uses up to {needed}"),
            "Raise the CONNECTION LIMIT of the role or the database.",
        ),
        _ if free < needed => Finding::warn(
            format!("the database has {free} connections left, and an instance uses up to {needed}"),
            "Raise max_connections.",
        ),
        _ => Finding::ok(format!(
            "the database has {free} connections left; an instance uses up to {needed}"
        )),
    })
}
