//! A connection to the file: how it is opened, and how it is known that the file is still the one that was opened.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use super::fault::Fault;
use crate::store::StoreError;

/// How long a call waits for another process to end its transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The write-ahead log is cut back to this after a checkpoint, so that one large import does not hold the disk for ever.
const JOURNAL_SIZE_LIMIT: i64 = 64 * 1024 * 1024;

/// Prepared statements that are kept: more than there are in this store.
const STATEMENTS: usize = 256;

/// How often a new file is asked to switch to the write-ahead log while another process does the same.
const WAL_ATTEMPTS: usize = 10;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Every transaction takes the write lock at its start, so that none fails half-way for having read first.
    Write,
    /// Every transaction sees one moment, and can't change anything.
    Read,
}

/// A connection that opens itself again after it broke.
pub(super) struct Line {
    path: PathBuf,
    purpose: Purpose,
    open: Option<(Connection, FileIdentity)>,
}

impl Line {
    /// Opens the file; makes it if it is missing.
    pub(super) fn open(path: &Path, purpose: Purpose) -> Result<Self, Fault> {
        let open = connect(path, purpose, OpenFlags::SQLITE_OPEN_CREATE)?;
        Ok(Self {
            path: path.to_owned(),
            purpose,
            open: Some(open),
        })
    }

    /// Of a file that is there; it is opened when it is first asked.
    pub(super) fn existing(path: &Path, purpose: Purpose) -> Self {
        Self {
            path: path.to_owned(),
            purpose,
            open: None,
        }
    }

    /// The connection, opened again if it broke or if the file at the path is another one by now. A file that is gone is
    /// not made again: an empty store in its place would pass for one that lost everything.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, Fault> {
        let moved = self
            .open
            .as_ref()
            .is_some_and(|(_, opened)| FileIdentity::of(&self.path).ok().as_ref() != Some(opened));
        if moved {
            self.drop_connection();
        }
        if self.open.is_none() {
            self.open = Some(connect(&self.path, self.purpose, OpenFlags::empty())?);
        }
        match &mut self.open {
            Some((connection, _)) => Ok(connection),
            None => Err(StoreError::Away("the connection is closed".to_owned()).into()),
        }
    }

    /// The connection alone, for one who keeps it.
    pub(super) fn into_connection(mut self) -> Result<Connection, Fault> {
        self.connection()?;
        match self.open {
            Some((connection, _)) => Ok(connection),
            None => Err(StoreError::Away("the connection is closed".to_owned()).into()),
        }
    }

    /// One transaction: committed if the work is done, rolled back if it stops.
    pub(super) fn transact<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }

    /// Work that brings its own transactions. The connection is dropped if the work broke it.
    pub(super) fn with<T>(&mut self, work: impl FnOnce(&mut Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        let result = self.connection().and_then(work);
        if result.as_ref().is_err_and(Fault::breaks_connection) {
            self.drop_connection();
        }
        result.map_err(Fault::into_store_error)
    }

    /// Lets the connection go; the next call opens another.
    pub(super) fn drop_connection(&mut self) {
        self.open = None;
    }
}

fn connect(path: &Path, purpose: Purpose, create: OpenFlags) -> Result<(Connection, FileIdentity), Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let mut connection = Connection::open_with_flags(path, flags)?;
    let identity = FileIdentity::of(path).map_err(|error| StoreError::Away(format!("{}: {error}", path.display())))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    match purpose {
        Purpose::Write => {
            connection.set_transaction_behavior(TransactionBehavior::Immediate);
            use_write_ahead_log(&connection)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT)?;
            connection.pragma_update(None, "foreign_keys", true)?;
        }
        Purpose::Read => connection.pragma_update(None, "query_only", true)?,
    }
    Ok((connection, identity))
}

/// The switch to the write-ahead log does not wait for other processes by itself; a transaction does, so one is taken
/// between two attempts.
fn use_write_ahead_log(connection: &Connection) -> Result<(), Fault> {
    for _ in 0..WAL_ATTEMPTS {
        let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(
                    StoreError::Broken(format!("this disk can't keep a write-ahead log, only {mode:?}")).into(),
                );
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Away("another process holds the file".to_owned()).into())
}

/// Which file it is. `SQLite` goes on writing to a file that was deleted or replaced: nobody would ever read that again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
}

impl FileIdentity {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt as _;
            Self {
                device: metadata.dev(),
                inode: metadata.ino(),
            }
        };
        #[cfg(not(unix))]
        let identity = {
            // The file can't be deleted or replaced while it is open.
            drop(metadata);
            Self {}
        };
        Ok(identity)
    }
}
