//! One client with its connections, and the tasks around it. It is never mended from outside: one that hangs is let go with all that waits in
//! it, so that nothing old is written late, and another is made.

use std::{sync::Weak, time::Duration};

use fred::{
    clients::{Client, WithOptions},
    interfaces::{ClientLike as _, EventInterface as _},
    types::config::{Options, PerformanceConfig},
};
use tokio::{sync::broadcast::error::RecvError, task::AbortHandle};

use super::{
    PIPELINE, Shared,
    address::{self, Address},
};

/// How long an answer may take.
pub(super) const ANSWER: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Line {
    pub(super) client: WithOptions<Client>,
    /// Counts the lines.
    pub(super) number: u64,
    tasks: [AbortHandle; 2],
}

impl Line {
    /// Starts connecting.
    pub(super) fn new(address: &Address, number: u64, shared: Weak<Shared>) -> Self {
        let performance = PerformanceConfig {
            default_command_timeout: ANSWER,
            // A pipeline goes out in pieces of the connection's buffer, not of so many commands.
            max_feed_count: 2 * PIPELINE as u64,
            ..PerformanceConfig::default()
        };
        let client = Client::new(
            address.config.clone(),
            Some(performance),
            Some(address::connection()),
            Some(address::policy()),
        );
        let listening = tokio::spawn(listen(client.clone(), shared));
        let connecting = client.connect();
        Self {
            client: client.with_options(&Options {
                fail_fast: true,
                timeout: Some(ANSWER),
                ..Options::default()
            }),
            number,
            tasks: [listening.abort_handle(), connecting.abort_handle()],
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Its connections, and what waits for them, are its tasks'.
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Hears what becomes of the connections.
async fn listen(client: Client, shared: Weak<Shared>) {
    let (mut arrivals, mut changes, mut errors) =
        (client.reconnect_rx(), client.cluster_change_rx(), client.error_rx());
    // The client keeps its own ends of these channels: only the line's end ends this.
    drop(client);
    loop {
        let lost = tokio::select! {
            arrived = arrivals.recv() => match arrived {
                Err(RecvError::Closed) => return,
                _ => None,
            },
            changed = changes.recv() => match changed {
                Err(RecvError::Closed) => return,
                _ => None,
            },
            error = errors.recv() => match error {
                Ok((error, _)) => Some(error.details().to_owned()),
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return,
            },
        };
        let Some(shared) = shared.upgrade() else { return };
        match lost {
            Some(why) => shared.health.told(&why),
            None => shared.arrivals.send_modify(|count| *count += 1),
        }
    }
}
