//! What Core knows when it begins to listen.

use std::sync::Arc;

use anyhow::Context as _;

use crate::catalog::actor::{Look, Reload, Remember};

use super::{Ground, Live, restore, sink::Counting, snapshot::Snapshots};

/// Loads all nodes from the store; if that is away, from the snapshot, and says so.
pub(super) async fn load(ground: &Ground, live: &Live, snapshots: &Snapshots) -> anyhow::Result<bool> {
    let store = &ground.store;
    match snapshots.given() {
        Ok(given) => live
            .catalog
            .send(Remember(given))
            .await
            .context("the catalogue's actor is gone")??,
        Err(error) => tracing::warn!(%error, "what nodes were given before the last stop can't be read"),
    }
    let loaded = async {
        // A migration may take its time; a store that hangs may not.
        store.ping().await?;
        for migration in store.migrate().await? {
            tracing::info!(migration, "the store was brought up to date");
        }
        live.catalog
            .send(Reload { serving: false })
            .await
            .context("the catalogue's actor is gone")??;
        anyhow::Ok(())
    };
    let loaded = loaded.await;
    let is_loaded = loaded.is_ok();
    let since = match loaded {
        Ok(()) => restore::unflushed(store.as_ref(), &ground.journal).await,
        Err(error) => {
            tracing::error!(%error, "the store can't be loaded: starting from the snapshot");
            let known = snapshots
                .load()
                .context("there is no snapshot to start from without the store")?;
            restore::since(&ground.journal, known)
        }
    };
    let meter = Counting(Arc::clone(&live.ledger));
    restore::apply(&ground.journal, &live.nodes, &meter, &since)?;
    // Who crossed a limit by what is not in the store yet is cut off before any node can ask.
    if let Ok(Err(error)) = live.catalog.send(Look).await {
        tracing::warn!(%error, "the store went away while it was loaded");
    }
    Ok(is_loaded)
}
