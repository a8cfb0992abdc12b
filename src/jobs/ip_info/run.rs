//! One run over addresses: what is left of it, and how far it is.

use std::{collections::VecDeque, net::IpAddr};

use crate::{
    model::{Time, address::is_public, presence::LookUp},
    store::{Store, StoreError},
};

/// Addresses that are read at once.
const PAGE: u32 = 1_000;

/// Pages that are read before the next look at the clock: private addresses may fill many.
const PAGES: usize = 10;

/// So often a run says how far it is.
const TELL_EVERY: u64 = 10_000;

/// See the module. What it has done is in the store: a run that is cut goes on with the next one.
#[derive(Debug)]
pub struct Run {
    /// Its name in log and metrics.
    pub name: &'static str,
    /// What it looks up.
    pub what: LookUp,
    /// When it began.
    pub began: Time,
    after: Option<IpAddr>,
    read_all: bool,
    waiting: VecDeque<IpAddr>,
    found: u64,
    done: u64,
    total: u64,
}

impl Run {
    /// A run that begins now.
    pub async fn begin(store: &dyn Store, name: &'static str, what: LookUp, now: Time) -> Result<Self, StoreError> {
        let total = store.count_unlooked(what).await?;
        if total > 0 {
            tracing::info!(run = name, addresses = total, "addresses are looked up");
        }
        let run = Self {
            name,
            what,
            began: now,
            after: None,
            read_all: false,
            waiting: VecDeque::new(),
            found: 0,
            done: 0,
            total,
        };
        run.show();
        Ok(run)
    }

    /// Reads on until so many addresses wait, or there are no more.
    pub async fn fill(&mut self, store: &dyn Store, size: usize) -> Result<(), StoreError> {
        for _ in 0..PAGES {
            if self.read_all || self.waiting.len() >= size {
                return Ok(());
            }
            let page = store.unlooked_ips(self.what, self.after, PAGE).await?;
            self.read_all = page.len() < PAGE as usize;
            self.after = page.last().copied().or(self.after);
            // Private ones are nobody's business outside, and nobody outside knows of them.
            let (public, private): (Vec<_>, Vec<_>) = page.into_iter().partition(|ip| is_public(*ip));
            self.waiting.extend(public);
            self.count(private.len());
        }
        Ok(())
    }

    /// The next addresses, so many at most.
    pub fn take(&mut self, size: usize) -> Vec<IpAddr> {
        let count = size.min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }

    /// Puts addresses back that nothing was found out of.
    pub fn put_back(&mut self, ips: Vec<IpAddr>) {
        for ip in ips.into_iter().rev() {
            self.waiting.push_front(ip);
        }
    }

    /// So many were found out.
    pub fn found(&mut self, count: usize) {
        let before = self.found;
        self.found += count as u64;
        self.count(count);
        if self.found / TELL_EVERY > before / TELL_EVERY {
            let (found, remaining) = (self.found, self.remaining());
            tracing::info!(run = self.name, found, remaining, "addresses are being looked up");
        }
    }

    /// Nothing is left to do.
    pub fn is_over(&self) -> bool {
        self.read_all && self.waiting.is_empty()
    }

    /// Says what came of it.
    pub fn end(mut self) {
        self.done = self.total;
        self.show();
        if self.found > 0 {
            tracing::info!(run = self.name, found = self.found, "all addresses are looked up");
        }
    }

    fn count(&mut self, count: usize) {
        self.done += count as u64;
        self.show();
    }

    /// Those that were first seen since it began are not in the count.
    const fn remaining(&self) -> u64 {
        self.total.saturating_sub(self.done)
    }

    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    fn show(&self) {
        metrics::gauge!("core_ip_info_remaining", "run" => self.name).set(self.remaining() as f64);
    }
}
