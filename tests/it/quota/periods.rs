//! Periods that end by themselves.

use std::time::Duration;

use serde_json::json;

use super::scene::{Plan, Scene, clock};

const DAY: Duration = Duration::from_hours(24);

/// A Tuesday. Users 1 to 3 begin anew daily, weekly and monthly, user 4 never; all of them may use 100 bytes.
fn plan() -> Plan {
    Plan {
        subscription: |user| {
            let strategy = ["daily", "weekly", "monthly", "none"][usize::try_from(user).unwrap() - 1];
            json!({"trafficLimitBytes": 100, "resetStrategy": strategy})
        },
        held: Some(clock("2030-01-01T12:00:00Z")),
        ..Plan::new(1, 4)
    }
}

/// Those who are on use up what they have.
async fn use_up(scene: &Scene, round: &str) {
    for user in scene.users(1).await {
        scene.node(1).report(&format!("{round}-{user}"), user, 100).await;
    }
    scene.until_on(1, &[]).await;
    for user in 1..=4 {
        scene.until_status(user, "limited").await;
        scene.until_counted(user, 100).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn periods_begin_when_they_are_due() {
    let mut scene = Scene::new(plan()).await;
    for (days, back) in [(0, &[][..]), (1, &[1]), (5, &[1, 2]), (25, &[1, 2, 3])] {
        use_up(&scene, &format!("before day {days}")).await;
        scene.tick(DAY * days);
        scene.until_on(1, back).await;
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missed_periods_begin_once_at_the_start() {
    let mut scene = Scene::new(plan()).await;
    use_up(&scene, "first").await;
    scene.stop().await;
    scene.tick(DAY * 100);
    scene.start().await;
    scene.until_on(1, &[1, 2, 3]).await;
    // What is used now stays: the same period does not begin again, nor after another start.
    for user in 1..=3 {
        scene.node(1).report(&format!("second-{user}"), user, 60).await;
        scene.until_counted(user, 60).await;
    }
    scene.stop().await;
    scene.start().await;
    scene.tick(Duration::from_mins(1));
    for user in 1..=3 {
        scene.node(1).report(&format!("third-{user}"), user, 40).await;
    }
    scene.until_on(1, &[]).await;
    scene.until_counted(1, 100).await;
    let audit = rusqlite::Connection::open(scene.file()).unwrap();
    let resets: i64 = audit
        .query_row(
            "SELECT count(*) FROM audit_log WHERE action = 'subscription.reset'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(resets, 3);
    scene.stop().await;
}
