//! Viewers read, but no secret; and the audit log tells nobody one.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::contract::{caller::refused, world::World};
use crate::harness::{core::run, http::Admin};

use super::kinds::{all, ask, at, change, delete, make};

const SECRETS: &[&str] = &["hunter2", "11111111-2222-4333-8444-777777777777"];

async fn with_secrets(admin: &Admin) -> Vec<String> {
    let uuid = SECRETS[1];
    let mut paths = Vec::new();
    for (path, own, body) in [
        (
            "/admin/nodes/1/protocols",
            "/admin/protocols",
            json!({"protocol": "vless", "port": 20_001, "settings": {"decryption": "mlkem768x25519plus.native.600s.hunter2"}}),
        ),
        (
            "/admin/nodes/1/outbounds",
            "/admin/outbounds",
            json!({"tag": "up", "protocol": "socks", "config": {"settings": {"servers": [
                {"address": "192.0.2.1", "port": 1080, "users": [{"user": "u", "pass": "hunter2"}]}]}}}),
        ),
        (
            "/admin/nodes/1/outbounds",
            "/admin/outbounds",
            json!({"tag": "up-2", "protocol": "vless", "config": {"settings": {"vnext": [
                {"address": "192.0.2.1", "port": 443, "users": [{"id": uuid, "encryption": "none"}]}]},
                "streamSettings": {"security": "tls", "tlsSettings": {"serverName": "a.example.test"}}}}),
        ),
        (
            "/admin/links/1/subscription-links",
            "/admin/subscription-links",
            json!({ "uuid": uuid }),
        ),
    ] {
        paths.push(at(own, &make(admin, path, &body).await));
    }
    paths
}

#[tokio::test]
async fn viewers_see_stars_and_change_nothing() {
    let mut world = World::new().await;
    let token = run(world.dir(), &["token", "new", "--role", "viewer", "--name", "eyes"]);
    world.keep_secret(token.trim_end());
    let (admin, viewer) = (world.admin(), Admin::new(world.core.ports.admin, token.trim_end()));
    let mut paths = with_secrets(&admin).await;
    paths.extend(all().iter().map(|kind| kind.below.to_owned()));
    paths.extend(["/admin/links/1", "/admin/users/1"].map(str::to_owned));
    for path in paths {
        let (whole, seen) = (admin.get(&path).await.to_string(), viewer.get(&path).await.to_string());
        assert!(
            SECRETS.iter().all(|secret| !seen.contains(secret)),
            "a viewer sees a secret at {path}"
        );
        if SECRETS.iter().any(|secret| whole.contains(secret)) {
            assert!(seen.contains("***"), "{path}");
        }
    }
    let (whole, seen) = (admin.get("/admin/links/1").await, viewer.get("/admin/links/1").await);
    assert!(whole["token"].as_str().is_some_and(|token| token.len() >= 16));
    assert_eq!((&seen["token"], &seen["id"]), (&json!("***"), &json!(1)));
    assert_eq!(viewer.get("/admin/subscription-links/1").await["uuid"], "***");
    viewer.get("/admin/users/1/usage").await;
    for kind in all() {
        for (method, path) in [
            (Method::POST, kind.below.to_owned()),
            (Method::PATCH, format!("{}/1", kind.own)),
            (Method::DELETE, format!("{}/1", kind.own)),
        ] {
            let about = format!("{method} {path}");
            refused(
                &ask(&viewer, method, &path, &kind.least).await,
                StatusCode::FORBIDDEN,
                &about,
            );
        }
    }
    for (method, path, body) in [
        (Method::POST, "/admin/users/bulk", json!({"users": []})),
        (Method::PUT, "/admin/protocols/11/links", json!({"ids": [1]})),
        (Method::DELETE, "/admin/protocols/11/links", json!({"ids": [1]})),
        (Method::POST, "/admin/subscriptions/1/reset", Value::Null),
    ] {
        refused(&ask(&viewer, method, path, &body).await, StatusCode::FORBIDDEN, path);
        let nobody = Admin::new(world.core.ports.admin, "core_admin_x");
        refused(
            &ask(&nobody, Method::GET, "/admin/users", &Value::Null).await,
            StatusCode::UNAUTHORIZED,
            path,
        );
    }
    world.end();
}

#[tokio::test]
async fn the_audit_log_says_what_changed_and_no_secret() {
    let mut world = World::new().await;
    let admin = world.admin();
    for secret in SECRETS {
        world.keep_secret(secret);
    }
    for path in with_secrets(&admin).await {
        delete(&admin, &path).await;
    }
    change(&admin, "/admin/users/1", &json!({"name": "countess"})).await;
    let log = admin.get("/admin/audit?limit=1000").await;
    let text = log.to_string();
    assert!(
        SECRETS.iter().all(|secret| !text.contains(secret)),
        "the audit log tells a secret"
    );
    assert!(!text.contains("9c1f6a52"), "{text}");
    let newest = &log["items"][0];
    assert_eq!(newest["action"], "user.update", "{newest}");
    assert!(newest.to_string().contains("countess"), "{newest}");
    for action in [
        "protocol.create",
        "outbound.create",
        "subscription-link.create",
        "outbound.delete",
    ] {
        assert!(text.contains(&format!("\"{action}\"")), "{action} in {text}");
    }
    world.end();
}
