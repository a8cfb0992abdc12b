//! Waiting for what must come.

use std::{future::Future, time::Duration};

use tokio::time::MissedTickBehavior;

/// How long a test waits for something that must come: a time-out, not a measure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
///
/// # Panics
/// If there is none within [`PATIENCE`].
pub async fn eventually<T, F, Fut>(what: &str, ask: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    within(PATIENCE, what, ask).await
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// If there is none in this time.
pub async fn within<T, F, Fut>(limit: Duration, what: &str, mut ask: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let asking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(limit, asking)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"))
}
