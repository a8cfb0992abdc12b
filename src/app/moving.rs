//! `migrate --from sqlite:…`: an embedded store moves to PostgreSQL, whole or not at all.

use std::path::Path;

use anyhow::Context as _;

use crate::{
    clock::Clock,
    config::Settings,
    data_dir::DataDir,
    store::{Store as _, postgres::PostgresStore, sqlite::giving::Source},
};

use super::{retention, stores};

/// Moves the store in this file to the database of the settings; gives the rows of each table. No Core may run on the folder of the file.
pub async fn run(settings: &Settings, file: &Path) -> anyhow::Result<Vec<(&'static str, i64)>> {
    let address = stores::address(settings)?;
    let address = address.context("DATABASE_URL must say where to move the store to")?;
    anyhow::ensure!(file.is_file(), "there is no store {}", file.display());
    let folder = file.parent().filter(|it| !it.as_os_str().is_empty());
    let _held = DataDir::hold(folder.unwrap_or_else(|| Path::new(".")))?;
    let source = Source::open(file).with_context(|| format!("{} can't be moved", file.display()))?;
    let target = PostgresStore::new(&address).context("DATABASE_URL")?;
    target.migrate().await?;
    target.refuse_unless_empty().await?;
    // Rows go to the partitions of their days at once.
    while target.maintain(Clock::system().now(), retention(settings)).await?.more {}
    Ok(target.take_in(&source).await?)
}
