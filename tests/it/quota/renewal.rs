//! Who was taken off comes back by a reset or a renewal; and what counts for a quota.

use std::time::Duration;

use serde_json::json;

use super::scene::{Plan, Scene, clock};
use crate::faults::store::Mood;

const START: &str = "2030-01-01T12:00:00Z";

/// User 1 may use 100 bytes, user 2 what he likes.
fn plan() -> Plan {
    Plan {
        subscription: |user| {
            if user == 1 {
                json!({"trafficLimitBytes": 100})
            } else {
                json!({})
            }
        },
        held: Some(clock(START)),
        ..Plan::new(2, 2)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_and_a_higher_limit_bring_the_clients_back() {
    let mut scene = Scene::new(plan()).await;
    scene.node(1).report("a", 1, 100).await;
    scene.until_on(2, &[2]).await;
    scene.until_status(1, "limited").await;
    scene.until_counted(1, 100).await;

    scene.post("/admin/subscriptions/1/reset", &json!({})).await;
    scene.until_on(2, &[1, 2]).await;
    scene.until_on(1, &[1, 2]).await;
    scene.until_status(1, "active").await;
    assert_eq!(scene.column::<i64>(1, "period_bytes"), 0);

    scene.node(2).report("b", 1, 150).await;
    scene.until_on(1, &[2]).await;
    scene.until_status(1, "limited").await;
    scene
        .patch("/admin/subscriptions/1", &json!({"trafficLimitBytes": 151}))
        .await;
    scene.until_on(1, &[1, 2]).await;
    scene.until_status(1, "active").await;
    scene.node(2).report("c", 1, 1).await;
    scene.until_on(1, &[2]).await;
    scene
        .patch("/admin/subscriptions/1", &json!({"trafficLimitBytes": null}))
        .await;
    scene.until_on(1, &[1, 2]).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_while_reports_are_on_their_way_leaves_nobody_out() {
    let mut scene = Scene::new(plan()).await;
    for round in 0..5 {
        scene.node(1).report(&format!("round {round}"), 1, 100).await;
        scene.until_on(2, &[2]).await;
        // Whatever of it was taken over by then: in the end it counts for one of the two periods, and the user is on or off by that.
        scene.post("/admin/subscriptions/1/reset", &json!({})).await;
        scene
            .until("the user is where his bytes say", async || {
                let bytes = scene.column::<i64>(1, "period_bytes");
                let status = scene.column::<String>(1, "status");
                let on = scene.users(2).await.contains(&1);
                (bytes >= 100) != on && (status == "active") == on
            })
            .await;
        scene.post("/admin/subscriptions/1/reset", &json!({})).await;
        scene.until_on(2, &[1, 2]).await;
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_ends_a_subscription_and_a_renewal_begins_it_again() {
    let mut scene = Scene::new(plan()).await;
    scene
        .patch("/admin/subscriptions/2", &json!({"expiresAt": "2030-01-01T13:00:00Z"}))
        .await;
    scene
        .patch("/admin/subscriptions/1", &json!({"startsAt": "2030-01-01T14:00:00Z"}))
        .await;
    scene.until_on(1, &[2]).await;
    scene.tick(Duration::from_hours(1));
    scene.until_on(1, &[]).await;
    scene.until_on(2, &[]).await;
    scene.until_status(2, "expired").await;
    scene
        .patch("/admin/subscriptions/2", &json!({"expiresAt": "2030-02-01T00:00:00Z"}))
        .await;
    scene.until_on(1, &[2]).await;
    scene.until_status(2, "active").await;
    scene.tick(Duration::from_hours(1));
    scene.until_on(1, &[1, 2]).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_weigh_what_their_node_says() {
    let mut scene = Scene::new(plan()).await;
    scene.patch("/admin/nodes/1", &json!({"trafficMultiplier": 2.0})).await;
    // The node knows of it at the latest when a later change has reached it.
    scene.patch("/admin/users/2", &json!({"status": "disabled"})).await;
    scene.until_on(1, &[1]).await;
    scene.node(1).report("a", 1, 49).await;
    scene.until_counted(1, 98).await;
    scene.node(2).report("b", 1, 1).await;
    scene.until_counted(1, 99).await;
    assert_eq!(scene.users(1).await, [1]);
    scene.node(2).report("c", 1, 1).await;
    scene.until_on(1, &[]).await;
    scene.until_status(1, "limited").await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_no_report() {
    let mut scene = Scene::new(plan()).await;
    scene.store.feel(Mood::Away);
    scene.node(1).report("a", 1, 60).await;
    scene.stop().await;
    scene.store.feel(Mood::Well);
    scene.start().await;
    assert_eq!(scene.users(1).await, [1, 2]);
    scene.node(1).report("b", 1, 40).await;
    scene.until_on(2, &[2]).await;
    scene.until_counted(1, 100).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_reported_around_a_restart_without_the_store_is_judged_when_it_is_back() {
    let mut scene = Scene::new(plan()).await;
    scene.store.feel(Mood::Away);
    scene.node(1).report("a", 1, 60).await;
    scene.stop().await;
    scene.start().await;
    scene.node(1).report("b", 1, 40).await;
    scene.store.feel(Mood::Well);
    scene.until_on(2, &[2]).await;
    scene.until_status(1, "limited").await;
    assert_eq!(scene.column::<i64>(1, "period_bytes"), 100);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_does_not_count() {
    let mut scene = Scene::new(plan()).await;
    scene.store.feel(Mood::Away);
    for _ in 0..3 {
        scene.node(1).report("the same", 1, 40).await;
    }
    scene.store.feel(Mood::Well);
    scene.until_counted(1, 40).await;
    // Whether Core took them for three or not meanwhile: now it knows.
    scene.until_on(2, &[1, 2]).await;
    scene.until_status(1, "active").await;
    scene.node(1).report("another", 1, 59).await;
    scene.until_counted(1, 99).await;
    assert_eq!(scene.users(2).await, [1, 2]);
    scene.node(1).report("the last", 1, 1).await;
    scene.until_on(2, &[2]).await;
    scene.stop().await;
}
