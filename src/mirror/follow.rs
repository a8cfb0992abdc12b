//! The stream of events reads along with everybody else, by a cursor of its own.

use std::time::Duration;

use crate::{
    events::Events,
    model::event::EventId,
    redis::{PIPELINE, Redis},
};

/// How long to wait before the next try when Redis took nothing.
const PAUSE: Duration = Duration::from_millis(500);

/// Adds what happens to the stream, for ever: in order, and again if it is not known whether Redis has it. What is no longer kept when Redis
/// is back is missing there, and is counted.
pub(super) async fn follow(events: Events, redis: Redis) {
    let mut news = events.watch();
    let mut cursor = EventId::default();
    let mut read = 0;
    loop {
        news.mark_unchanged();
        let later = events.after(cursor, PIPELINE);
        let Some(last) = later.events.last() else {
            if news.changed().await.is_err() {
                return;
            }
            continue;
        };
        if redis.append(&later.events).await.is_err() {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        if later.missed {
            let missed = later.before.saturating_sub(read);
            metrics::counter!("core_mirror_events_missed_total").increment(missed);
            tracing::warn!(
                missed,
                "Redis was away for so long that events are missing in its stream"
            );
        }
        cursor = last.id;
        read = later.before + later.events.len() as u64;
    }
}
