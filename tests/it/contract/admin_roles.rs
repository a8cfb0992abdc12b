//! Who may do what on the admin API, and what is not there.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    core::run,
    eventually,
    http::{Admin, Answer, send},
};

use super::{caller::refused, world::World};

const READS: &[&str] = &[
    "/admin/registration-codes",
    "/admin/registration-codes/1",
    "/admin/nodes",
    "/admin/nodes/1",
    "/admin/nodes/1/runtime-status",
    "/admin/nodes/1/stats",
    "/admin/nodes/1/errors",
    "/admin/nodes/1/keys",
    "/admin/nodes/1/keys/1",
    "/admin/users/1/ips",
    "/admin/online",
    "/admin/tokens",
    "/admin/tokens/1",
    "/admin/rejected",
    "/admin/audit",
];

fn writes() -> Vec<(Method, &'static str, Value)> {
    vec![
        (Method::POST, "/admin/registration-codes", json!({})),
        (Method::DELETE, "/admin/registration-codes/1", Value::Null),
        (Method::PATCH, "/admin/nodes/1", json!({"region": "x"})),
        (Method::DELETE, "/admin/nodes/1", Value::Null),
        (Method::POST, "/admin/nodes/1/config/retry", Value::Null),
        (Method::POST, "/admin/nodes/1/keys", Value::Null),
        (Method::DELETE, "/admin/nodes/1/keys/1", Value::Null),
        (Method::POST, "/admin/tokens", json!({"name": "t", "role": "admin"})),
        (Method::DELETE, "/admin/tokens/1", Value::Null),
        (Method::GET, "/admin/nodes/1/config", Value::Null),
    ]
}

async fn ask(admin: &Admin, method: Method, path: &str, body: &Value) -> Answer {
    let request = admin.request(method, path);
    send(if body.is_null() { request } else { request.json(body) }).await
}

#[tokio::test]
async fn a_viewer_reads_and_an_admin_writes() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let token = run(world.dir(), &["token", "new", "--role", "viewer", "--name", "eyes"]);
    let viewer = Admin::new(world.core.ports.admin, token.trim_end());
    world.keep_secret(token.trim_end());
    let admin = world.admin();
    let before = world.settled(&node).await;
    for path in READS {
        let seen = viewer.get(path).await;
        let text = seen.to_string();
        for secret in [token.trim_end(), "core_code_", "core_node_", "core_admin_"] {
            assert!(!text.contains(secret), "{path} shows a secret");
        }
        for who in [&viewer, &admin] {
            assert_eq!(
                ask(who, Method::GET, path, &Value::Null).await.status,
                StatusCode::OK,
                "{path}"
            );
        }
    }
    for (method, path, body) in writes() {
        let answer = ask(&viewer, method.clone(), path, &body).await;
        refused(&answer, StatusCode::FORBIDDEN, &format!("{method} {path}"));
    }
    assert_eq!(world.settled(&node).await, before);
    let tokens = admin.get("/admin/tokens").await;
    let eyes = tokens["items"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|token| token["name"] == "eyes")
        .expect("it is listed");
    assert_eq!(eyes["role"], "viewer");
    assert!(eyes["lastUsedAt"].is_string());
    let path = format!("/admin/tokens/{}", eyes["id"]);
    assert_eq!(
        ask(&admin, Method::DELETE, &path, &Value::Null).await.status,
        StatusCode::NO_CONTENT
    );
    let answer = ask(&viewer, Method::GET, "/admin/nodes", &Value::Null).await;
    refused(&answer, StatusCode::UNAUTHORIZED, "a deleted token");
    refused(
        &ask(&admin, Method::DELETE, &path, &Value::Null).await,
        StatusCode::NOT_FOUND,
        "again",
    );
    world.end();
}

#[tokio::test]
async fn strangers_are_refused_everywhere() {
    let mut world = World::new().await;
    let node_key = world.key(1).await;
    let client = reqwest::Client::new();
    let port = world.core.ports.admin;
    let reads = READS.iter().map(|path| (Method::GET, *path, Value::Null));
    for (method, path, body) in reads.chain(writes()) {
        let url = format!("http://127.0.0.1:{port}{path}");
        for header in [
            None,
            Some(String::new()),
            Some("Bearer".to_owned()),
            Some("Bearer ".to_owned()),
            Some("Bearer core_admin_x".to_owned()),
            Some(format!("Bearer {node_key}")),
            Some(format!("Basic {}", crate::harness::core::ADMIN_TOKEN)),
            Some(crate::harness::core::ADMIN_TOKEN.to_owned()),
        ] {
            let mut request = client.request(method.clone(), &url);
            if let Some(header) = &header {
                request = request.header("authorization", header);
            }
            if !body.is_null() {
                request = request.json(&body);
            }
            let answer = send(request).await;
            let message = refused(&answer, StatusCode::UNAUTHORIZED, &format!("{method} {path}"));
            assert_eq!(message, "the bearer token is missing or not valid");
        }
    }
    let lower = client
        .get(format!("http://127.0.0.1:{port}/admin/nodes"))
        .header("authorization", format!("bearer {}", crate::harness::core::ADMIN_TOKEN));
    assert_eq!(send(lower).await.status, StatusCode::OK, "the scheme has no case");
    world.end();
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::new().await;
    let admin = world.admin();
    for path in [
        "/",
        "/admin",
        "/admin/",
        "/admin/nothing",
        "/admin/nodes/99",
        "/admin/nodes/x",
        "/admin/nodes/-1",
        "/admin/nodes/99999999999999999999",
        "/admin/nodes/99/errors",
        "/admin/nodes/99/config",
        "/admin/nodes/99/runtime-status",
        "/admin/nodes/1/nothing",
        "/admin/registration-codes/99",
        "/admin/registration-codes/x",
        "/admin/tokens/99",
        "/admin/tokens/9223372036854775807",
        "/admin/nodes/1/keys/99",
        "/admin/nodes/99/keys/1",
        "/node/usage",
        "/healthz",
    ] {
        refused(
            &ask(&admin, Method::GET, path, &Value::Null).await,
            StatusCode::NOT_FOUND,
            path,
        );
    }
    for (method, path) in [
        (Method::PATCH, "/admin/nodes/99"),
        (Method::DELETE, "/admin/nodes/99"),
        (Method::POST, "/admin/nodes/99/config/retry"),
        (Method::POST, "/admin/nodes/99/keys"),
        (Method::DELETE, "/admin/registration-codes/99"),
        (Method::DELETE, "/admin/tokens/99"),
        (Method::GET, "/admin/online?node=99"),
    ] {
        let body = if method == Method::PATCH {
            json!({"region": "x"})
        } else {
            Value::Null
        };
        refused(
            &ask(&admin, method.clone(), path, &body).await,
            StatusCode::NOT_FOUND,
            &format!("{method} {path}"),
        );
    }
    for (path, wrong) in [
        (
            "/admin/nodes",
            vec![Method::POST, Method::PUT, Method::DELETE, Method::PATCH],
        ),
        ("/admin/nodes/1", vec![Method::POST, Method::PUT]),
        ("/admin/nodes/1/config/retry", vec![Method::GET]),
        ("/admin/registration-codes", vec![Method::PUT, Method::DELETE]),
        ("/admin/tokens", vec![Method::PATCH]),
        ("/admin/audit", vec![Method::POST, Method::DELETE]),
        ("/admin/rejected", vec![Method::DELETE]),
        ("/metrics", vec![Method::POST]),
    ] {
        for method in wrong {
            let about = format!("{method} {path}");
            refused(
                &ask(&admin, method, path, &Value::Null).await,
                StatusCode::METHOD_NOT_ALLOWED,
                &about,
            );
        }
    }
    world.end();
}

#[tokio::test]
async fn tokens_are_made_with_a_role_and_a_time() {
    let mut world = World::new().await;
    let admin = world.admin();
    for (body, message) in [
        (json!({"role": "admin"}), "name is required"),
        (json!({"name": "x"}), "role is required"),
        (json!({"name": "x", "role": "root"}), "role must be admin or viewer"),
        (
            json!({"name": " ", "role": "admin"}),
            "name must have 1 to 255 characters",
        ),
        (
            json!({"name": "x", "role": "admin", "ttlSeconds": -1}),
            "ttlSeconds must be at least 1",
        ),
        (
            json!({"name": "x", "role": "admin", "ttlSeconds": 0}),
            "ttlSeconds must be at least 1",
        ),
        (
            json!({"name": "x", "role": "admin", "ttlSeconds": "1"}),
            "ttlSeconds must be an integer",
        ),
    ] {
        let answer = ask(&admin, Method::POST, "/admin/tokens", &body).await;
        assert_eq!(refused(&answer, StatusCode::BAD_REQUEST, message), message);
    }
    let made = ask(
        &admin,
        Method::POST,
        "/admin/tokens",
        &json!({"name": "short", "role": "admin", "ttlSeconds": 2}),
    )
    .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let token = made.body["token"].as_str().expect("a token");
    assert!(token.starts_with("core_admin_"));
    assert!(made.body["expiresAt"].is_string());
    world.keep_secret(token);
    let short = Admin::new(world.core.ports.admin, token);
    eventually("the token ends", || async {
        let answer = ask(&short, Method::GET, "/admin/nodes", &Value::Null).await;
        (answer.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    let forever = ask(
        &admin,
        Method::POST,
        "/admin/tokens",
        &json!({"name": "long", "role": "admin", "ttlSeconds": i64::MAX}),
    )
    .await;
    assert_eq!(forever.status, StatusCode::CREATED, "{}", forever.body);
    let token = forever.body["token"].as_str().expect("a token");
    world.keep_secret(token);
    Admin::new(world.core.ports.admin, token).get("/admin/nodes").await;
    world.end();
}
