//! `/admin/registration-codes`, and the same by the command line.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    core::{command, run},
    http::{Answer, register, send},
};

use super::{caller::refused, world::World};

async fn order(world: &World, body: &Value) -> Answer {
    send(
        world
            .admin()
            .request(Method::POST, "/admin/registration-codes")
            .json(body),
    )
    .await
}

#[tokio::test]
async fn a_code_is_shown_once() {
    let mut world = World::new().await;
    let bare = send(world.admin().request(Method::POST, "/admin/registration-codes")).await;
    let full = order(&world, &json!({"name": "berlin", "ttlSeconds": 60, "uses": 2})).await;
    let bound = order(&world, &json!({"name": null, "nodeId": 2, "uses": 1})).await;
    for made in [&bare, &full, &bound] {
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let code = made.body["code"].as_str().expect("a code");
        assert!(code.starts_with("core_code_") && code.len() == 34, "its form");
        world.keep_secret(code);
        assert!(made.body["expiresAt"].is_string());
        let path = format!("/admin/registration-codes/{}", made.body["id"]);
        let seen = world.admin().get(&path).await;
        assert!(!seen.to_string().contains("core_code_"), "it is shown again");
        assert_eq!(
            (&seen["usesLeft"], &seen["expiresAt"]),
            (&made.body["usesLeft"], &made.body["expiresAt"])
        );
    }
    assert_eq!((&bare.body["usesLeft"], &full.body["usesLeft"]), (&json!(1), &json!(2)));
    assert_eq!(
        (&full.body["name"], &bound.body["nodeId"]),
        (&json!("berlin"), &json!(2))
    );
    let code = full.body["code"].as_str().expect("a code").to_owned();
    let (_, key) = register(world.core.ports.http, &code, "b-1").await;
    world.keep_secret(&key);
    let path = format!("/admin/registration-codes/{}", full.body["id"]);
    assert_eq!(world.admin().get(&path).await["usesLeft"], 1);
    assert_eq!(
        send(world.admin().request(Method::DELETE, &path)).await.status,
        StatusCode::NO_CONTENT
    );
    let answer = world
        .stranger()
        .post(
            "/node/register",
            &json!({"code": code, "name": "b-2", "ip": "192.0.2.1", "port": 1, "region": ""}),
        )
        .await;
    refused(&answer, StatusCode::UNAUTHORIZED, "a code that was taken back");
    let listed = world.admin().get("/admin/registration-codes").await;
    assert!(!listed.to_string().contains("core_code_"));
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
    world.end();
}

#[tokio::test]
async fn bad_orders_are_refused() {
    let world = World::new().await;
    for (body, message) in [
        (json!({"ttlSeconds": 0}), "ttlSeconds must be between 1 and 31536000"),
        (json!({"ttlSeconds": -1}), "ttlSeconds must be between 1 and 31536000"),
        (
            json!({"ttlSeconds": 31_536_001}),
            "ttlSeconds must be between 1 and 31536000",
        ),
        (
            json!({"ttlSeconds": i64::MAX}),
            "ttlSeconds must be between 1 and 31536000",
        ),
        (json!({"uses": 0}), "uses must be between 1 and 100000"),
        (json!({"uses": -1}), "uses must be between 1 and 100000"),
        (json!({"uses": i64::MAX}), "uses must be between 1 and 100000"),
        (json!({"nodeId": 99}), "nodeId is not a node"),
        (
            json!({"nodeId": 1, "uses": 2}),
            "uses must be 1 for a code with a nodeId",
        ),
        (json!({"name": ""}), "name must have 1 to 255 characters"),
        (json!({"name": "x".repeat(256)}), "name must have 1 to 255 characters"),
        (json!({"name": 5}), "name must be a string"),
        (json!({"uses": "2"}), "uses must be an integer"),
        (json!({"nodeId": 1.5}), "nodeId must be an integer"),
        (json!([]), "the body must be an object"),
    ] {
        assert_eq!(
            refused(&order(&world, &body).await, StatusCode::BAD_REQUEST, message),
            message
        );
    }
    assert_eq!(world.admin().get("/admin/registration-codes").await["items"], json!([]));
    world.end();
}

#[tokio::test]
async fn the_command_line_prints_the_secret_and_nothing_else() {
    let mut world = World::new().await;
    for args in [
        &["code", "new"][..],
        &["code", "new", "--name", "n", "--ttl", "5m", "--uses", "3"],
        &["code", "new", "--node", "1"],
        &["token", "new", "--role", "viewer"],
        &["token", "new", "--role", "admin", "--name", "ops", "--ttl", "1h"],
    ] {
        let printed = run(world.dir(), args);
        let secret = printed.strip_suffix('\n').expect("it ends with a newline");
        let form = if args[0] == "code" { "core_code_" } else { "core_admin_" };
        assert!(
            secret.starts_with(form) && !secret.contains(char::is_whitespace),
            "{args:?}"
        );
        world.keep_secret(secret);
        let printed = run(world.dir(), &[args, &["--json"]].concat());
        let all: Value = serde_json::from_str(&printed).expect("it is JSON");
        let secret = all[args[0]].as_str().expect("the secret is in it");
        assert!(secret.starts_with(form) && all["id"].is_i64(), "{args:?}");
        world.keep_secret(secret);
    }
    let listed = world.admin().get("/admin/registration-codes").await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(6));
    assert_eq!(
        (&listed["items"][2]["name"], &listed["items"][2]["usesLeft"]),
        (&json!("n"), &json!(3))
    );
    for (args, exit, words) in [
        (&["code", "new", "--node", "99"][..], 1, "nodeId is not a node"),
        (&["code", "new", "--uses", "0"], 1, "uses must be between"),
        (&["code", "new", "--uses", "x"], 2, "--uses"),
        (&["code", "new", "--ttl", "soon"], 2, "--ttl"),
        (&["token", "new"], 2, "--role"),
        (&["token", "new", "--role", "root"], 2, "--role"),
        (&["nothing"], 2, "nothing"),
    ] {
        let output = command(world.dir()).args(args).output().expect("the binary is there");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(exit), 0),
            "{args:?}: {said}"
        );
        assert!(said.contains(words), "{args:?}: {said}");
    }
    world.end();
}
