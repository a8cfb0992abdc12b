//! What a faulty store keeps of addresses, machines and leases.

use std::{net::IpAddr, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use vpn_core::{
    model::{
        NodeId, Time, UserId,
        presence::{LookUp, Sighting, UserIp},
        stats::StatsSample,
        suspect::{Decision, SuspectRow},
    },
    store::{Change, Judged, Leases, Page, Samples, Sightings, StoreError, Suspects},
};

use super::{CHANGES, FaultyStore, READS};

#[async_trait]
impl Sightings for FaultyStore {
    async fn see_ips(&self, seen: &[Sighting]) -> Result<(), StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.see_ips(seen)).await
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<(UserId, Time)>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.last_seen(users)).await
    }

    async fn user_ips(&self, user: UserId, after: Option<IpAddr>, limit: u32) -> Result<Vec<UserIp>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.user_ips(user, after, limit)).await
    }

    async fn unlooked_ips(&self, what: LookUp, after: Option<IpAddr>, limit: u32) -> Result<Vec<IpAddr>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.unlooked_ips(what, after, limit)).await
    }

    async fn count_unlooked(&self, what: LookUp) -> Result<u64, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.count_unlooked(what)).await
    }

    async fn save_ip_infos(&self, infos: &[(IpAddr, Value)], fetched_at: Time) -> Result<(), StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.save_ip_infos(infos, fetched_at)).await
    }
}

#[async_trait]
impl Samples for FaultyStore {
    async fn save_node_stats(&self, samples: &[StatsSample]) -> Result<(), StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.save_node_stats(samples)).await
    }

    async fn node_stats(&self, node: NodeId, from: Time, to: Time, limit: u32) -> Result<Vec<StatsSample>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.node_stats(node, from, to, limit)).await
    }
}

#[async_trait]
impl Leases for FaultyStore {
    async fn take_lease(&self, job: &str, owner: &str, now: Time, span: Duration) -> Result<bool, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.take_lease(job, owner, now, span)).await
    }

    async fn release_lease(&self, job: &str, owner: &str) -> Result<(), StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.release_lease(job, owner)).await
    }
}

#[async_trait]
impl Suspects for FaultyStore {
    async fn suspects(&self, decided: Option<bool>, page: Page) -> Result<Vec<SuspectRow>, StoreError> {
        let inner = self.inner();
        self.through(READS, inner.suspects(decided, page)).await
    }

    async fn judge_suspect(&self, id: i64, decision: Decision, by: &Change) -> Result<Judged, StoreError> {
        let inner = self.inner();
        self.through(CHANGES, inner.judge_suspect(id, decision, by)).await
    }
}
