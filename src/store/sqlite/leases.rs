//! Who does what only one instance may do.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::params;

use super::SqliteStore;
use crate::{
    model::Time,
    store::{Leases, StoreError},
};

/// Nothing is changed where somebody else has it.
const TAKE: &str = "INSERT INTO job_leases AS there (job, owner, until) VALUES (?1, ?2, ?3) \
                    ON CONFLICT (job) DO UPDATE SET owner = excluded.owner, until = excluded.until \
                    WHERE there.owner = excluded.owner OR there.until <= ?4";

#[async_trait]
impl Leases for SqliteStore {
    async fn take_lease(&self, job: &str, owner: &str, now: Time, span: Duration) -> Result<bool, StoreError> {
        let (job, owner) = (job.to_owned(), owner.to_owned());
        self.write("take_lease", move |tx| {
            let mut statement = tx.prepare_cached(TAKE)?;
            Ok(statement.execute(params![job, owner, now.plus(span), now])? > 0)
        })
        .await
    }

    async fn release_lease(&self, job: &str, owner: &str) -> Result<(), StoreError> {
        let (job, owner) = (job.to_owned(), owner.to_owned());
        self.write("release_lease", move |tx| {
            let mut statement = tx.prepare_cached("DELETE FROM job_leases WHERE job = ?1 AND owner = ?2")?;
            statement.execute(params![job, owner])?;
            Ok(())
        })
        .await
    }
}
