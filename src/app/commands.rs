//! The commands that change the store and end: they work beside a running `serve`.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use secrecy::SecretString;

use crate::{
    admin::{
        codes::{self, CodeOrder},
        tokens,
    },
    clock::Clock,
    config::Settings,
    data_dir,
    model::{
        catalog::CatalogImport,
        node::RegistrationCode,
        secrets::{AdminToken, Role},
    },
    store::{Change, Store},
};

use super::stores;

/// Makes a registration code.
pub async fn new_code(settings: &Settings, order: CodeOrder) -> anyhow::Result<(SecretString, RegistrationCode)> {
    let (store, clock) = (store(settings).await?, Clock::system());
    Ok(codes::create(store.as_ref(), &clock, order, &by_hand(&clock)).await?)
}

/// Makes an admin token.
pub async fn new_token(
    settings: &Settings,
    name: &str,
    role: Role,
    ttl: Option<Duration>,
) -> anyhow::Result<(SecretString, AdminToken)> {
    let (store, clock) = (store(settings).await?, Clock::system());
    Ok(tokens::create(store.as_ref(), &clock, (name, role, ttl), &by_hand(&clock)).await?)
}

/// Imports a catalogue from a file.
pub async fn import(settings: &Settings, file: &Path) -> anyhow::Result<CatalogImport> {
    let text = std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
    let import = read_catalogue(&text).map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    import_rows(settings, &import).await?;
    Ok(import)
}

/// The catalogue in the text of such a file; else what is wrong, and where.
pub fn read_catalogue(text: &[u8]) -> Result<CatalogImport, String> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| format!("{}: {}", error.path(), error.inner()))
}

/// Imports a catalogue.
pub async fn import_rows(settings: &Settings, import: &CatalogImport) -> anyhow::Result<()> {
    let clock = Clock::system();
    Ok(store(settings).await?.import(import, &by_hand(&clock)).await?)
}

/// Brings the store up to date, or says what that would do.
pub async fn migrate(settings: &Settings, plan: bool) -> anyhow::Result<Vec<String>> {
    let store = unopened(settings)?;
    Ok(if plan {
        store.pending_migrations().await?
    } else {
        store.migrate().await?
    })
}

async fn store(settings: &Settings) -> anyhow::Result<Arc<dyn Store>> {
    let store = unopened(settings)?;
    store.migrate().await?;
    Ok(store)
}

/// The store as it is; the embedded one is made if it is not there yet.
fn unopened(settings: &Settings) -> anyhow::Result<Arc<dyn Store>> {
    data_dir::make(&settings.data_dir)?;
    stores::open(settings)
}

fn by_hand(clock: &Clock) -> Change {
    Change {
        actor: "cli".to_owned(),
        address: None,
        request_id: None,
        at: clock.now(),
    }
}
