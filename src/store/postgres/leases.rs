//! Who does what only one instance may do.

use std::time::Duration;

use async_trait::async_trait;

use super::PostgresStore;
use crate::{
    model::Time,
    store::{Leases, StoreError},
};

#[async_trait]
impl Leases for PostgresStore {
    /// The database's clock is one for all instances, and it is asked when the row is held, not when the transaction began.
    async fn take_lease(&self, job: &str, owner: &str, _: Time, span: Duration) -> Result<bool, StoreError> {
        let seconds = span.as_secs_f64();
        self.door
            .write("take_lease", |line| async move {
                let sql = include_str!("../../../sql/queries/postgres/lease_take.sql");
                Ok(line.execute(sql, &[&job, &owner, &seconds]).await? > 0)
            })
            .await
    }

    async fn release_lease(&self, job: &str, owner: &str) -> Result<(), StoreError> {
        self.door
            .write("release_lease", |line| async move {
                let sql = "DELETE FROM job_leases WHERE job = $1 AND owner = $2";
                line.execute(sql, &[&job, &owner]).await?;
                Ok(())
            })
            .await
    }
}
