//! Where users were seen, and what is known of the addresses.

use std::net::IpAddr;

use async_trait::async_trait;
use serde_json::Value;

use super::StoreError;
use crate::model::{
    Time, UserId,
    presence::{LookUp, Sighting, UserIp},
};

/// `user_ips`. Addresses are ordered as [`IpAddr`] orders itself: IPv4 before IPv6, then by their bytes. PostgreSQL's `inet` does so by itself; the
/// embedded store keeps such a key beside the text.
#[async_trait]
pub trait Sightings {
    /// Notes where users were seen. A pair that is not there is inserted, with what is known of its address from the rows of others; of one that is,
    /// only `last_seen_at` moves, and never back. Some 20,000 a call; the same call again changes nothing.
    async fn see_ips(&self, seen: &[Sighting]) -> Result<(), StoreError>;
    /// When these users were last seen, wherever that was. Who never was is left out.
    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<(UserId, Time)>, StoreError>;
    /// The addresses of a user behind `after`, in their order.
    async fn user_ips(&self, user: UserId, after: Option<IpAddr>, limit: u32) -> Result<Vec<UserIp>, StoreError>;
    /// Addresses that are to be looked up, each once, behind `after`, in their order. Private ones are among them.
    async fn unlooked_ips(&self, what: LookUp, after: Option<IpAddr>, limit: u32) -> Result<Vec<IpAddr>, StoreError>;
    /// How many addresses [`Sightings::unlooked_ips`] has in all.
    async fn count_unlooked(&self, what: LookUp) -> Result<u64, StoreError>;
    /// Keeps what was found out of addresses, in all rows of each. Of one that stands here twice, the last word counts.
    async fn save_ip_infos(&self, infos: &[(IpAddr, Value)], fetched_at: Time) -> Result<(), StoreError>;
}
