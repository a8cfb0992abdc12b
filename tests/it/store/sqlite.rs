//! What only the embedded store promises: its file, its columns, its triggers.

mod file;
mod following;

use std::{path::PathBuf, time::Duration};

use rusqlite::Connection;
use tempfile::TempDir;
use vpn_core::{
    model::{NodeId, SubscriptionId, Time, entry::Payload, node::NodePatch, usage::UsageRow},
    store::{Retention, Store, sqlite::SqliteStore},
};

use super::world::{
    Journal, all, by, entry, import, make_code, make_node, new_code, report, second, small_import, usage, usage_row,
};

struct File {
    directory: TempDir,
    store: SqliteStore,
}

impl File {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("core.db")).unwrap();
        store.migrate().await.unwrap();
        Self { directory, store }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("core.db")
    }

    /// A connection of somebody else's.
    fn raw(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn number(&self, sql: &str) -> i64 {
        self.raw().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

#[tokio::test]
async fn usage_rows_are_added_and_the_view_sums_them() {
    let file = File::new().await;
    import(&file.store, &small_import()).await;
    let mut journal = Journal::new();
    let twice = vec![usage("a", second(0), 1, 2), usage("b", second(1), 10, 20)];
    journal.flush(&file.store, twice).await;
    journal.flush(&file.store, vec![usage("c", second(2), 100, 200)]).await;
    assert_eq!(file.number("SELECT count(*) FROM usage_minutes"), 2);
    assert_eq!(file.number("SELECT count(*) FROM usage_per_minute"), 1);
    assert_eq!(
        file.number("SELECT bytes_up * 1000 + bytes_down FROM usage_per_minute"),
        111_222
    );
    assert_eq!(
        file.number("SELECT minute FROM usage_minutes LIMIT 1"),
        second(0).millis()
    );
    assert_eq!(
        file.number("SELECT traffic_bytes_up * 1000 + traffic_bytes_down FROM node_protocols"),
        111_222
    );

    journal
        .flush(&file.store, vec![usage("d", second(0), i64::MAX - 111, 0)])
        .await;
    assert_eq!(file.number("SELECT bytes_up FROM usage_per_minute"), i64::MAX);
    journal
        .flush(&file.store, vec![usage("e", second(0), i64::MAX, i64::MAX)])
        .await;
    assert_eq!(file.number("SELECT bytes_up FROM usage_per_minute"), i64::MAX);
    assert_eq!(
        file.number("SELECT count(*) FROM subscriptions WHERE typeof(traffic_bytes_up) = 'integer'"),
        1
    );
}

#[tokio::test]
async fn hours_and_days_are_filled_from_the_minutes_that_are_there() {
    let file = File::new().await;
    let nobodys = UsageRow {
        subscription: None,
        ..usage_row(5, 6)
    };
    let late = UsageRow {
        minute: second(-86_400).minute(),
        ..usage_row(i64::MAX - 3, 7)
    };
    let entries = vec![
        usage("a", second(0), 1, 2),
        entry(1, second(0), Payload::Usage(report("b", vec![nobodys, late.clone()]))),
        entry(1, second(0), Payload::Usage(report("c", vec![late]))),
    ];
    let mut journal = Journal::new();
    for entry in entries {
        journal.flush(&file.store, vec![entry]).await;
    }
    let rows = |table: &str| -> Vec<String> {
        let sql = format!(
            "SELECT concat_ws(' ', node_id, user_id, coalesce(subscription_id, 'none'), node_protocol_id, {table}, \
             bytes_up, bytes_down) FROM usage_{table}s ORDER BY 1"
        );
        let raw = file.raw();
        let mut statement = raw.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let kept = (rows("hour"), rows("day"));
    assert_eq!((kept.0.len(), kept.1.len()), (3, 3));
    file.raw()
        .execute_batch(
            "DROP TABLE usage_hours; DROP TABLE usage_days; DROP TABLE node_stats;
             DROP TABLE user_ips; DROP TABLE job_leases; DROP TABLE usage_suspect;
             DROP INDEX usage_minutes_by_minute; DROP INDEX session_events_by_time;
             DELETE FROM refinery_schema_history WHERE version >= 6;",
        )
        .unwrap();
    assert_eq!(
        file.store.migrate().await.unwrap(),
        [
            "V0006__hours_and_days",
            "V0007__upkeep",
            "V0008__addresses",
            "V0009__suspects"
        ]
    );
    assert_eq!((rows("hour"), rows("day")), kept);
}

#[tokio::test]
async fn what_is_old_goes_in_slices() {
    let file = File::new().await;
    file.raw()
        .execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 7000)
             INSERT INTO node_stats SELECT i, i * 60000, 1, 1.5, 1, 1, 1, 1, 1, 1, 1, 1, 1 FROM n;
             INSERT INTO session_events (node_id, user_id, protocol, event_type, occurred_at)
             SELECT node_id, 1, 'vless', 'online', at FROM node_stats WHERE node_id <= 100;",
        )
        .unwrap();
    let keep = Retention {
        usage_minutes: Duration::from_mins(1_000),
        usage_hours: Duration::from_mins(1_000),
        session_events: Duration::from_mins(1_000),
        node_stats: Duration::from_mins(1_000),
    };
    let now = Time::from_millis(7_000 * 60_000);
    let mut steps = Vec::new();
    for _ in 0..3 {
        let done = file.store.maintain(now, keep).await.unwrap();
        steps.push((done.rows_deleted, done.more));
    }
    assert_eq!(steps, [(5_100, true), (999, false), (0, false)]);
    assert_eq!(file.number("SELECT min(at) / 60000 FROM node_stats"), 6_000);
}

#[tokio::test]
async fn rows_of_nobody_are_stored_as_they_are() {
    let file = File::new().await;
    let row = UsageRow {
        subscription: None,
        ..usage_row(1, 2)
    };
    let stranger = UsageRow {
        subscription: Some(SubscriptionId(404)),
        ..usage_row(3, 4)
    };
    let report = Payload::Usage(report("a", vec![row, stranger]));
    Journal::new()
        .flush(&file.store, vec![entry(404, second(0), report)])
        .await;
    assert_eq!(
        file.number("SELECT count(*) FROM usage_minutes WHERE subscription_id IS NULL AND bytes_up = 1"),
        1
    );
    assert_eq!(
        file.number("SELECT count(*) FROM usage_minutes WHERE subscription_id = 404 AND node_id = 404"),
        1
    );
}

#[tokio::test]
async fn a_quota_counts_bytes_times_the_nodes_multiplier() {
    let file = File::new().await;
    import(&file.store, &small_import()).await;
    let mut journal = Journal::new();
    journal.flush(&file.store, vec![usage("a", second(0), 3, 4)]).await;
    let patch = NodePatch {
        traffic_multiplier: Some(2.5),
        ..NodePatch::default()
    };
    file.store
        .patch_node(NodeId(1), patch, None, &by("admin"))
        .await
        .unwrap();
    journal.flush(&file.store, vec![usage("b", second(0), 4, 6)]).await;
    assert_eq!(file.number("SELECT period_bytes FROM subscriptions"), 7 + 25);
    assert_eq!(
        file.number("SELECT traffic_bytes_up + traffic_bytes_down FROM subscriptions"),
        17
    );
}

#[tokio::test]
async fn old_report_ids_go_in_bounded_steps() {
    let file = File::new().await;
    let raw = file.raw();
    let mut insert = raw
        .prepare("INSERT INTO report_ids VALUES (1, 'usage', randomblob(32), ?1)")
        .unwrap();
    raw.execute_batch("BEGIN").unwrap();
    for index in 0..2_500 {
        insert.execute([second(0).millis() + index]).unwrap();
    }
    raw.execute_batch("COMMIT").unwrap();
    let mut journal = Journal::new();
    // Each commit clears away what it brought, and a thousand more.
    for left in [1_499, 498, 0] {
        let key = format!("{left} are left");
        journal
            .flush(&file.store, vec![usage(&key, second(2 * 86_400), 1, 1)])
            .await;
        let old = format!(
            "SELECT count(*) FROM report_ids WHERE seen_at < {}",
            second(86_400).millis()
        );
        assert_eq!(file.number(&old), left);
    }
    assert_eq!(file.number("SELECT count(*) FROM report_ids"), 3);
}

#[tokio::test]
async fn changes_are_pruned_and_the_sequence_goes_on() {
    let file = File::new().await;
    let raw = file.raw();
    raw.execute_batch(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100500) \
         INSERT INTO catalog_changes (table_name, row_id) SELECT 'users', i FROM n",
    )
    .unwrap();
    Journal::new()
        .flush(&file.store, vec![usage("a", second(0), 1, 1)])
        .await;
    assert_eq!(file.number("SELECT count(*) FROM catalog_changes"), 100_000);
    assert_eq!(file.store.catalog_seq().await.unwrap(), 100_500);
    raw.execute_batch("DELETE FROM catalog_changes").unwrap();
    assert_eq!(file.store.catalog_seq().await.unwrap(), 100_500);
    import(&file.store, &small_import()).await;
    assert!(file.store.catalog_seq().await.unwrap() > 100_500);
}

#[tokio::test]
async fn a_panel_that_writes_itself_is_noticed() {
    let file = File::new().await;
    import(&file.store, &small_import()).await;
    let raw = file.raw();
    let mut last = file.store.catalog_seq().await.unwrap();
    for (sql, moves) in [
        (
            "INSERT INTO users (uuid, name) VALUES ('00000000-0000-4000-8000-000000000002', 'Bob')",
            true,
        ),
        ("UPDATE users SET status = 'disabled' WHERE name = 'Bob'", true),
        ("UPDATE users SET updated_at = 1", false),
        ("DELETE FROM users WHERE name = 'Bob'", true),
        ("UPDATE subscriptions SET traffic_limit_bytes = NULL", true),
        (
            "UPDATE subscriptions SET traffic_bytes_up = 1, period_bytes = 2, last_reset_at = 3",
            false,
        ),
        ("UPDATE links SET enabled = 0", true),
        ("UPDATE links SET token = 'x'", false),
        (
            "UPDATE subscription_links SET uuid = '00000000-0000-4000-8000-000000000003'",
            true,
        ),
        ("UPDATE node_protocols SET port = 444", true),
        ("UPDATE node_protocols SET traffic_bytes_down = 1", false),
        ("DELETE FROM node_protocol_links", true),
        ("INSERT INTO node_protocol_links VALUES (11, 9)", true),
        ("UPDATE node_outbounds SET position = 3", true),
        ("UPDATE node_outbounds SET traffic_bytes_down = 1", false),
        ("UPDATE node_routing_rules SET rule = '{}'", true),
        ("INSERT INTO node_balancers (node_id, tag) VALUES (1, 'b')", true),
        (
            "UPDATE nodes SET status = 'online', revision = 3, applied_revision = 2, last_seen_at = 1",
            false,
        ),
        ("UPDATE nodes SET enabled = 0", true),
    ] {
        raw.execute_batch(sql).unwrap();
        let seq = file.store.catalog_seq().await.unwrap();
        assert_eq!(seq > last, moves, "{sql}");
        last = seq;
    }
    let row: (String, i64) = raw
        .query_row(
            "SELECT table_name, row_id FROM catalog_changes ORDER BY seq DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(row, ("nodes".to_owned(), 1));
}

#[tokio::test]
async fn a_row_that_can_not_be_read_costs_itself_only() {
    let file = File::new().await;
    import(&file.store, &small_import()).await;
    file.raw()
        .execute_batch(
            "INSERT INTO users (uuid, name) VALUES ('not a uuid', 'Bob');
             UPDATE nodes SET ip = 'somewhere';
             UPDATE node_protocols SET listen = 'somewhere', settings = 'not json';",
        )
        .unwrap();
    let fleet = file.store.load_fleet().await.unwrap();
    assert!(fleet.nodes[0].ip.is_unspecified());
    let catalog = fleet.catalog;
    assert_eq!(catalog.users.len(), 1);
    // The inbound is still known, so that its bytes count, but it fits no config.
    assert_eq!(
        (catalog.node_protocols[0].port, &catalog.node_protocols[0].settings),
        (0, &"not json".into())
    );
}

#[tokio::test]
async fn the_audit_log_can_only_grow() {
    let file = File::new().await;
    make_code(&file.store, new_code("c")).await;
    for sql in ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log"] {
        let refused = file.raw().execute_batch(sql).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
    assert_eq!(file.store.audit(all()).await.unwrap().len(), 1);
    assert_eq!(
        file.number("SELECT count(*) FROM audit_log WHERE details LIKE '%hash%'"),
        0
    );
}

#[tokio::test]
async fn a_rule_across_nodes_does_not_keep_a_node_from_being_deleted() {
    let file = File::new().await;
    import(&file.store, &small_import()).await;
    let other = make_node(&file.store, "other").await.id;
    let rule = "INSERT INTO node_routing_rules (node_id, rule, outbound_id) VALUES (?1, '{}', 21)";
    file.raw().execute(rule, [other.0]).unwrap();
    assert!(file.store.delete_node(NodeId(1), &by("admin")).await.unwrap());
    assert_eq!(file.number("SELECT count(*) FROM node_routing_rules"), 0);
}
