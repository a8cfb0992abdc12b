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

/// The store as it is, to look at it; none if the embedded one is not there. Nothing is made.
pub fn look_at(settings: &Settings) -> anyhow::Result<Option<Arc<dyn Store>>> {
    if settings.database_url.is_some() {
        return open(settings).map(Some);
    }
    let file = data_dir::embedded_store(&settings.data_dir);
    let there = file
        .try_exists()
        .with_context(|| format!("{} can't be looked at", file.display()))?;
    Ok(if there {
        Some(Arc::new(SqliteStore::open_to_look(&file)?))
    } else {
        None
    })
}

/// Where the database is; none = the embedded store.
pub fn address(settings: &Settings) -> anyhow::Result<Option<Address>> {
    let url = settings.database_url.as_ref();
    url.map(|url| Address::new(url, &settings.database_schema).context("DATABASE_URL"))
        .transpose()
}
