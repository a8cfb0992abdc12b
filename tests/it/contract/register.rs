//! How nodes come in, and what happens to a code on the way.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::http::Answer;

use super::{
    caller::{Caller, refused},
    manual::Manual,
    world::World,
};

const SAME_WORDS: &str = "the registration code is not valid";

async fn knock(stranger: &Caller, code: &str, name: &str) -> Answer {
    let body = json!({"code": code, "name": name, "ip": "192.0.2.50", "port": 8100, "region": "xx"});
    stranger.post("/node/register", &body).await
}

fn issued(answer: &Answer) -> (i64, String) {
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let key = answer.body["authKey"].as_str().expect("a key").to_owned();
    (answer.body["nodeId"].as_i64().expect("a number"), key)
}

async fn is_in(stranger: &Caller, key: &str) -> bool {
    let answer = stranger.with_key(Some(key)).get("/node/config/latest").await;
    answer.status == StatusCode::OK
}

#[tokio::test]
async fn a_code_is_good_for_its_uses_and_its_time() {
    let manual = Manual::start().await;
    let stranger = manual.stranger();
    let refuse =
        |answer: Answer, about: &str| assert_eq!(refused(&answer, StatusCode::UNAUTHORIZED, about), SAME_WORDS);
    for code in ["", "core_code_none", "x", &"y".repeat(10_000)] {
        refuse(knock(&stranger, code, "n").await, code);
    }
    let once = manual.code(json!({})).await;
    let (first, key) = issued(&knock(&stranger, &once, "once-1").await);
    assert!(is_in(&stranger, &key).await);
    refuse(knock(&stranger, &once, "once-2").await, "used");
    refuse(
        knock(&stranger, &once, "once-1").await,
        "used, the same name, after the first use of the key",
    );

    let thrice = manual.code(json!({"uses": 3})).await;
    let mut ids = vec![first];
    for n in 1..=3 {
        ids.push(issued(&knock(&stranger, &thrice, &format!("thrice-{n}")).await).0);
    }
    refuse(knock(&stranger, &thrice, "thrice-4").await, "used up");
    ids.dedup();
    assert_eq!(ids.len(), 4);

    let short = manual.code(json!({"ttlSeconds": 60})).await;
    manual.clock.advance(Duration::from_secs(59));
    let late = manual.code(json!({"ttlSeconds": 60})).await;
    issued(&knock(&stranger, &short, "in-time").await);
    manual.clock.advance(Duration::from_mins(1));
    refuse(knock(&stranger, &late, "too-late").await, "expired");
    manual.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_given_again_for_ten_minutes() {
    let manual = Manual::start().await;
    let stranger = manual.stranger();
    let code = manual.code(json!({})).await;
    let (id, first) = issued(&knock(&stranger, &code, "lost").await);
    manual.clock.advance(Duration::from_mins(9));
    refused(
        &knock(&stranger, &code, "another").await,
        StatusCode::UNAUTHORIZED,
        "another name",
    );
    let (same, second) = issued(&knock(&stranger, &code, "lost").await);
    assert_eq!(same, id);
    assert_ne!(first, second);
    manual.clock.advance(Duration::from_secs(59));
    let (same, third) = issued(&knock(&stranger, &code, "lost").await);
    assert_eq!(same, id);
    for dead in [&first, &second] {
        assert!(!is_in(&stranger, dead).await);
    }
    let listed = manual.admin().get("/admin/nodes").await;
    let named = |node: &&Value| node["name"] == "lost";
    assert_eq!(
        listed["items"].as_array().expect("a list").iter().filter(named).count(),
        1
    );
    manual.clock.advance(Duration::from_secs(2));
    refused(
        &knock(&stranger, &code, "lost").await,
        StatusCode::UNAUTHORIZED,
        "after ten minutes",
    );
    assert!(is_in(&stranger, &third).await);

    let code = manual.code(json!({})).await;
    let (_, key) = issued(&knock(&stranger, &code, "used").await);
    assert!(is_in(&stranger, &key).await);
    refused(
        &knock(&stranger, &code, "used").await,
        StatusCode::UNAUTHORIZED,
        "after the first use",
    );
    assert!(is_in(&stranger, &key).await);
    manual.stop().await;
}

#[tokio::test]
async fn a_taken_name_leaves_the_code_unused() {
    let mut world = World::new().await;
    let code = world.code(&[]);
    let answer = knock(&world.stranger(), &code, "de-1").await;
    let message = refused(&answer, StatusCode::CONFLICT, "the name of node 1");
    assert!(message.contains("name"), "{message}");
    let answer = knock(&world.stranger(), &code, "de-2").await;
    let (id, key) = issued(&answer);
    world.keep_secret(&key);
    assert_eq!(world.node(id).await["name"], "de-2");
    world.end();
}

#[tokio::test]
async fn a_code_for_a_node_keeps_its_id_and_name() {
    let mut world = World::new().await;
    let old = world.key(1).await;
    let stranger = world.stranger();
    assert!(is_in(&stranger, &old).await);
    let code = world.code(&["--node", "1"]);
    let body = json!({
        "code": code, "name": "not-mine", "ip": "192.0.2.77", "port": 8777, "region": "moon", "domain": "moon.example.test",
    });
    let (id, new) = issued(&stranger.post("/node/register", &body).await);
    world.keep_secret(&new);
    assert_eq!(id, 1);
    let shown = world.node(1).await;
    for (field, expected) in [
        ("name", json!("de-1")),
        ("ip", json!("192.0.2.77")),
        ("port", json!(8777)),
        ("region", json!("moon")),
        ("domain", json!("moon.example.test")),
    ] {
        assert_eq!(shown[field], expected, "{field}");
    }
    assert!(is_in(&stranger, &old).await, "both live until the new one is used");
    assert!(is_in(&stranger, &new).await);
    assert!(
        !is_in(&stranger, &old).await,
        "the old one died at the first use of the new"
    );
    assert_eq!(
        world.admin().get("/admin/nodes").await["items"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    world.end();
}

#[tokio::test]
async fn of_many_that_race_for_a_code_one_wins() {
    let mut world = World::new().await;
    let code = world.code(&["--uses", "3"]);
    let stranger = world.stranger();
    let racing = (0..24).map(|n| {
        let (stranger, code) = (stranger.clone(), code.clone());
        async move { knock(&stranger, &code, &format!("racer-{n}")).await }
    });
    let answers = futures_util::future::join_all(racing).await;
    let won: Vec<_> = answers
        .iter()
        .filter(|it| it.status == StatusCode::CREATED)
        .map(issued)
        .collect();
    for answer in answers.iter().filter(|it| it.status != StatusCode::CREATED) {
        refused(answer, StatusCode::UNAUTHORIZED, "a loser");
    }
    assert_eq!(won.len(), 3);
    for (_, key) in &won {
        world.keep_secret(key);
        assert!(is_in(&stranger, key).await);
    }
    assert_eq!(
        world.admin().get("/admin/nodes").await["items"]
            .as_array()
            .map(Vec::len),
        Some(6)
    );
    world.end();
}
