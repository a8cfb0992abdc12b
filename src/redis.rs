//! The door to Redis: values that expire, and a stream. It may vanish and come back at any time: whoever asks is told so at once, or after two
//! seconds at most, and nothing waits in here for its return.

mod address;
mod health;
mod line;
pub mod names;
mod watchdog;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use fred::{
    clients::{Client, Pipeline, WithOptions},
    error::{Error, ErrorKind},
    interfaces::{ClientLike as _, KeysInterface as _, StreamsInterface as _},
    types::{Expiration, FromValue, InfoKind, Value, config::Server, streams::XCap},
};
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use secrecy::SecretString;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, watch};

use crate::{clock::Clock, model::event::Event};

use self::{address::Address, health::Health, line::Line};

pub use self::address::RedisUrlError;

/// Commands of a pipeline at most.
pub const PIPELINE: usize = 1_024;

/// Pipelines that are on their way at once, so that the connection does not idle while one is answered.
const IN_FLIGHT: usize = 4;

/// Members of a cluster that are remembered: far more masters than anybody has.
const MEMBERS_MAX: usize = 256;

/// So many events the stream keeps, about.
const STREAM_KEPT: i64 = 100_000;

/// Redis. Cheap to clone.
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

/// What all clones share.
struct Shared {
    address: Address,
    line: Mutex<Line>,
    health: Health,
    /// Members of the cluster that were met.
    members: Mutex<BTreeSet<Server>>,
    /// Whose turn it is, in a cluster. The client sends what it has for one member when the next command is for that member too, or when no
    /// command waits: of two callers at once, the end of what the first one said could stay behind.
    turn: Option<AsyncMutex<()>>,
    /// Counts connections that were made: what was in Redis may be gone then.
    arrivals: watch::Sender<u64>,
}

/// Why a command was not done, or may not have been done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RedisError {
    /// It can't be asked, or did not answer in time.
    #[error("Redis is away: {0}")]
    Away(String),
    /// It answered that it will not.
    #[error("Redis refuses: {0}")]
    Refused(String),
}

/// A value that goes by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiring {
    /// Its name.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// So long it stays, in whole milliseconds.
    pub ttl: Duration,
}

impl Expiring {
    /// A value under this name that stays so long.
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>, ttl: Duration) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            ttl,
        }
    }

    fn expiration(&self) -> Expiration {
        Expiration::PX(i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX).max(1))
    }
}

impl Redis {
    /// The Redis at this URL. Connecting begins, and is not waited for; all of it happens on the runtime that this is called on.
    pub fn new(url: &SecretString, clock: Clock) -> Result<Self, RedisUrlError> {
        let address = Address::new(url)?;
        let shared = Arc::new_cyclic(|shared| Shared {
            health: Health::new(clock, address.shown.clone()),
            line: Mutex::new(Line::new(&address, &BTreeSet::new(), 0, shared.clone())),
            members: Mutex::default(),
            turn: address.config.server.is_clustered().then(AsyncMutex::default),
            arrivals: watch::Sender::new(0),
            address,
        });
        tokio::spawn(watchdog::watch(Arc::downgrade(&shared)));
        Ok(Self(shared))
    }

    /// Whether it answered within the last few seconds, and the last command went well.
    pub fn is_there(&self) -> bool {
        self.0.health.is_there()
    }

    /// Moves whenever a connection was made: what had been written may be gone then.
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.0.arrivals.subscribe()
    }

    /// Asks for a sign of life.
    pub async fn ping(&self) -> Result<(), RedisError> {
        let (client, line) = self.0.line();
        let _turn = self.0.turn().await;
        self.0.judge(line, client.ping::<Value>(None).await).map(drop)
    }

    /// Which version it says it is, such as `7.0.15`.
    pub async fn version(&self) -> Result<String, RedisError> {
        let (client, line) = self.0.line();
        let _turn = self.0.turn().await;
        let info: String = self.0.judge(line, client.info(Some(InfoKind::Server)).await)?;
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        Ok(version.unwrap_or("unknown").trim().to_owned())
    }

    /// What is under this name.
    pub async fn get(&self, key: &str) -> Result<Option<String>, RedisError> {
        let (client, line) = self.0.line();
        let _turn = self.0.turn().await;
        self.0.judge(line, client.get(key).await)
    }

    /// Writes values, in order. After an error each may be written or not.
    pub async fn set_all(&self, keys: Vec<Expiring>) -> Result<(), RedisError> {
        let (client, line) = self.0.line();
        let written = pieces(keys)
            .then(|piece| fill(client.clone(), piece, false))
            .map_ok(|pipeline| self.0.send(pipeline, &client))
            .try_buffered(self.0.in_flight())
            .map_ok(|_: Value| ())
            .try_collect::<()>()
            .await;
        self.0.judge(line, written)
    }

    /// Writes values, in order; gives what was there before.
    pub async fn exchange(&self, keys: Vec<Expiring>) -> Result<Vec<Option<String>>, RedisError> {
        let (client, line) = self.0.line();
        let before = pieces(keys)
            .then(|piece| fill(client.clone(), piece, true))
            .map_ok(|pipeline| self.0.send::<Vec<Option<String>>>(pipeline, &client))
            .try_buffered(self.0.in_flight())
            .try_concat()
            .await;
        self.0.judge(line, before)
    }

    /// Adds events to the stream, in order. After an error each may be added or not.
    pub async fn append(&self, events: &[Arc<Event>]) -> Result<(), RedisError> {
        let (client, line) = self.0.line();
        let added = async {
            for piece in events.chunks(PIPELINE) {
                let pipeline = Pipeline::from(client.clone());
                for event in piece {
                    let fields = vec![
                        ("id", event.id.to_string()),
                        ("type", event.what.kind().to_owned()),
                        ("at", event.at.to_string()),
                        ("data", event.data().to_string()),
                    ];
                    let most = XCap::try_from(("MAXLEN", "~", STREAM_KEPT))?;
                    pipeline
                        .xadd::<(), _, _, _, _>(names::EVENTS, false, most, "*", fields)
                        .await?;
                }
                self.0.send::<Value>(pipeline, &client).await?;
            }
            Ok(())
        };
        self.0.judge(line, added.await)
    }
}

impl Shared {
    /// The line of now, and its number.
    fn line(&self) -> (WithOptions<Client>, u64) {
        let line = self.lock();
        (line.client.clone(), line.number)
    }

    /// Sends a pipeline; gives its answers.
    async fn send<T: FromValue>(
        &self,
        pipeline: Pipeline<WithOptions<Client>>,
        client: &WithOptions<Client>,
    ) -> Result<T, Error> {
        if let Some(_turn) = self.turn().await {
            return pipeline.all().await;
        }
        // While a command waits behind it, a pipeline is sent in large pieces; else each of its commands would be a write of its own.
        let (answers, _) = future::join(pipeline.all(), client.ping::<Value>(None)).await;
        answers
    }

    /// The turn of whoever has this, in a cluster.
    async fn turn(&self) -> Option<AsyncMutexGuard<'_, ()>> {
        match &self.turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    const fn in_flight(&self) -> usize {
        if self.turn.is_some() { 1 } else { IN_FLIGHT }
    }

    /// What an outcome says of Redis and of the line.
    fn judge<T>(self: &Arc<Self>, line: u64, outcome: Result<T, Error>) -> Result<T, RedisError> {
        let error = match outcome {
            Ok(answer) => {
                self.health.answered();
                return Ok(answer);
            }
            Err(error) => error,
        };
        metrics::counter!("core_redis_failures_total").increment(1);
        if is_answer(&error) {
            self.health.answered();
            return Err(RedisError::Refused(error.details().to_owned()));
        }
        if *error.kind() == ErrorKind::Timeout {
            // What waits in it would be written whenever it comes to, however old.
            self.rebuild(line);
        }
        self.health.silent();
        let why = self.health.why().unwrap_or_else(|| error.details().to_owned());
        Err(RedisError::Away(why))
    }

    /// Makes a new line in place of this one, if nobody did yet.
    fn rebuild(self: &Arc<Self>, line: u64) {
        let mut now = self.lock();
        if now.number == line {
            metrics::counter!("core_redis_rebuilds_total").increment(1);
            *now = Line::new(&self.address, &self.members(), line + 1, Arc::downgrade(self));
        }
    }

    /// Remembers members of the cluster; a cluster that moves house leaves at most so many behind.
    fn know(&self, met: BTreeSet<Server>) {
        let mut members = self.members();
        if members.len() + met.len() > MEMBERS_MAX {
            members.clear();
        }
        members.extend(met);
    }

    fn members(&self) -> MutexGuard<'_, BTreeSet<Server>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys in pieces that fit a pipeline, without copying them.
fn pieces(keys: Vec<Expiring>) -> impl stream::Stream<Item = Vec<Expiring>> {
    let mut keys = keys.into_iter();
    stream::iter(std::iter::from_fn(move || {
        let piece: Vec<_> = keys.by_ref().take(PIPELINE).collect();
        (!piece.is_empty()).then_some(piece)
    }))
}

/// A pipeline that sets these keys, not sent yet.
async fn fill(
    client: WithOptions<Client>,
    keys: Vec<Expiring>,
    get: bool,
) -> Result<Pipeline<WithOptions<Client>>, Error> {
    let pipeline = Pipeline::from(client);
    for key in keys {
        let expiration = key.expiration();
        pipeline
            .set::<(), _, _>(key.key, key.value, Some(expiration), None, get)
            .await?;
    }
    Ok(pipeline)
}

/// Whether an error is what Redis answered: it begins with a word in capitals, such as `OOM` or `WRONGTYPE`.
fn is_answer(error: &Error) -> bool {
    let word = error.details().split(' ').next().unwrap_or_default();
    word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase())
}
