//! Hears of changes of the catalogue, on a connection of its own. What it misses while it is away is found by whoever looks every few seconds.

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    task::JoinSet,
};
use tokio_postgres::{AsyncMessage, Connection};

use super::{
    fault::Fault,
    line::{Line, Lines},
};

/// How long it waits before it listens again: longer each time, between these.
const AGAIN: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// How often the other end must show that it lives, and how quickly.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
const ALIVE_WITHIN: Duration = Duration::from_secs(2);

/// Listens for as long as somebody holds the receiver; the number grows with every word.
pub(super) fn listen(lines: Arc<Lines>, schema: String) -> watch::Receiver<u64> {
    let (heard, hearing) = watch::channel(0);
    tokio::spawn(async move {
        let mut pause = AGAIN.0;
        while !heard.is_closed() {
            let mut listening = false;
            let ended = tokio::select! {
                ended = hear(&lines, &schema, &heard, &mut listening) => ended,
                () = heard.closed() => return,
            };
            pause = if listening { AGAIN.0 } else { (pause * 2).min(AGAIN.1) };
            tracing::debug!(fault = %ended, "changes of the catalogue can't be heard now");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = heard.closed() => return,
            }
        }
    });
    hearing
}

/// Listens on one connection until it ends; gives why it did.
async fn hear(lines: &Lines, schema: &str, heard: &watch::Sender<u64>, listening: &mut bool) -> Fault {
    let (client, connection) = match lines.connect().await {
        Ok(connected) => connected,
        Err(fault) => return fault,
    };
    let line = Line::new(client);
    // Ends with this call.
    let mut talking = JoinSet::new();
    talking.spawn(take_messages(connection, schema.to_owned(), heard.clone()));
    let asking = async {
        lines.set_up(&line).await?;
        line.client.batch_execute("LISTEN core_catalog").await?;
        *listening = true;
        // What changed before, nobody told.
        heard.send_modify(|count| *count += 1);
        let mut ticks = tokio::time::interval(ALIVE_EVERY);
        loop {
            ticks.tick().await;
            let alive = tokio::time::timeout(ALIVE_WITHIN, line.client.check_connection());
            alive.await.map_err(|_| Fault::away("no answer within 2 s"))??;
        }
    };
    let ended: Result<(), Fault> = asking.await;
    ended.err().unwrap_or_else(|| Fault::away("the connection ended"))
}

async fn take_messages<S, T>(mut connection: Connection<S, T>, schema: String, heard: watch::Sender<u64>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notification(word)) if word.payload() == schema => heard.send_modify(|count| *count += 1),
            Ok(_) => {}
            Err(error) => return tracing::debug!(%error, "the connection that listens ended"),
        }
    }
}
