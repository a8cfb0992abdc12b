//! Subscriptions end, by time or by bytes, and begin anew: what follows for the nodes, for the store, and for those who read along.

use std::time::Duration;

use crate::{
    model::{
        NodeId, SubscriptionId, Time,
        catalog::SubscriptionStatus,
        catalog_change::RowRef,
        event::{Happening, SubscriptionNews},
        quota::{StatusChange, period_start},
    },
    store::StoreError,
};

use super::{follow::Catalogue, seat::Why};

/// How often due resets are looked for.
const RESETS_EVERY: Duration = Duration::from_secs(10);

impl Catalogue {
    /// Who crossed a limit ends; who turned out not to have crossed it comes back.
    pub(super) async fn heed_calls(&mut self) {
        while let Ok(subscription) = self.crossed.try_recv() {
            self.reconsider(&[subscription]).await;
        }
    }

    /// Subscriptions whose time has come: they end, or begin.
    pub(super) async fn pass_time(&mut self) {
        let now = self.clock.now();
        for id in self.due.take(now) {
            let Some(row) = self.snapshot.subscription(id) else {
                continue;
            };
            if row.expires_at.is_some_and(|at| at <= now) {
                self.end(id, SubscriptionStatus::Expired).await;
            } else {
                let touched = self.snapshot.touched_by(RowRef::Subscription(id));
                self.dirty.extend(touched);
            }
        }
    }

    /// Takes a subscription's clients off all nodes at once.
    pub(super) async fn end(&mut self, subscription: SubscriptionId, to: SubscriptionStatus) {
        let Some(row) = self.snapshot.subscription(subscription) else {
            return;
        };
        let from = row.status;
        if from != SubscriptionStatus::Active {
            return;
        }
        tracing::info!(subscription = %subscription, status = %to, "a subscription ends");
        self.unsaid.insert(subscription, (from, to));
        let touched: Vec<NodeId> = self.snapshot.set_status(subscription, to).into_iter().collect();
        let why = Why::CutOff(subscription);
        for slice in touched.chunks(why.slice()) {
            let slice = slice.iter().copied().collect();
            if let Err(error) = self.seat(&slice, why).await {
                tracing::warn!(subscription = %subscription, %error, "a cut-off goes on without the store");
            }
        }
    }

    /// Tells the store which subscriptions ended.
    pub(super) async fn say_statuses(&mut self) -> Result<(), StoreError> {
        if self.unsaid.is_empty() {
            return Ok(());
        }
        let change = |(id, (from, to)): (&SubscriptionId, &(SubscriptionStatus, SubscriptionStatus))| StatusChange {
            subscription: *id,
            from: *from,
            to: *to,
        };
        let changes: Vec<StatusChange> = self.unsaid.iter().map(change).collect();
        let changed = self.store.change_statuses(&changes, &self.by_core()).await?;
        for change in changes.iter().filter(|change| changed.contains(&change.subscription)) {
            match change.to {
                SubscriptionStatus::Limited => self.tell(SubscriptionNews::Limited, change.subscription),
                SubscriptionStatus::Expired => self.tell(SubscriptionNews::Expired, change.subscription),
                SubscriptionStatus::Active | SubscriptionStatus::Paused => {}
            }
        }
        self.unsaid.clear();
        Ok(())
    }

    pub(super) async fn reset_due(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        if now.since(self.resets_at) < RESETS_EVERY {
            return Ok(());
        }
        let reset = self.store.reset_due(now).await?;
        self.resets_at = now;
        for id in &reset {
            let strategy = self.snapshot.subscription(*id).map(|row| row.reset_strategy);
            self.was_reset(*id, strategy.and_then(|strategy| period_start(strategy, now)));
        }
        if !reset.is_empty() {
            tracing::info!(subscriptions = reset.len(), "new periods began");
        }
        Ok(())
    }

    /// A new period began: the store counts from 0, and a row that was not limited says nothing of it.
    pub fn was_reset(&self, subscription: SubscriptionId, at: Option<Time>) {
        self.ledger.began(subscription, at);
        self.tell(SubscriptionNews::Reset, subscription);
    }

    /// Tells what the store has taken, so that one of several instances tells it.
    fn tell(&self, news: SubscriptionNews, subscription: SubscriptionId) {
        if let Some(row) = self.snapshot.subscription(subscription) {
            self.events
                .publish(Happening::Subscription(news, subscription, row.user_id));
        }
    }
}
