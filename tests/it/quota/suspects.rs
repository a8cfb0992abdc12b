//! Bytes that a node should not have: they are kept, and nobody is cut off by them until an admin says that they count.

use std::time::Duration;

use serde_json::{Value, json};
use vpn_core::proto::nodeservice::{ReportNodeStatsRequest, ReportUsageRequest, SystemStats, UsageEntry};

use super::{
    nodes::Node,
    scene::{Plan, Scene, clock, protocol},
};

const START: &str = "2030-01-01T12:00:00Z";
const DAY: Duration = Duration::from_hours(24);
const GIB: i64 = 1 << 30;

/// User 1 may use 1,000 bytes; user 3 is not on node 1.
fn plan() -> Plan {
    Plan {
        on: |node, user| (node, user) != (1, 3),
        subscription: |user| {
            if user == 1 {
                json!({"trafficLimitBytes": 1_000})
            } else {
                json!({})
            }
        },
        held: Some(clock(START)),
        ..Plan::new(2, 3)
    }
}

fn of(node: &Node, user: i64, subscription: Option<i64>, bytes: i64) -> UsageEntry {
    UsageEntry {
        user_id: user,
        subscription_id: subscription,
        node_protocol_id: protocol(node.id),
        bytes_up: 0,
        bytes_down: bytes,
        recorded_at: "".into(),
    }
}

/// Reports these under a name; all of them are taken.
async fn report(node: &Node, name: &str, entries: Vec<UsageEntry>) {
    let request = ReportUsageRequest {
        entries,
        ..ReportUsageRequest::default()
    };
    let mut client = node.agent().client;
    let answer = client.report_usage(node.agent().named(name, request)).await.unwrap();
    assert_eq!(answer.into_inner().rejected, 0);
}

async fn machine(node: &Node, rx: i64, tx: i64) {
    let request = ReportNodeStatsRequest {
        system: Some(SystemStats {
            net_rx_total: rx,
            net_tx_total: tx,
            ..SystemStats::default()
        }),
        ..ReportNodeStatsRequest::default()
    };
    let mut client = node.agent().client;
    client.report_node_stats(node.agent().request(request)).await.unwrap();
}

/// A panel takes a user off every node.
fn leave(scene: &Scene, user: i64) {
    scene.sql(&format!(
        "DELETE FROM node_protocol_links WHERE ls_id = {user}; DELETE FROM subscription_links WHERE id = {user}"
    ));
}

/// What waits for an admin, newest first.
async fn waiting(scene: &Scene) -> Vec<Value> {
    let list = scene.get("/admin/suspect?decided=false").await;
    list["items"].as_array().unwrap().clone()
}

async fn until_waiting(scene: &Scene, reasons: &[&str]) -> Vec<Value> {
    let what = format!("{reasons:?} wait for an admin");
    scene
        .until(&what, async || {
            let rows = waiting(scene).await;
            rows.iter()
                .map(|row| row["reason"].as_str().unwrap())
                .eq(reasons.iter().copied())
        })
        .await;
    waiting(scene).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_others_cut_nobody_off_until_an_admin_accepts_them() {
    let mut scene = Scene::new(plan()).await;
    let node = scene.node(1);
    let entries = vec![
        of(node, 1, Some(1), 100),
        of(node, 2, Some(1), 5_000),
        of(node, 999, Some(1), 7_000),
        of(node, 3, Some(3), 9_000),
        of(node, 2, None, 1),
    ];
    for _ in 0..2 {
        report(node, "a", entries.clone()).await;
    }
    scene.until_counted(1, 100).await;
    let rows = until_waiting(&scene, &["no-client", "not-the-users", "not-the-users"]).await;
    let said = |row: &Value| {
        (
            row["userId"].as_i64(),
            row["subscriptionId"].as_i64(),
            row["bytesDown"].as_i64(),
        )
    };
    assert_eq!(
        rows.iter().map(said).collect::<Vec<_>>(),
        [
            (Some(3), Some(3), Some(9_000)),
            (Some(999), Some(1), Some(7_000)),
            (Some(2), Some(1), Some(5_000))
        ]
    );
    scene.node(2).report("b", 1, 1).await;
    scene.until_counted(1, 101).await;
    assert_eq!(scene.users(2).await, [1, 2, 3], "nobody was cut off");

    let judge = |row: &Value, verdict: &str| format!("/admin/suspect/{}/{verdict}", row["id"]);
    for _ in 0..2 {
        scene.post(&judge(&rows[1], "void"), &json!({})).await;
        let accepted = scene.post(&judge(&rows[2], "accept"), &json!({})).await;
        assert_eq!(accepted["decision"], "accepted");
    }
    scene.until_on(2, &[2, 3]).await;
    scene.until_status(1, "limited").await;
    scene.until_counted(1, 5_101).await;
    assert_eq!(scene.column::<i64>(3, "period_bytes"), 0);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_left_may_be_late_for_35_days_over_restarts_too() {
    let mut scene = Scene::new(plan()).await;
    leave(&scene, 2);
    scene.until_on(1, &[1]).await;
    scene.node(1).report("a", 2, 10).await;
    scene.until_counted(2, 10).await;
    scene.stop().await;

    scene.start().await;
    scene.node(1).report("b", 2, 10).await;
    scene.until_counted(2, 20).await;
    scene.stop().await;

    // While nobody looked.
    leave(&scene, 3);
    scene.start().await;
    scene.node(2).report("c", 3, 30).await;
    scene.until_counted(3, 30).await;

    scene.tick(DAY * 36);
    scene.node(1).report("d", 2, 10).await;
    until_waiting(&scene, &["no-client"]).await;
    assert_eq!(scene.column::<i64>(2, "period_bytes"), 20);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_machine_carried_stands_aside() {
    let mut scene = Scene::new(plan()).await;
    let node = scene.node(1);
    report(node, "before", vec![of(node, 2, Some(2), 1 << 44)]).await;
    scene.until_counted(2, 1 << 44).await;

    machine(node, 5 * GIB, 5 * GIB).await;
    report(node, "a", vec![of(node, 2, Some(2), 9 * GIB)]).await;
    report(node, "a", vec![of(node, 2, Some(2), 9 * GIB)]).await;
    report(
        node,
        "b",
        vec![of(node, 2, Some(2), 3 * GIB), of(node, 2, Some(2), GIB)],
    )
    .await;
    scene.until_counted(2, (1 << 44) + 10 * GIB).await;
    let rows = until_waiting(&scene, &["beyond-carried"]).await;
    assert_eq!(rows[0]["bytesDown"], 3 * GIB);

    machine(node, 6 * GIB, 7 * GIB).await;
    report(node, "c", vec![of(node, 2, Some(2), 3 * GIB)]).await;
    scene.until_counted(2, (1 << 44) + 13 * GIB).await;
    scene.stop().await;
}
