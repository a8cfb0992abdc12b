//! One client with its connections, and the tasks around it. It is never mended from outside: one that hangs is let go with all that waits in
//! it, so that nothing old is written late, and another is made.

use std::{collections::BTreeSet, sync::Weak, time::Duration};

use fred::{
    clients::{Client, WithOptions},
    interfaces::{ClientLike as _, EventInterface as _},
    types::config::{Options, PerformanceConfig, Server, ServerConfig},
};
use tokio::{sync::broadcast::error::RecvError, task::AbortHandle};

use super::{
    PIPELINE, Shared,
    address::{self, Address},
};

/// How long an answer may take.
pub(super) const ANSWER: Duration = Duration::from_secs(2);

/// So long after a member of a cluster was lost the next client is made: it may be lost for a while.
const REBUILD_PAUSE: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct Line {
    pub(super) client: WithOptions<Client>,
    /// Counts the lines.
    pub(super) number: u64,
    tasks: [AbortHandle; 2],
}

impl Line {
    /// Starts connecting.
    pub(super) fn new(address: &Address, members: &BTreeSet<Server>, number: u64, shared: Weak<Shared>) -> Self {
        let performance = PerformanceConfig {
            default_command_timeout: ANSWER,
            // A pipeline goes out in pieces of the connection's buffer, not of so many commands.
            max_feed_count: 2 * PIPELINE as u64,
            ..PerformanceConfig::default()
        };
        let mut config = address.config.clone();
        if let ServerConfig::Clustered { hosts, .. } = &mut config.server {
            // The members that the URL names may be those that are gone.
            hosts.extend(
                members
                    .iter()
                    .filter(|it| !address.config.server.hosts().contains(it))
                    .cloned(),
            );
        }
        let client = Client::new(
            config,
            Some(performance),
            Some(address::connection()),
            Some(address::policy()),
        );
        let listening = tokio::spawn(listen(client.clone(), number, shared));
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
async fn listen(client: Client, number: u64, shared: Weak<Shared>) {
    let (mut arrivals, mut changes, mut errors) =
        (client.reconnect_rx(), client.cluster_change_rx(), client.error_rx());
    let (mut was_there, mut met) = (false, BTreeSet::new());
    // The client keeps its own ends of these channels: only the line's end ends this.
    loop {
        let lost = tokio::select! {
            arrived = arrivals.recv() => match arrived {
                Ok(server) => {
                    met.insert(server);
                    None
                }
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => return,
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
        if let Some(why) = lost {
            shared.health.told(&why);
            if was_there && shared.turn.is_some() {
                // A client that loses a member of a cluster asks only those whom it was told at first. The next one is told all that are known.
                tokio::time::sleep(REBUILD_PAUSE).await;
                shared.rebuild(number);
                return;
            }
        } else {
            was_there = true;
            if shared.turn.is_some() {
                met.extend(client.active_connections());
                shared.know(std::mem::take(&mut met));
            }
            shared.arrivals.send_modify(|count| *count += 1);
        }
    }
}
