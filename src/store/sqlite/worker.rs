//! A thread that owns a connection and does one call after the other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::{connection::Line, fault::Fault};
use crate::{clock::Stopwatch, store::StoreError};

/// Calls that may wait for a worker; whoever comes later waits to get in.
const QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut Line) + Send>;

/// The door to the thread. The thread ends when the last door is closed.
#[derive(Clone)]
pub(super) struct Worker(mpsc::Sender<Job>);

impl Worker {
    /// Starts the thread.
    pub(super) fn start(thread_name: &str, mut line: Line) -> Result<Self, StoreError> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        thread::Builder::new()
            .name(thread_name.to_owned())
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    // A call that panics ends alone; its caller hears of it by the dropped answer.
                    if catch_unwind(AssertUnwindSafe(|| job(&mut line))).is_err() {
                        line.drop_connection();
                    }
                }
            })
            .map_err(|error| StoreError::Broken(format!("no thread for the store: {error}")))?;
        Ok(Self(jobs))
    }

    /// One transaction on the thread, measured under `name`.
    pub(super) async fn transact<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(name, |line| line.transact(work)).await
    }

    /// Work on the thread that brings its own transactions, measured under `name`.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(name, |line| line.with(work)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Line) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |line| {
            // Nobody waits any more: what was not begun is not done.
            if !answer.is_closed() {
                answer.send(measured(name, || work(line))).ok();
            }
        });
        self.0
            .send(job)
            .await
            .map_err(|_| StoreError::Broken("the store's thread has ended".to_owned()))?;
        answered
            .await
            .map_err(|_| StoreError::Broken(format!("{name} panicked")))?
    }
}

fn measured<T>(name: &'static str, work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let watch = Stopwatch::start();
    let result = work();
    metrics::histogram!("core_store_seconds", "call" => name).record(watch.elapsed().as_secs_f64());
    if let Err(error) = &result {
        metrics::counter!("core_store_failures_total", "call" => name, "kind" => error.kind()).increment(1);
    }
    result
}
