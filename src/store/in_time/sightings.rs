//! Sightings, in time.

use std::net::IpAddr;

use async_trait::async_trait;
use serde_json::Value;

use super::{InTime, LONG, MANY, QUICK, within};
use crate::{
    model::{
        Time, UserId,
        presence::{LookUp, Sighting, UserIp},
    },
    store::{Sightings, StoreError},
};

#[async_trait]
impl Sightings for InTime {
    async fn see_ips(&self, seen: &[Sighting]) -> Result<(), StoreError> {
        within(LONG, self.0.see_ips(seen)).await
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<(UserId, Time)>, StoreError> {
        let limit = if users.len() > MANY { LONG } else { QUICK };
        within(limit, self.0.last_seen(users)).await
    }

    async fn user_ips(&self, user: UserId, after: Option<IpAddr>, limit: u32) -> Result<Vec<UserIp>, StoreError> {
        within(QUICK, self.0.user_ips(user, after, limit)).await
    }

    async fn unlooked_ips(&self, what: LookUp, after: Option<IpAddr>, limit: u32) -> Result<Vec<IpAddr>, StoreError> {
        within(LONG, self.0.unlooked_ips(what, after, limit)).await
    }

    async fn count_unlooked(&self, what: LookUp) -> Result<u64, StoreError> {
        within(LONG, self.0.count_unlooked(what)).await
    }

    async fn save_ip_infos(&self, infos: &[(IpAddr, Value)], fetched_at: Time) -> Result<(), StoreError> {
        within(LONG, self.0.save_ip_infos(infos, fetched_at)).await
    }
}
