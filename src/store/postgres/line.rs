//! One connection: made, set up, remembered statements, and whether it can be used again.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use bb8::ManageConnection;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc::{self, error::TrySendError},
};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Notification, Statement, types::ToSql};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    address::{Address, AddressError, CONNECT},
    fault::Fault,
    home::Home,
    tls,
};

/// How long one statement may take; a batch of 30,000 rows takes a second on a slow disk.
const STATEMENT: Duration = Duration::from_secs(10);

/// How long an answer is waited for: the server ends a statement before, so whoever says nothing for so long is not there.
const ANSWER: Duration = Duration::from_secs(12);

/// How long one statement waits for a lock that somebody else holds.
const LOCK: Duration = Duration::from_secs(2);

/// How long the server lets a transaction stand in which nothing is asked: its other end may be gone.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(15);

/// Statements that a connection remembers. There are fewer texts than this; the bound is for those that are put together.
const STATEMENTS: usize = 512;

/// Connections of an instance besides those of the pool: the one that listens for changes.
pub(super) const LISTENING: i64 = 1;

/// Makes connections, for the pool and for those who need one of their own.
#[derive(Clone)]
pub(super) struct Lines {
    config: Config,
    tls: MakeRustlsConnect,
    setup: Arc<str>,
    /// Where they live.
    pub(super) home: Arc<Home>,
}

/// What a connection says besides answers.
type Words = mpsc::Sender<Notification>;

impl Lines {
    /// Connections to this database.
    pub(super) fn new(address: &Address) -> Result<Self, AddressError> {
        let home = Home::start().map_err(|error| AddressError::Bad(format!("no thread for it: {error}")))?;
        Ok(Self {
            config: address.config.clone(),
            tls: tls::connector(address)?,
            setup: setup(&address.schema).into(),
            home: Arc::new(home),
        })
    }

    /// A connection, set up. What the server says by itself goes to `words`.
    pub(super) async fn open(&self, words: Option<Words>) -> Result<Line, Fault> {
        let (config, tls) = (self.config.clone(), self.tls.clone());
        let connecting = self.home.spawn(async move {
            let (client, connection) = tokio::time::timeout(CONNECT, config.connect(tls))
                .await
                .map_err(|_| Fault::away("no connection within 2 s"))??;
            tokio::spawn(talk(connection, words));
            Ok::<_, Fault>(client)
        });
        let client = connecting.await.map_err(|error| Fault::away(error.to_string()))??;
        let setting_up = client.batch_execute(&self.setup);
        match tokio::time::timeout(CONNECT, setting_up).await {
            Ok(done) => done?,
            Err(_) => return Err(Fault::away("no answer within 2 s")),
        }
        Ok(Line::new(client))
    }
}

/// Moves the bytes of a connection until it ends.
async fn talk<S, T>(mut connection: Connection<S, T>, words: Option<Words>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notification(word)) => {
                // Where many wait to be heard, one more says nothing new.
                if let Some(TrySendError::Closed(_)) = words.as_ref().and_then(|words| words.try_send(word).err()) {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => return tracing::debug!(%error, "a connection to the database ended"),
        }
    }
}

/// The settings of a session. `synchronous_commit` is raised where somebody lowered it, and left where it says more. Statements are planned with
/// their values: a plan that is to fit all values takes a list of 10,000 nodes for one of ten.
fn setup(schema: &str) -> String {
    format!(
        "SELECT set_config('search_path', quote_ident({}), false), \
         set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
         WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false), \
         set_config('statement_timeout', '{}', false), \
         set_config('lock_timeout', '{}', false), \
         set_config('idle_in_transaction_session_timeout', '{}', false), \
         set_config('timezone', 'UTC', false), \
         set_config('plan_cache_mode', 'force_custom_plan', false), \
         set_config('client_min_messages', 'warning', false)",
        literal(schema),
        STATEMENT.as_millis(),
        LOCK.as_millis(),
        IDLE_IN_TRANSACTION.as_millis(),
    )
}

/// A text as SQL writes it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name as SQL writes it.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A connection.
pub(super) struct Line {
    /// What talks.
    pub(super) client: Client,
    /// A transaction is open, or its end is not known: nobody else may have it.
    in_use: AtomicBool,
    statements: Mutex<HashMap<String, Statement>>,
}

impl Line {
    fn new(client: Client) -> Self {
        Self {
            client,
            in_use: AtomicBool::new(false),
            statements: Mutex::default(),
        }
    }

    /// From now on until [`Line::put_down`] nobody else may have it.
    pub(super) fn take_up(&self) {
        self.in_use.store(true, SeqCst);
    }

    /// It is as it was.
    pub(super) fn put_down(&self) {
        self.in_use.store(false, SeqCst);
    }

    /// The statement for this text, prepared once a connection.
    pub(super) async fn statement(&self, sql: &str) -> Result<Statement, Fault> {
        let known = self.remembered().get(sql).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let made = answered(self.client.prepare(sql)).await?;
        let mut statements = self.remembered();
        if statements.len() >= STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.to_owned(), made.clone());
        Ok(made)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<String, Statement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Statements without values, such as those around a transaction.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Fault> {
        answered(self.client.batch_execute(sql)).await
    }

    /// How many rows it changed.
    pub(super) async fn execute(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Fault> {
        let statement = self.statement(sql).await?;
        answered(self.client.execute(&statement, values)).await
    }

    /// The rows.
    pub(super) async fn query(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Fault> {
        let statement = self.statement(sql).await?;
        answered(self.client.query(&statement, values)).await
    }

    /// The row, if there is one.
    pub(super) async fn query_opt(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<tokio_postgres::Row>, Fault> {
        let statement = self.statement(sql).await?;
        answered(self.client.query_opt(&statement, values)).await
    }

    /// The one row.
    pub(super) async fn query_one(
        &self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<tokio_postgres::Row, Fault> {
        let statement = self.statement(sql).await?;
        answered(self.client.query_one(&statement, values)).await
    }
}

/// What the server answers; one that is silent is away. Boxed, since a flush holds many of these at once.
pub(super) async fn answered<T>(asking: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Fault> {
    match tokio::time::timeout(ANSWER, Box::pin(asking)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Fault::away(format!("no answer within {} s", ANSWER.as_secs()))),
    }
}

impl ManageConnection for Lines {
    type Connection = Line;
    type Error = Fault;

    async fn connect(&self) -> Result<Line, Fault> {
        self.open(None).await
    }

    async fn is_valid(&self, line: &mut Line) -> Result<(), Fault> {
        match tokio::time::timeout(CONNECT, line.client.check_connection()).await {
            Ok(checked) => Ok(checked?),
            Err(_) => Err(Fault::away("no answer within 2 s")),
        }
    }

    fn has_broken(&self, line: &mut Line) -> bool {
        line.client.is_closed() || line.in_use.load(SeqCst)
    }
}
