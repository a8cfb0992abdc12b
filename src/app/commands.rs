//! The commands that change the store and end: they work beside a running `serve`.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use secrecy::SecretString;

use crate::{
    admin::{
        codes::{self, CodeOrder},
        tokens,
    },
    clock::Clock,
    data_dir,
    model::{
        catalog::CatalogImport,
        node::RegistrationCode,
        secrets::{AdminToken, Role},
    },
    store::{Change, Store as _, sqlite::SqliteStore},
};

/// Makes a registration code.
pub async fn new_code(data_dir: &Path, order: CodeOrder) -> anyhow::Result<(SecretString, RegistrationCode)> {
    let (store, clock) = (store(data_dir).await?, Clock::system());
    Ok(codes::create(&store, &clock, order, &by_hand(&clock)).await?)
}

/// Makes an admin token.
pub async fn new_token(
    data_dir: &Path,
    name: &str,
    role: Role,
    ttl: Option<Duration>,
) -> anyhow::Result<(SecretString, AdminToken)> {
    let (store, clock) = (store(data_dir).await?, Clock::system());
    Ok(tokens::create(&store, &clock, (name, role, ttl), &by_hand(&clock)).await?)
}

/// Imports a catalogue from a file.
pub async fn import(data_dir: &Path, file: &Path) -> anyhow::Result<CatalogImport> {
    let text = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    let mut reader = serde_json::Deserializer::from_slice(&text);
    let import: CatalogImport = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| anyhow::anyhow!("{}: {}: {}", file.display(), error.path(), error.inner()))?;
    import_rows(data_dir, &import).await?;
    Ok(import)
}

/// Imports a catalogue.
pub async fn import_rows(data_dir: &Path, import: &CatalogImport) -> anyhow::Result<()> {
    let clock = Clock::system();
    Ok(store(data_dir).await?.import(import, &by_hand(&clock)).await?)
}

/// Brings the store up to date, or says what that would do.
pub async fn migrate(data_dir: &Path, plan: bool) -> anyhow::Result<Vec<String>> {
    data_dir::make(data_dir)?;
    let store = SqliteStore::open(&data_dir::embedded_store(data_dir))?;
    Ok(if plan {
        store.pending_migrations().await?
    } else {
        store.migrate().await?
    })
}

async fn store(data_dir: &Path) -> anyhow::Result<SqliteStore> {
    data_dir::make(data_dir)?;
    let store = SqliteStore::open(&data_dir::embedded_store(data_dir))?;
    store.migrate().await?;
    Ok(store)
}

fn by_hand(clock: &Clock) -> Change {
    Change {
        actor: "cli".to_owned(),
        address: None,
        request_id: None,
        at: clock.now(),
    }
}
