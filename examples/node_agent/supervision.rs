//! An engine that ends by itself is started again, later and later, and Core is told.

use std::time::Duration;

use tokio::{
    sync::{Notify, mpsc},
    time::sleep,
};

/// The pause before an engine is started again, doubled each time, and its top. One that ran longer than that begins anew.
const RESTART_AFTER: Duration = Duration::from_secs(1);
const RESTART_AFTER_MAX: Duration = Duration::from_mins(1);

/// What can be started again.
pub trait Supervised {
    /// Told when a process ends, wanted or not.
    fn died(&self) -> &Notify;

    /// What ended by itself and is not running now: the words for Core, and how long it had run.
    async fn ending(&self) -> Option<(String, Duration)>;

    /// Starts it again.
    async fn revive(&self) -> Result<(), String>;
}

/// Watches for ever; what goes wrong goes into `errors`.
pub async fn supervise(engine: &impl Supervised, errors: &mpsc::Sender<String>) {
    let mut pause = RESTART_AFTER;
    loop {
        engine.died().notified().await;
        while let Some((why, lived)) = engine.ending().await {
            tell(errors, why);
            if lived > RESTART_AFTER_MAX {
                pause = RESTART_AFTER;
            }
            sleep(pause).await;
            pause = (pause * 2).min(RESTART_AFTER_MAX);
            if let Err(why) = engine.revive().await {
                tell(errors, why);
            }
        }
    }
}

/// An error that finds no room is one of many: it is logged and goes.
fn tell(errors: &mpsc::Sender<String>, why: String) {
    tracing::error!(why, "an engine failed");
    if errors.try_send(why).is_err() {
        tracing::warn!("Core is not told of this error: earlier ones still wait");
    }
}
