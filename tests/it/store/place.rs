//! The stores that the suite runs on, each in a place of its own.

use std::{future::Future, sync::Arc};

use tempfile::TempDir;
use vpn_core::store::{
    Store,
    postgres::{Address, PostgresStore},
    sqlite::SqliteStore,
};

use crate::harness::postgres::{Database, connect};

/// A name that only works where it is quoted.
const SCHEMA: &str = "the \"core\" of all";

/// A place for one store.
pub enum Place {
    /// A file.
    Sqlite(TempDir),
    /// A schema.
    Postgres(Database),
}

impl Place {
    /// Opens the store, once more if need be.
    pub fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(directory) => Arc::new(SqliteStore::open(&directory.path().join("core.db")).unwrap()),
            Self::Postgres(database) => {
                let address = Address::new(&database.url().into(), SCHEMA).unwrap();
                Arc::new(PostgresStore::new(&address).unwrap())
            }
        }
    }

    /// Runs SQL behind the store's back, as a panel does.
    pub async fn run(&self, sql: &str) {
        match self {
            Self::Sqlite(directory) => {
                let file = rusqlite::Connection::open(directory.path().join("core.db")).unwrap();
                file.execute_batch(sql).unwrap();
            }
            Self::Postgres(database) => {
                let path = format!("SET search_path = \"{}\"", SCHEMA.replace('"', "\"\""));
                let panel = connect(&database.url()).await;
                panel.batch_execute(&format!("{path}; {sql}")).await.unwrap();
            }
        }
    }

    /// From now on the store refuses this, with the words `the panel says no`: an `INSERT` into or an `UPDATE` of a table, `when` the row is such
    /// (`new.user_id = 666`).
    pub async fn trap(&self, event: &str, table: &str, when: &str) {
        let name = format!("trap_{event}_{table}");
        let sql = match self {
            Self::Sqlite(_) => format!(
                "CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {when} \
                 BEGIN SELECT RAISE(ABORT, 'the panel says no'); END"
            ),
            Self::Postgres(_) => format!(
                "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'the panel says no'; END $$; \
                 CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {name}()"
            ),
        };
        self.run(&sql).await;
    }
}

/// Runs a check in a new place for every store, before its schema is there.
pub async fn in_each_place<F: Future<Output = ()>>(check: impl Fn(Arc<Place>) -> F) {
    eprintln!("in SQLite");
    check(Arc::new(Place::Sqlite(tempfile::tempdir().unwrap()))).await;
    eprintln!("in PostgreSQL");
    check(Arc::new(Place::Postgres(Database::fresh().await))).await;
}

/// Runs a check on every store, with its schema.
pub async fn on_each<F: Future<Output = ()>>(check: impl Fn(Arc<dyn Store>) -> F) {
    in_each_place(|place| {
        let store = place.open();
        let checked = check(Arc::clone(&store));
        async move {
            store.migrate().await.unwrap();
            checked.await;
            drop(place);
        }
    })
    .await;
}
