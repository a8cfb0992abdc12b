//! What is done from time to time.

pub mod ip_info;
pub mod samples;
pub mod states;
pub mod upkeep;
pub mod watchdog;

use std::{future::Future, time::Duration};

use tokio::{sync::watch, time::MissedTickBehavior};

/// Does something every so often until it is told to stop, and then once more.
pub async fn repeat<F, Fut>(every: Duration, mut stopped: watch::Receiver<bool>, mut job: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = ()>,
{
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let end = tokio::select! {
            _ = ticks.tick() => false,
            _ = stopped.wait_for(|stopped| *stopped) => true,
        };
        job().await;
        if end {
            return;
        }
    }
}
