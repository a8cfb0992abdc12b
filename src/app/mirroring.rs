//! Redis and the mirror, where the settings name one: on an arbiter of their own, so that the connection and what is written to it share a thread.

use std::sync::Arc;

use actix::Arbiter;
use anyhow::Context as _;
use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::{
    admin::live::LastStats,
    clock::Clock,
    config::Settings,
    events::Events,
    mirror::Mirror,
    model::{
        NodeId, Time, UserId,
        presence::{ONLINE_FOR, OnlineSet},
        stats::{StatsSnapshot, parse_stats},
    },
    presence::actor::Reflection,
    redis::{Expiring, Redis, names},
};

/// See the module.
pub(super) struct Mirroring {
    pub(super) redis: Redis,
    pub(super) mirror: Mirror,
    arbiter: Arbiter,
}

impl Mirroring {
    /// Starts both; none if there is to be no mirror. Whether Redis is there does not matter.
    pub(super) async fn start(settings: &Settings, clock: &Clock, events: &Events) -> anyhow::Result<Option<Self>> {
        let Some(url) = settings.redis_url.clone() else {
            return Ok(None);
        };
        let arbiter = Arbiter::new();
        let (made, making) = oneshot::channel();
        let its_clock = clock.clone();
        arbiter.spawn_fn(move || {
            if made.send(Redis::new(&url, its_clock)).is_err() {
                tracing::debug!("nobody waits for Redis any more");
            }
        });
        let redis = making
            .await
            .context("the thread for Redis ended")?
            .context("REDIS_URL")?;
        let mirror = Mirror::start(&arbiter.handle(), redis.clone(), events.clone(), clock.clone());
        Ok(Some(Self { redis, mirror, arbiter }))
    }

    /// The mirror as presence sees it.
    pub(super) fn reflection(&self, clock: Clock) -> Arc<dyn Reflection> {
        Arc::new(Glass {
            redis: self.redis.clone(),
            mirror: self.mirror.clone(),
            clock,
        })
    }

    /// Ends both; what is in Redis stays.
    pub(super) async fn stop(self) {
        self.mirror.stop().await;
        self.arbiter.stop();
    }
}

/// What nodes said last before Core's start.
pub(super) struct Remembered(pub(super) Redis);

#[async_trait]
impl LastStats for Remembered {
    async fn last(&self, node: NodeId) -> Option<StatsSnapshot> {
        let json = self.0.get(&names::node_stats(node)).await.ok()??;
        parse_stats(&json)
    }
}

/// What presence asks of Redis by itself: who was there before. Everything else is the mirror's.
struct Glass {
    redis: Redis,
    mirror: Mirror,
    clock: Clock,
}

#[async_trait]
impl Reflection for Glass {
    async fn exchange(&self, users: &[(UserId, Time)]) -> Option<Vec<Option<Time>>> {
        if !self.redis.is_there() {
            return None;
        }
        let now = self.clock.now();
        let key = |(user, at): &(UserId, Time)| {
            let remains = ONLINE_FOR.saturating_sub(now.since(*at));
            Expiring::new(names::online_user(*user), at.millis().to_string(), remains)
        };
        let before = self.redis.exchange(users.iter().map(key).collect()).await.ok()?;
        let time = |text: Option<String>| text.and_then(|text| text.parse().ok()).map(Time::from_millis);
        Some(before.into_iter().map(time).collect())
    }

    fn show(&self, set: &Arc<OnlineSet>) {
        self.mirror.online(set);
    }
}
