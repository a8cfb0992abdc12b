//! Leases, in time.

use std::time::Duration;

use async_trait::async_trait;

use super::{InTime, QUICK, within};
use crate::{
    model::Time,
    store::{Leases, StoreError},
};

#[async_trait]
impl Leases for InTime {
    async fn take_lease(&self, job: &str, owner: &str, now: Time, span: Duration) -> Result<bool, StoreError> {
        within(QUICK, self.0.take_lease(job, owner, now, span)).await
    }

    async fn release_lease(&self, job: &str, owner: &str) -> Result<(), StoreError> {
        within(QUICK, self.0.release_lease(job, owner)).await
    }
}
