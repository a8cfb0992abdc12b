//! The file itself: made, shared, gone, replaced.

use std::{
    fs,
    sync::{Arc, Barrier},
    thread,
};

use rusqlite::Connection;
use vpn_core::{
    model::{
        node::RegisterOutcome,
        secrets::{NewToken, Role, SecretHash},
    },
    store::{Store, StoreError, sqlite::SqliteStore},
};

use super::{
    super::world::{Journal, by, import, make_code, make_node, new_code, register, second, small_import, usage},
    File,
};

#[tokio::test]
async fn a_missing_file_is_made_without_a_schema() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("core.db");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(
        store.pending_migrations().await.unwrap(),
        [
            "V0001__nodes",
            "V0002__catalog",
            "V0003__counting",
            "V0004__admin",
            "V0005__catalog_changes",
            "V0006__hours_and_days",
            "V0007__upkeep",
            "V0008__addresses",
            "V0009__suspects"
        ]
    );
    let raw = Connection::open(&path).unwrap();
    let tables: i64 = raw
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 0);
    assert!(matches!(store.load_fleet().await, Err(StoreError::Broken(_))));
    assert!(matches!(
        SqliteStore::open(&directory.path().join("missing/core.db")),
        Err(StoreError::Away(_))
    ));
}

#[tokio::test]
async fn a_file_that_is_not_a_store_is_said_to_be_broken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("core.db");
    fs::write(
        &path,
        "this is a text and no store at all, and long enough for a header of 100 bytes ".repeat(4),
    )
    .unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Broken(_))));
}

#[tokio::test]
async fn the_file_is_durable_and_has_a_write_ahead_log() {
    let file = File::new().await;
    let mode: String = file
        .raw()
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
    assert_eq!(file.number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

#[tokio::test]
async fn a_look_up_does_not_wait_for_a_write() {
    let file = File::new().await;
    make_node(&file.store, "edge").await;
    let raw = file.raw();
    raw.execute_batch("BEGIN IMMEDIATE; DELETE FROM node_keys").unwrap();
    assert_eq!(file.store.load_fleet().await.unwrap().keys.len(), 1);
    raw.execute_batch("ROLLBACK").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_waits_for_the_write_of_another_process() {
    let file = File::new().await;
    let raw = file.raw();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = file.store.clone();
    let waiting = tokio::spawn(async move { make_node(&store, "edge").await });
    raw.execute_batch("INSERT INTO users (uuid, name) VALUES ('00000000-0000-4000-8000-000000000001', 'Ann'); COMMIT")
        .unwrap();
    waiting.await.unwrap();
    let fleet = file.store.load_fleet().await.unwrap();
    assert_eq!((fleet.nodes.len(), fleet.catalog.users.len()), (1, 1));
}

#[test]
fn a_new_file_may_be_opened_by_many_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("core.db");
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                SqliteStore::open(&path).unwrap()
            });
        }
    });
}

#[tokio::test]
async fn a_token_in_use_does_not_wait_for_a_write() {
    let file = File::new().await;
    let token = NewToken {
        hash: SecretHash::of("t"),
        name: "t".to_owned(),
        role: Role::Admin,
        created_at: second(0),
        expires_at: None,
    };
    let hash = token.hash;
    file.store.create_token(token, &by("cli")).await.unwrap();
    file.store.use_token(hash, second(1)).await.unwrap().unwrap();
    let raw = file.raw();
    raw.execute_batch("BEGIN IMMEDIATE; DELETE FROM node_keys").unwrap();
    let again = file.store.use_token(hash, second(59)).await.unwrap().unwrap();
    assert_eq!(again.last_used_at, Some(second(0)));
}

#[tokio::test]
async fn a_store_whose_file_is_gone_is_away_until_it_is_back() {
    let file = File::new().await;
    import(&file.store, &small_import()).await;
    let before = file.store.load_fleet().await.unwrap();
    let hidden = file.directory.path().join("hidden");
    fs::create_dir(&hidden).unwrap();
    let parts = ["core.db", "core.db-wal", "core.db-shm"];
    for part in parts {
        fs::rename(file.directory.path().join(part), hidden.join(part)).unwrap();
    }
    for _ in 0..2 {
        assert!(matches!(file.store.load_fleet().await, Err(StoreError::Away(_))));
        assert!(matches!(file.store.mark_keys_used(&[]).await, Err(StoreError::Away(_))));
        assert!(!file.path().exists(), "an empty store must not take its place");
    }
    for part in parts {
        if hidden.join(part).exists() {
            fs::rename(hidden.join(part), file.directory.path().join(part)).unwrap();
        }
    }
    assert_eq!(file.store.load_fleet().await.unwrap(), before);
    Journal::new()
        .flush(&file.store, vec![usage("a", second(0), 1, 1)])
        .await;
}

#[tokio::test]
async fn a_replaced_file_is_opened_anew() {
    let file = File::new().await;
    let other = File::new().await;
    make_node(&other.store, "restored").await;
    // A backup, put in place of the file in one step.
    let backup = other.directory.path().join("backup.db");
    other
        .raw()
        .execute("VACUUM INTO ?1", [backup.to_str().unwrap()])
        .unwrap();
    file.store.ping().await.unwrap();
    for log in ["core.db-wal", "core.db-shm"] {
        fs::remove_file(file.directory.path().join(log)).unwrap();
    }
    fs::rename(&backup, file.path()).unwrap();
    assert_eq!(file.store.load_fleet().await.unwrap().nodes[0].name, "restored");
    make_node(&file.store, "edge").await;
    assert_eq!(file.number("SELECT count(*) FROM nodes"), 2);
}

#[tokio::test]
async fn every_instance_may_open_the_file() {
    let file = File::new().await;
    let other: Arc<dyn Store> = Arc::new(SqliteStore::open(&file.path()).unwrap());
    make_code(&*other, new_code("c")).await;
    let outcome = register(&file.store, "c", "edge", "k", second(0)).await;
    assert!(matches!(outcome, RegisterOutcome::Registered { .. }));
    assert_eq!(other.load_fleet().await.unwrap().nodes.len(), 1);
    assert_eq!(
        other.find_key(SecretHash::of("k")).await.unwrap().unwrap().created_at,
        second(0)
    );
}
