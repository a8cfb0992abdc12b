//! What the tests of the whole of Core share: Core as a process or inside this one, and callers that speak to it over real sockets.

pub mod core;
pub mod http;
pub mod inside;
pub mod rpc;

use std::{future::Future, time::Duration};

/// How long a test waits for something that must come: a time-out, not a measure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
///
/// # Panics
/// If there is none within [`PATIENCE`].
pub async fn eventually<T, F, Fut>(what: &str, mut ask: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let asking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// The sample catalogue: nodes 1 to 3; node n has the inbounds n1 (vless), n2 (trojan), n3 (mtproto) and the outbound `exit-n`; users,
/// subscriptions and links 1 and 2.
pub const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/catalog.json");
