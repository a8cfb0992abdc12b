//! The job on a store and a clock of its own, a second a step.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc, time::Duration};

use serde_json::Value;
use tempfile::TempDir;
use vpn_core::{
    clock::Clock,
    jobs::ip_info::IpInfoJob,
    model::{
        Time, UserId,
        presence::{LookUp, Sighting},
    },
    providers::{Provider, ip_api::IpApi, ipinfo::IpInfo},
    store::{Store, sqlite::SqliteStore},
};

use super::stand_in::StandIn;

/// The token for IPinfo.
pub const TOKEN: &str = "a-token-nobody-may-see";

/// See the module.
pub struct Scene {
    dir: TempDir,
    pub store: Arc<dyn Store>,
    pub clock: Clock,
}

impl Scene {
    /// An empty store, at noon.
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("core.db")).unwrap();
        store.migrate().await.unwrap();
        let noon = Time::parse_rfc3339("2026-11-24T12:00:00Z").unwrap();
        Self {
            dir,
            store: Arc::new(store),
            clock: Clock::manual(noon),
        }
    }

    /// Another store over the same file.
    pub fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("core.db")
    }

    /// A user is seen at addresses now.
    pub async fn see(&self, user: i64, ips: &[String]) {
        let now = self.clock.now();
        let seen = |ip: &String| Sighting {
            user: UserId(user),
            ip: ip.parse().unwrap(),
            first_seen_at: now,
            last_seen_at: now,
        };
        let seen: Vec<_> = ips.iter().map(seen).collect();
        self.store.see_ips(&seen).await.unwrap();
    }

    /// The job over ip-api.
    pub fn ip_api(&self, provider: &StandIn) -> IpInfoJob {
        let provider = IpApi::new(&provider.url.parse().unwrap()).unwrap();
        self.job(Arc::new(provider), "one")
    }

    /// The job over IPinfo.
    pub fn ipinfo(&self, provider: &StandIn) -> IpInfoJob {
        let provider = IpInfo::new(&provider.url.parse().unwrap(), TOKEN.into()).unwrap();
        self.job(Arc::new(provider), "one")
    }

    /// The job of an instance.
    pub fn job(&self, provider: Arc<dyn Provider>, owner: &str) -> IpInfoJob {
        let store = Arc::clone(&self.store);
        IpInfoJob::new(store, provider, self.clock.clone(), owner.to_owned())
    }

    /// So many seconds, a step each.
    pub async fn pass(&self, job: &mut IpInfoJob, seconds: u64) {
        for _ in 0..seconds {
            job.step().await;
            self.clock.advance(Duration::from_secs(1));
        }
    }

    /// How many addresses nobody knows anything of.
    pub async fn unknown(&self) -> u64 {
        let all = LookUp::All {
            fetched_before: Time::from_millis(0),
        };
        self.store.count_unlooked(all).await.unwrap()
    }

    /// What is known of the addresses of a user, in their order.
    pub async fn infos(&self, user: i64) -> Vec<Option<Value>> {
        let rows = self.store.user_ips(UserId(user), None, 1_000).await.unwrap();
        rows.into_iter().map(|row| row.info).collect()
    }
}

/// So many public addresses, from the `first` on.
pub fn public(first: u32, count: u32) -> Vec<String> {
    (first..first + count)
        .map(|n| Ipv4Addr::from_bits(0x0808_0000 + n).to_string())
        .collect()
}

/// Each once, in no order.
pub fn set(ips: &[String]) -> BTreeSet<String> {
    ips.iter().cloned().collect()
}
