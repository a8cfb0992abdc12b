//! Hears of changes of the catalogue, on a connection of its own. What it misses while it is away is found by whoever looks every few seconds.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_postgres::Notification;

use super::{fault::Fault, line::Lines};

/// How long it waits before it listens again: longer each time, between these.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// How often the other end must show that it lives, and how quickly.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
const ALIVE_WITHIN: Duration = Duration::from_secs(2);

/// Words that may wait to be taken: each says only that there was one.
const WORDS: usize = 16;

/// Listens for as long as somebody holds the receiver; the number grows with every word.
pub(super) fn listen(lines: Lines, schema: String) -> watch::Receiver<u64> {
    let (heard, hearing) = watch::channel(0);
    let home = std::sync::Arc::clone(&lines.home);
    home.spawn(async move {
        let mut pause = AGAIN.0;
        loop {
            let mut listening = false;
            let ended = tokio::select! {
                ended = hear(&lines, &schema, &heard, &mut listening) => ended,
                () = heard.closed() => return,
            };
            pause = if listening { AGAIN.0 } else { (pause * 2).min(AGAIN.1) };
            if let Err(fault) = ended {
                tracing::debug!(%fault, "changes of the catalogue can't be heard now");
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = heard.closed() => return,
            }
        }
    });
    hearing
}

/// Listens on one connection until it ends.
async fn hear(lines: &Lines, schema: &str, heard: &watch::Sender<u64>, listening: &mut bool) -> Result<(), Fault> {
    let (words, mut said) = mpsc::channel::<Notification>(WORDS);
    let line = lines.open(Some(words)).await?;
    line.client.batch_execute("LISTEN core_catalog").await?;
    *listening = true;
    // What changed before, nobody told.
    heard.send_modify(|count| *count += 1);
    let mut ticks = tokio::time::interval(ALIVE_EVERY);
    loop {
        tokio::select! {
            word = said.recv() => match word {
                Some(word) if word.payload() == schema => heard.send_modify(|count| *count += 1),
                Some(_) => {}
                None => return Ok(()),
            },
            _ = ticks.tick() => {
                let alive = tokio::time::timeout(ALIVE_WITHIN, line.client.check_connection());
                alive.await.map_err(|_| Fault::away("no answer within 2 s"))??;
            }
        }
    }
}
