//! Asks for a sign of life when nobody else does, and makes everything anew when there has been none for long: the last resort against a
//! client that does not find back by itself.

use std::{sync::Weak, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{Redis, Shared};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// So many looks without a sign of life: 15 s.
const SILENT_LOOKS: u32 = 15;

/// Watches for as long as anybody uses this Redis.
pub(super) async fn watch(shared: Weak<Shared>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silent = 0;
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let line = shared.line().1;
        if shared.health.take_answered() || Redis(shared.clone()).ping().await.is_ok() {
            silent = 0;
            continue;
        }
        silent += 1;
        if silent == SILENT_LOOKS {
            silent = 0;
            tracing::debug!("no sign of life of Redis for long: the client is made anew");
            shared.rebuild(line);
        }
    }
}
