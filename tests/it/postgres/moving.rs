//! An embedded store that moves to PostgreSQL.

use std::path::Path;

use rusqlite::Connection;
use secrecy::SecretString;
use vpn_core::{
    model::UserId,
    store::{
        Fleet, Store as _,
        postgres::{Address, PostgresStore},
        sqlite::SqliteStore,
    },
};

use super::commands::run;
use crate::{
    faults::{
        fleet::{self, Place},
        ledger::{Line, Report},
        sums::{Sums, arrive},
    },
    harness::{
        core::{Core, command},
        postgres::{Database, connect},
    },
};

/// WireGuard clients with a free place between them, numbers that were given and are gone, and values of every kind.
const MORE: &str = "
    INSERT INTO node_protocols (id, node_id, protocol, port, settings) VALUES (500, 1, 'wireguard', 51820, '{\"k\": [1, 2.5, \"ü\"]}');
    INSERT INTO node_protocol_links VALUES (500, 3), (500, 1), (500, 4), (500, 2);
    DELETE FROM node_protocol_links WHERE proto_id = 500 AND ls_id = 1;
    INSERT INTO users (id, uuid, name) VALUES (70000, '00000000-0000-4000-8000-000000070000', 'gone');
    DELETE FROM users WHERE id = 70000;
    UPDATE subscriptions SET expires_at = 1900000000123, traffic_limit_bytes = 9223372036854775807 WHERE id = 1;
    INSERT INTO node_stats VALUES (1, 1790000040000, 5, 12.5, 4, 1, 2, 3, 4, 5, 6, 7, 8);
    INSERT INTO user_ips VALUES (7, '203.0.113.9', x'04cb007109', 1790000040000, 1790000040001, '{\"country\": null}', 1790000040002);
    INSERT INTO user_ips VALUES (7, '2001:db8::1', x'0620010db8000000000000000000000001', 1, 2, NULL, NULL);
    INSERT INTO usage_rejected (node_id, kind, reason, item, received_at) VALUES (1, 'usage', 'why', '{\"a\": \"\\u0000\"}', 5);
    INSERT INTO node_errors (node_id, revision, message, details, at) VALUES (1, 3, 'broken', NULL, 1790000000001);
";

fn migrate(dir: &Path, url: &str, file: &Path) -> std::process::Output {
    let from = format!("sqlite:{}", file.display());
    let mut command = command(dir);
    command.env("DATABASE_URL", url).args(["migrate", "--from", &from]);
    command.output().unwrap()
}

fn refused(output: &std::process::Output, why: &str) {
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert_eq!(words.trim_end().lines().count(), 1, "{words}");
    assert!(words.contains(why), "{words}");
}

fn places(rows: impl IntoIterator<Item = (i64, i64)>) -> Vec<(i64, i64)> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_unstable();
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_moves_and_the_journal_goes_on_exactly_once() {
    let database = Database::fresh().await;
    let url = database.url();
    let dir = fleet::dir(2);
    let file = dir.path().join("core.db");
    let core = Core::start(dir.path()).await;
    let key = Place::from(core.ports).enroll(1).await;
    let line = Line::new(core.ports, &key).await;
    let mut all: Vec<_> = (0..9).map(|number| Report::new(1, number)).collect();
    line.send_all(&all).await;
    arrive(&file, &all).await;
    refused(&migrate(dir.path(), &url, &file), "in use by another process");
    let store = Connection::open(&file).unwrap();
    store.busy_timeout(crate::harness::PATIENCE).unwrap();
    store.execute_batch(MORE).unwrap();
    let counted = Sums::in_file(&file);
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let unflushed: Vec<_> = (9..21).map(|number| Report::new(1, number)).collect();
    line.send_all(&unflushed).await;
    core.kill();
    store.execute_batch("ROLLBACK").unwrap();
    assert_eq!(
        Sums::in_file(&file),
        counted,
        "the last reports are only in the journal"
    );

    let moved = migrate(dir.path(), &url, &file);
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    let client = connect(&url).await;
    assert_eq!(Sums::of_database(&client).await, counted);
    let (source, target) = (
        fleet_of(&SqliteStore::open(&file).unwrap()).await,
        fleet_of(&postgres(&url)).await,
    );
    assert_eq!(target, source);
    let slots = client
        .query("SELECT ls_id, slot FROM core.wireguard_slots", &[])
        .await
        .unwrap();
    let slots = places(slots.iter().map(|row| (row.get(0), row.get(1))));
    assert_eq!(slots, [(2, 5), (3, 2), (4, 4)]);
    let free = client
        .query_one("SELECT slot FROM core.wireguard_free_slots", &[])
        .await
        .unwrap();
    assert_eq!(free.get::<_, i64>(0), 3);
    let addresses = async |store: &dyn vpn_core::store::Store| store.user_ips(UserId(7), None, 9).await.unwrap();
    let moved = addresses(&postgres(&url)).await;
    assert_eq!(moved.len(), 2);
    assert_eq!(moved, addresses(&SqliteStore::open(&file).unwrap()).await);
    let sql = "INSERT INTO core.users (name) VALUES ('new') RETURNING id";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 70001);
    let words = client
        .query("SELECT table_name, row_id FROM core.catalog_changes ORDER BY seq", &[])
        .await
        .unwrap();
    assert_eq!((words[0].get::<_, &str>(0), words[0].get::<_, i64>(1)), ("nodes", -1));
    assert_eq!(words.len(), 2, "one word for all that came, and one for the new user");
    refused(&migrate(dir.path(), &url, &file), "the database is not empty");

    let core = Core::start_with(dir.path(), &[("DATABASE_URL", &url)]).await;
    let more: Vec<_> = (30..36).map(|number| Report::new(1, number)).collect();
    Line::new(core.ports, &key).await.send_all(&more).await;
    core.stop().await;
    all.extend(unflushed);
    all.extend(more);
    assert_eq!(Sums::of_database(&client).await, Sums::of(&all));
    let totals = postgres(&url).totals().await.unwrap();
    assert_eq!(
        totals.usage_up,
        Sums::of(&all).usage.values().map(|(up, _)| up).sum::<i64>()
    );
}

/// A row that PostgreSQL does not take, behind many that it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_or_nothing() {
    let database = Database::fresh().await;
    let url = database.url();
    let dir = fleet::dir(1);
    let file = dir.path().join("core.db");
    let store = Connection::open(&file).unwrap();
    store
        .execute_batch("INSERT INTO subscription_links (id, uuid, link_id) VALUES (900, 'not a uuid', 1)")
        .unwrap();
    refused(&migrate(dir.path(), &url, &file), "subscription_links.uuid holds");
    let client = connect(&url).await;
    let left = client.query_one("SELECT count(*) FROM core.nodes", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
    store
        .execute_batch("DELETE FROM subscription_links WHERE id = 900")
        .unwrap();
    assert!(migrate(dir.path(), &url, &file).status.success());

    let nowhere = dir.path().join("nowhere.db");
    refused(&migrate(dir.path(), &url, &nowhere), "there is no store");
    assert!(!nowhere.exists());
}

/// Many more rows than one piece takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_go_in_pieces() {
    let database = Database::fresh().await;
    let url = database.url();
    let dir = fleet::dir(1);
    let file = dir.path().join("core.db");
    let rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) \
                INSERT INTO usage_minutes SELECT 1, i, i % 7, 11, 1790000040000 - i * 60000, 9223372036854775807, i FROM n";
    Connection::open(&file).unwrap().execute_batch(rows).unwrap();
    let said = run(
        dir.path(),
        &url,
        &["migrate", "--from", &format!("sqlite:{}", file.display())],
    );
    assert!(said.contains("usage_minutes: 60000 rows"), "{said}");
    let client = connect(&url).await;
    let sql = "SELECT count(*), (sum(bytes_up) / 60000)::bigint, sum(bytes_down)::bigint FROM core.usage_minutes";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert_eq!(
        (row.get(0), row.get(1), row.get(2)),
        (60_000_i64, i64::MAX, 1_800_030_000_i64)
    );
}

fn postgres(url: &str) -> PostgresStore {
    PostgresStore::new(&Address::new(&SecretString::from(url), "core").unwrap()).unwrap()
}

/// All that Core would hold in memory.
async fn fleet_of(store: &dyn vpn_core::store::Store) -> Fleet {
    Fleet {
        catalog_seq: 0,
        ..store.load_fleet().await.unwrap()
    }
}
