//! What meets others is tried again, and nobody waits for ever.

use std::{sync::Arc, time::Duration};

use vpn_core::{
    model::{NodeId, node::NodePatch, node_config::ConfigHash},
    store::StoreError,
};

use super::store_in;
use crate::{
    harness::postgres::{Database, connect},
    store::world::{Journal, by, import, second, settle, small_import, usage},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_ends_and_everything_is_counted() {
    let database = Database::fresh().await;
    let store = store_in(&database).await;
    import(&*store, &small_import()).await;
    let panel = connect(&database.url()).await;
    // The flush counts for the subscription before the inbound; the panel holds the inbound and asks for the subscription.
    panel
        .batch_execute("BEGIN; UPDATE core.node_protocols SET traffic_bytes_up = traffic_bytes_up WHERE id = 11")
        .await
        .unwrap();
    let mut journal = Journal::new();
    let batch = journal.piece(vec![usage("a", second(0), 1, 2)]);
    let flushing = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.commit(batch).await }
    });
    let panel_done = panel
        .batch_execute("UPDATE core.subscriptions SET traffic_limit_bytes = 9 WHERE id = 5; COMMIT")
        .await;
    if panel_done.is_err() {
        panel.batch_execute("ROLLBACK").await.unwrap();
    }
    flushing.await.unwrap().unwrap();
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.usage_up, totals.subscriptions_up), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_waited_for_2_seconds_and_the_store_is_away() {
    let database = Database::fresh().await;
    let store = store_in(&database).await;
    import(&*store, &small_import()).await;
    let panel = connect(&database.url()).await;
    panel
        .batch_execute("BEGIN; LOCK TABLE core.nodes IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let patch = NodePatch {
        region: Some("asia".to_owned()),
        ..NodePatch::default()
    };
    let by = by("cli");
    let patching = store.patch_node(NodeId(1), patch, None, &by);
    let patched = tokio::time::timeout(Duration::from_secs(20), patching).await.unwrap();
    assert!(matches!(patched, Err(StoreError::Away(_))), "{patched:?}");
    panel.batch_execute("COMMIT").await.unwrap();
    settle(&*store, NodeId(1), ConfigHash([7; 32]), 0).await.unwrap();
}
