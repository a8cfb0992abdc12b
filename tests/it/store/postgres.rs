//! What only PostgreSQL has: a schema among others, days as partitions, words to those who listen, locks, TLS.

mod locks;
mod partitions;
mod plans;
mod schema;
mod tls;
mod words;

use std::sync::Arc;

use vpn_core::store::{
    Store,
    postgres::{Address, PostgresStore},
};

use crate::harness::postgres::Database;

/// The store in the schema `core` of this database, made.
async fn store_in(database: &Database) -> Arc<dyn Store> {
    let store = unmade(&database.url());
    store.migrate().await.unwrap();
    store
}

/// The store at this address, as it is.
fn unmade(url: &str) -> Arc<dyn Store> {
    let address = Address::new(&url.to_owned().into(), "core").unwrap();
    Arc::new(PostgresStore::new(&address).unwrap())
}
