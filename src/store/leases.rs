//! Who does what only one instance may do.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::model::Time;

/// `job_leases`.
#[async_trait]
pub trait Leases {
    /// Takes the lease of a job for `span`: if nobody has it, if its time is over, or if it is the owner's own, which is then prolonged. False: somebody
    /// else has it. PostgreSQL goes by its own clock, so that instances whose clocks differ agree; the embedded store by `now`.
    async fn take_lease(&self, job: &str, owner: &str, now: Time, span: Duration) -> Result<bool, StoreError>;
    /// Gives the lease back; one that is not the owner's stays.
    async fn release_lease(&self, job: &str, owner: &str) -> Result<(), StoreError>;
}
