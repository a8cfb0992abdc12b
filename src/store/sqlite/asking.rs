//! Work that needs an answer from its caller in the middle of a transaction: a key carries the id of a node that the same
//! transaction makes, and how a key is made only the caller knows.

use std::{future::Future, pin::pin, sync::mpsc as blocking, time::Duration};

use tokio::sync::mpsc;

use super::fault::Fault;
use crate::{
    model::{NodeId, secrets::SecretHash},
    store::StoreError,
};

/// How long the writer waits for its caller. It answers at once if its runtime lives; if not, the others must go on.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The worker's end.
pub(super) struct Questions {
    ask: mpsc::Sender<NodeId>,
    answers: blocking::Receiver<SecretHash>,
}

impl Questions {
    /// The hash of a new key for this node, made by the caller. A caller who left ends the transaction.
    pub(super) fn key_for(&self, node: NodeId) -> Result<SecretHash, Fault> {
        let gone = || StoreError::Away("the caller left before the key was made".to_owned());
        self.ask.try_send(node).map_err(|_| gone())?;
        Ok(self.answers.recv_timeout(ANSWER_TIMEOUT).map_err(|_| gone())?)
    }
}

/// Runs the work that `begin` starts, and makes keys for it with `issue` whenever it asks.
pub(super) async fn answering<T, F>(
    issue: &(dyn Fn(NodeId) -> SecretHash + Send + Sync),
    begin: impl FnOnce(Questions) -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    // One question at a time: the worker waits for its answer.
    let (ask, mut asked) = mpsc::channel(1);
    let (answer, answers) = blocking::sync_channel(1);
    let mut work = pin!(begin(Questions { ask, answers }));
    loop {
        tokio::select! {
            done = &mut work => return done,
            Some(node) = asked.recv() => {
                // If the worker waits no more, the work ends by itself and says why.
                answer.try_send(issue(node)).ok();
            }
        }
    }
}
