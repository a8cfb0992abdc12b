//! Who listens hears of every change of the catalogue, and of nothing else; and the numbers of changes come in the order of their commits.

use super::store_in;
use crate::{
    harness::{
        PATIENCE,
        postgres::{Database, connect},
    },
    store::world::{Journal, import, second, small_import, usage},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_told_and_a_flush_is_not() {
    let database = Database::fresh().await;
    let store = store_in(&database).await;
    import(&*store, &small_import()).await;
    let mut words = store.changes().unwrap();
    // The first word says that it listens from now on.
    tokio::time::timeout(PATIENCE, words.changed()).await.unwrap().unwrap();
    words.mark_unchanged();
    let mut journal = Journal::new();
    journal.flush(&*store, vec![usage("a", second(0), 1, 2)]).await;
    let panel = connect(&database.url()).await;
    panel
        .batch_execute("UPDATE core.users SET name = 'Someone' WHERE id = 1")
        .await
        .unwrap();
    tokio::time::timeout(PATIENCE, words.changed()).await.unwrap().unwrap();
    assert_eq!(*words.borrow_and_update(), 2, "one for the start, one for the panel");
}

#[tokio::test]
async fn a_number_never_appears_below_one_that_was_seen() {
    let database = Database::fresh().await;
    let store = store_in(&database).await;
    let (slow, quick) = (connect(&database.url()).await, connect(&database.url()).await);
    slow.batch_execute("BEGIN; INSERT INTO core.users (name) VALUES ('slow')")
        .await
        .unwrap();
    quick
        .batch_execute("INSERT INTO core.users (name) VALUES ('quick')")
        .await
        .unwrap();
    let seen = store.catalog_seq().await.unwrap();
    slow.batch_execute("COMMIT").await.unwrap();
    let delta = store.load_changes(seen).await.unwrap();
    let names: Vec<_> = delta.rows.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["slow"]);
}

#[tokio::test]
async fn an_emptied_table_is_read_again() {
    let database = Database::fresh().await;
    let store = store_in(&database).await;
    import(&*store, &small_import()).await;
    let seen = store.catalog_seq().await.unwrap();
    let panel = connect(&database.url()).await;
    panel.batch_execute("TRUNCATE core.node_balancers").await.unwrap();
    assert!(store.load_changes(seen).await.unwrap().too_much);
}
