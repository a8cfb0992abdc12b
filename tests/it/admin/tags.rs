//! `ETag` and `If-Match`: who changed it first.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::contract::{caller::refused, world::World};
use crate::harness::http::{Admin, Answer, send};

use super::kinds::{all, ask, at, change, make};

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().expect("text").to_owned()
}

async fn matching(admin: &Admin, method: Method, path: &str, tag: &str, body: &serde_json::Value) -> Answer {
    send(admin.request(method, path).header("if-match", tag).json(body)).await
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_not_changed_again() {
    let world = World::new().await;
    let admin = world.admin();
    for kind in all() {
        let made = ask(&admin, Method::POST, kind.below, &kind.least).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let path = at(kind.own, &made.body);
        let read = send(admin.request(Method::GET, &path)).await;
        assert_eq!(tag(&read), tag(&made), "{path}");
        let first = matching(&admin, Method::PATCH, &path, &tag(&read), &kind.change).await;
        assert_eq!(first.status, StatusCode::OK, "{path}: {}", first.body);
        assert_ne!(tag(&first), tag(&read), "{path}");
        let there = admin.get(&path).await;
        for stale in [tag(&read).as_str(), "\"x\"", "nonsense", ""] {
            for method in [Method::PATCH, Method::DELETE] {
                let about = format!("{method} {path} {stale}");
                let answer = matching(&admin, method, &path, stale, &kind.least).await;
                refused(&answer, StatusCode::PRECONDITION_FAILED, &about);
            }
        }
        assert_eq!(admin.get(&path).await, there, "{path}");
        let any = format!("\"other\", {}", tag(&first));
        let same = matching(&admin, Method::PATCH, &path, &any, &json!({})).await;
        assert_eq!(same.status, StatusCode::OK, "{path}: {}", same.body);
        assert_eq!(tag(&same), tag(&first), "nothing changed");
        assert_eq!(
            matching(&admin, Method::PATCH, &path, "*", &json!({})).await.status,
            StatusCode::OK
        );
        let gone = matching(&admin, Method::DELETE, &path, &tag(&first), &json!({})).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT, "{path}: {}", gone.body);
    }
    world.end();
}

#[tokio::test]
async fn two_callers_who_change_different_fields_are_both_heard() {
    let world = World::new().await;
    let admin = world.admin();
    let path = at(
        "/admin/subscriptions",
        &make(&admin, "/admin/users/1/subscriptions", &json!({})).await,
    );
    for round in 1..=20 {
        let (one, other) = (json!({"maxIps": round}), json!({"rateUpBps": round}));
        tokio::join!(change(&admin, &path, &one), change(&admin, &path, &other));
        let row = admin.get(&path).await;
        assert_eq!((&row["maxIps"], &row["rateUpBps"]), (&json!(round), &json!(round)));
    }
    world.end();
}
