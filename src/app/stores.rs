//! The store that the settings ask for.

use std::sync::Arc;

use anyhow::Context as _;

use crate::{
    config::Settings,
    data_dir,
    store::{
        Store,
        postgres::{Address, PostgresStore},
        sqlite::SqliteStore,
    },
};

/// Opens the store: PostgreSQL where `DATABASE_URL` is set, else the embedded one, whose folder must be there. Neither is brought up to date here.
pub fn open(settings: &Settings) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match address(settings)? {
        Some(address) => Arc::new(PostgresStore::new(&address).context("DATABASE_URL")?),
        None => Arc::new(SqliteStore::open(&data_dir::embedded_store(&settings.data_dir))?),
    })
}

/// Where the database is; none = the embedded store.
pub fn address(settings: &Settings) -> anyhow::Result<Option<Address>> {
    let url = settings.database_url.as_ref();
    url.map(|url| Address::new(url, &settings.database_schema).context("DATABASE_URL"))
        .transpose()
}
