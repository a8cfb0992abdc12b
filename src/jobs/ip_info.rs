//! Finds out where users' addresses are: all of them every day, new ones every 10 minutes. One instance of all does it, and no node's call waits for it.

mod budget;
mod run;

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::watch, time::MissedTickBehavior};

use self::{budget::Budget, run::Run};
use crate::{
    clock::Clock,
    model::{Time, presence::LookUp},
    providers::{Answer, Info, Provider, ProviderError},
    store::{Store, StoreError},
};

/// How often it looks whether there is something to do: at most one call each time.
const TICK: Duration = Duration::from_secs(1);

/// How often new addresses are looked up.
const FRESH_EVERY: Duration = Duration::from_mins(10);

/// What the lease is called.
const JOB: &str = "ip_info";

/// How long a lease holds: whoever falls is followed after so long.
const LEASE: Duration = Duration::from_mins(2);

/// How long the owner, who keeps it while he has nothing to do, and who would be it leave the lease alone. A step takes less than the rest of it: one call of 10 s, and some of the store.
const LEASE_EVERY: Duration = Duration::from_secs(20);

/// The first rest after a failure; each in a row is twice as long.
const REST: Duration = Duration::from_secs(15);
const REST_MOST: Duration = Duration::from_mins(30);

/// So many useless answers in a row, in some 30 minutes, and a batch is left to the next run.
const GARBAGE_MOST: u32 = 6;

/// See the module.
pub struct IpInfoJob {
    store: Arc<dyn Store>,
    provider: Arc<dyn Provider>,
    clock: Clock,
    owner: String,
    budget: Budget,
    lease: Lease,
    fresh: Option<Run>,
    daily: Option<Run>,
    /// When the last fresh run that was done began.
    fresh_began: Option<Time>,
    /// The day whose run is done.
    day_done: Option<Time>,
    /// How many addresses a call takes: fewer after the provider said that there were too many.
    size: usize,
    /// What was found out and is not kept yet: no address is paid for twice because the store was away.
    unsaved: Option<(Vec<(IpAddr, Value)>, Time)>,
    failures: u32,
    /// The kind of failure that was said last, since the last answer.
    told: Option<&'static str>,
    store_fails: bool,
}

/// What is known of the lease.
#[derive(Default)]
struct Lease {
    asked_at: Option<Time>,
    is_mine: bool,
}

impl IpInfoJob {
    /// One that has done nothing yet, for the instance `owner`.
    pub fn new(store: Arc<dyn Store>, provider: Arc<dyn Provider>, clock: Clock, owner: String) -> Self {
        Self {
            budget: Budget::new(provider.pace()),
            size: provider.batch_size(),
            store,
            provider,
            clock,
            owner,
            lease: Lease::default(),
            fresh: None,
            daily: None,
            fresh_began: None,
            day_done: None,
            unsaved: None,
            failures: 0,
            told: None,
            store_fails: false,
        }
    }

    /// Works until it is told to stop. What is cut then is done after the next start, here or elsewhere.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        tokio::select! {
            () = self.work() => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        if self.lease.is_mine
            && let Err(error) = self.store.release_lease(JOB, &self.owner).await
        {
            tracing::debug!(%error, "the lease of the look-up of addresses is not given back: it ends by itself");
        }
    }

    async fn work(&mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.step().await;
        }
    }

    /// Does what is to be done now: at most one call.
    pub async fn step(&mut self) {
        match self.try_step().await {
            Ok(()) => self.store_fails = false,
            Err(error) => {
                if !std::mem::replace(&mut self.store_fails, true) {
                    tracing::warn!(%error, "addresses can't be looked up while the store fails: it is tried again");
                }
            }
        }
    }

    async fn try_step(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.save().await?;
        if !self.holds_lease(now).await? {
            // Another instance does it: what was begun here is over, and what it leaves is begun anew.
            (self.fresh, self.daily) = (None, None);
            return Ok(());
        }
        self.begin(now).await?;
        if !self.budget.may_call(now) {
            return Ok(());
        }
        self.look_up().await
    }

    /// Also while one is going on: it does not know those who came since behind its back.
    fn is_fresh_due(&self, now: Time) -> bool {
        let began = self.fresh.as_ref().map(|run| run.began).or(self.fresh_began);
        // A clock that was set back makes none late.
        began.is_none_or(|began| now.since(began) >= FRESH_EVERY || now < began)
    }

    fn is_daily_due(&self, now: Time) -> bool {
        self.daily.is_none() && self.day_done != Some(now.day())
    }

    async fn holds_lease(&mut self, now: Time) -> Result<bool, StoreError> {
        let is_new = self
            .lease
            .asked_at
            .is_some_and(|asked| now >= asked && now.since(asked) < LEASE_EVERY);
        if !is_new {
            let taken = self.store.take_lease(JOB, &self.owner, now, LEASE).await;
            self.lease.is_mine = *taken.as_ref().unwrap_or(&false);
            self.lease.asked_at = taken.is_ok().then_some(now);
            taken?;
        }
        Ok(self.lease.is_mine)
    }

    /// Keeps what was found out.
    async fn save(&mut self) -> Result<(), StoreError> {
        if let Some((infos, at)) = &self.unsaved {
            self.store.save_ip_infos(infos, *at).await?;
            self.unsaved = None;
        }
        Ok(())
    }

    /// Begins the runs that are due. A run of the day takes what nobody asked for since the day began (UTC): one that was cut, by a restart too, goes
    /// on where it was.
    async fn begin(&mut self, now: Time) -> Result<(), StoreError> {
        if self.is_fresh_due(now) {
            let window = now.minus(FRESH_EVERY);
            let first_seen_after = self.fresh_began.map_or(window, |began| began.min(window));
            let what = LookUp::Fresh { first_seen_after };
            self.fresh = Some(Run::begin(self.store.as_ref(), "fresh", what, now).await?);
            self.size = self.provider.batch_size();
        }
        if self.is_daily_due(now) {
            let what = LookUp::All {
                fetched_before: now.day(),
            };
            self.daily = Some(Run::begin(self.store.as_ref(), "daily", what, now).await?);
        }
        Ok(())
    }

    /// One call for the run that comes first: the new addresses.
    async fn look_up(&mut self) -> Result<(), StoreError> {
        for is_fresh in [true, false] {
            let slot = if is_fresh { &mut self.fresh } else { &mut self.daily };
            let Some(run) = slot else { continue };
            run.fill(self.store.as_ref(), self.size).await?;
            let batch = run.take(self.size);
            if batch.is_empty() {
                if run.is_over()
                    && let Some(run) = slot.take()
                {
                    self.over(run);
                }
                continue;
            }
            let now = self.clock.now();
            self.budget.call(now);
            metrics::counter!("core_ip_info_calls_total").increment(1);
            let answer = self.provider.look_up(&batch, now).await;
            self.budget.called(self.clock.now());
            match answer {
                Ok(answer) => return self.take_in(answer, is_fresh, now).await,
                Err(ProviderError::TooLarge) if batch.len() == 1 => {
                    // Less is not possible: it knows nothing of this one.
                    let nothing = Info::nothing(self.provider.name(), now, Value::Null).into_json();
                    let infos = batch.into_iter().map(|ip| (ip, nothing.clone())).collect();
                    return self.take_in(Answer { infos, left: None }, is_fresh, now).await;
                }
                Err(error) => {
                    self.fail(&error, batch, is_fresh);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn over(&mut self, run: Run) {
        match run.what {
            LookUp::Fresh { .. } => self.fresh_began = Some(run.began),
            LookUp::All { fetched_before } => self.day_done = Some(fetched_before),
        }
        run.end();
    }

    async fn take_in(&mut self, answer: Answer, is_fresh: bool, now: Time) -> Result<(), StoreError> {
        (self.failures, self.told) = (0, None);
        if let Some((calls, reset)) = answer.left {
            self.budget.left(self.clock.now(), calls, reset);
        }
        let count = answer.infos.len();
        metrics::counter!("core_ip_info_addresses_total").increment(count as u64);
        if let Some(run) = self.run_of(is_fresh) {
            run.found(count);
        }
        self.unsaved = Some((answer.infos, now));
        self.save().await
    }

    fn fail(&mut self, error: &ProviderError, batch: Vec<IpAddr>, is_fresh: bool) {
        metrics::counter!("core_ip_info_failures_total", "kind" => error.kind()).increment(1);
        let (now, count) = (self.clock.now(), batch.len());
        match error {
            ProviderError::Limited { wait } => self.budget.told_to_rest(now, *wait),
            // It is well, only the batch was not.
            ProviderError::TooLarge => self.size = (count / 2).max(1),
            _ => {
                let rest = REST.saturating_mul(1 << self.failures.min(10)).min(REST_MOST);
                self.budget.rest(now, rest);
                self.failures = self.failures.saturating_add(1);
            }
        }
        if self.told.replace(error.kind()) != Some(error.kind()) {
            let provider = self.provider.name();
            tracing::warn!(provider, addresses = count, %error, "addresses could not be looked up: they are asked for again");
        }
        // A batch that it can't talk of does not hold up the others for ever.
        let gives_up = matches!(error, ProviderError::Garbage(_)) && self.failures > GARBAGE_MOST;
        if let Some(run) = self.run_of(is_fresh).filter(|_| !gives_up) {
            run.put_back(batch);
        }
    }

    const fn run_of(&mut self, is_fresh: bool) -> Option<&mut Run> {
        if is_fresh {
            self.fresh.as_mut()
        } else {
            self.daily.as_mut()
        }
    }
}
