//! The one door to the database: a pool of connections, transactions with names, once more where two met, measured.

use std::{sync::Arc, time::Duration};

use bb8::{Pool, PooledConnection, RunError};

use super::{
    address::{Address, AddressError},
    fault::{Fault, Kind},
    line::{Line, Lines},
};
use crate::{clock::Stopwatch, store::StoreError};

/// Connections of an instance: the flush, the follower, the savers, and some for admins. PostgreSQL allows 100 in all by default.
pub(super) const CONNECTIONS: u32 = 8;

/// How long a call waits for a connection, a new one included.
const ACQUIRE: Duration = Duration::from_millis(1_500);

/// How often a transaction is tried that met another one.
const TRIES: u32 = 5;

/// How long an end of a transaction may take that nobody waits for.
const ROLLBACK: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Clone)]
pub(super) struct Door {
    pool: Pool<Lines>,
    /// Makes connections that belong to one task: to listen, to migrate.
    pub(super) lines: Lines,
}

/// A transaction, or a connection for one question. Whoever has it has the connection to himself.
pub(super) struct Tx(PooledConnection<'static, Lines>);

impl std::ops::Deref for Tx {
    type Target = Line;

    fn deref(&self) -> &Line {
        &self.0
    }
}

/// What a transaction sees.
#[derive(Clone, Copy)]
enum View {
    /// What is committed when a statement begins; writes.
    Latest,
    /// One moment; reads.
    Moment,
}

impl View {
    const fn begin(self) -> &'static str {
        match self {
            Self::Latest => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
            Self::Moment => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }
}

impl Door {
    /// A door to this database. Connects when it is first needed.
    pub(super) fn new(address: &Address) -> Result<Self, AddressError> {
        let lines = Lines::new(address)?;
        let pool = Pool::builder()
            .max_size(CONNECTIONS)
            .connection_timeout(ACQUIRE)
            // A connection that no longer answers is found out by the first statement, and the call says so: no call waits for a question before it.
            .test_on_check_out(false)
            .retry_connection(false)
            .idle_timeout(Duration::from_mins(5))
            .max_lifetime(Duration::from_hours(1))
            .build_unchecked(lines.clone());
        Ok(Self { pool, lines })
    }

    /// A transaction that changes something: all or nothing, durable when this returns.
    pub(super) async fn write<T, F>(&self, name: &'static str, work: impl Fn(Arc<Tx>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        measured(name, self.transact(name, View::Latest, work)).await
    }

    /// A transaction that sees one moment.
    pub(super) async fn read<T, F>(&self, name: &'static str, work: impl Fn(Arc<Tx>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        measured(name, self.transact(name, View::Moment, work)).await
    }

    /// One statement that reads: it needs no transaction around it, and no round trips for one.
    pub(super) async fn glance<T, F>(&self, name: &'static str, work: impl Fn(Arc<Tx>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let looking = async {
            let mut tries = 1;
            loop {
                let tx = Arc::new(self.take().await?);
                tx.take_up();
                let outcome = work(Arc::clone(&tx)).await;
                match &outcome {
                    Err(fault) if is_worth_another(fault, &mut tries, name) => continue,
                    Err(fault) if fault.kind() == Kind::Away => {}
                    _ => tx.put_down(),
                }
                return outcome;
            }
        };
        measured(name, looking).await
    }

    async fn transact<T, F>(&self, name: &'static str, view: View, work: impl Fn(Arc<Tx>) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut tries = 1;
        loop {
            let tx = Arc::new(self.take().await?);
            // Left like this when this call is given up: then the connection is closed, and the server rolls back.
            tx.take_up();
            let outcome = match tx.batch(view.begin()).await {
                Ok(()) => work(Arc::clone(&tx)).await,
                Err(fault) => Err(fault),
            };
            match outcome {
                Ok(done) => match tx.batch("COMMIT").await {
                    Ok(()) => {
                        tx.put_down();
                        return Ok(done);
                    }
                    // A trigger that is deferred, or a serialization failure, speaks only now. What is lost on the way is in doubt: the
                    // caller hears that the store is away, and asks.
                    Err(fault) => {
                        if is_worth_another(&fault, &mut tries, name) {
                            continue;
                        }
                        return Err(fault);
                    }
                },
                Err(fault) => {
                    roll_back(&tx, &fault).await;
                    if !is_worth_another(&fault, &mut tries, name) {
                        return Err(fault);
                    }
                }
            }
        }
    }

    /// A connection of the pool. Those that were closed since, as by a restart of the database, go without a word.
    async fn take(&self) -> Result<Tx, Fault> {
        loop {
            match self.pool.get_owned().await {
                Ok(line) if line.client.is_closed() => drop(line),
                Ok(line) => return Ok(Tx(line)),
                Err(RunError::User(fault)) => return Err(fault),
                Err(RunError::TimedOut) => return Err(Fault::away("no connection is free or can be made")),
            }
        }
    }
}

/// Whether to try once more.
fn is_worth_another(fault: &Fault, tries: &mut u32, name: &'static str) -> bool {
    if fault.kind() != Kind::Again || *tries >= TRIES {
        return false;
    }
    *tries += 1;
    metrics::counter!("core_store_retries_total", "call" => name).increment(1);
    tracing::debug!(call = name, %fault, "a transaction met another one and is tried again");
    true
}

/// Ends a transaction that failed; where that is not possible at once, the connection goes with it.
async fn roll_back(tx: &Tx, fault: &Fault) {
    if fault.kind() == Kind::Away && fault.said().is_none() {
        return;
    }
    let ended = tokio::time::timeout(ROLLBACK, tx.batch("ROLLBACK")).await;
    // A statement that is remembered from before a migration fails on this connection again and again.
    let is_stale = fault
        .said()
        .is_some_and(|said| matches!(said.code().code(), "0A000" | "26000"));
    if matches!(ended, Ok(Ok(()))) && !is_stale {
        tx.put_down();
    }
}

async fn measured<T>(name: &'static str, work: impl Future<Output = Result<T, Fault>>) -> Result<T, StoreError> {
    let watch = Stopwatch::start();
    let result = work.await.map_err(Fault::into_store_error);
    metrics::histogram!("core_store_seconds", "call" => name).record(watch.elapsed().as_secs_f64());
    if let Err(error) = &result {
        metrics::counter!("core_store_failures_total", "call" => name, "kind" => error.kind()).increment(1);
    }
    result
}
