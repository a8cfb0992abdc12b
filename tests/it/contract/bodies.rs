//! Bodies as bytes: too large, packed, of another kind, not JSON, too deep; and routes and methods that are not there.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::http::send;

use super::{
    caller::refused,
    fields::{REGISTER, ROUTES},
    world::{World, usage_entry},
};

const LIMIT: usize = 8 << 20;

fn posts() -> impl Iterator<Item = (&'static str, Value)> {
    ROUTES
        .iter()
        .chain([&REGISTER])
        .map(|route| (route.path, route.good_body()))
}

/// JSON of so many bytes, mostly blanks.
fn blown_up(body: &Value, size: usize) -> Vec<u8> {
    let mut text = body.to_string().into_bytes();
    text.resize(size, b' ');
    text
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

#[tokio::test]
async fn eight_mebibytes_and_no_more() {
    let mut world = World::new().await;
    let caller = world.caller(1).await;
    let before = world.settled(&caller).await;
    for (route, body) in posts() {
        let large = blown_up(&body, LIMIT + 1);
        let packed = [
            ("gzip", gzip(&large)),
            ("zstd", zstd::encode_all(large.as_slice(), 3).expect("memory takes it")),
        ];
        let answer = caller.post_text(route, large).await;
        refused(&answer, StatusCode::PAYLOAD_TOO_LARGE, route);
        for (encoding, bomb) in packed {
            assert!(bomb.len() < LIMIT / 100);
            let request = caller
                .request(Method::POST, route)
                .header("content-type", "application/json")
                .header("content-encoding", encoding)
                .body(bomb);
            refused(
                &send(request).await,
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!("{route} {encoding}"),
            );
        }
    }
    assert_eq!(world.settled(&caller).await, before);
    let exact = blown_up(&json!({"entries": [usage_entry(1, 5, 6)]}), LIMIT);
    assert_eq!(caller.post_text("/node/usage", exact).await.status, StatusCode::OK);
    let after = world.settled(&caller).await;
    assert_eq!(after["usage up"] - before["usage up"], 5);
    world.end();
}

#[tokio::test]
async fn a_body_far_above_the_limit_is_answered_too() {
    let mut world = World::new().await;
    let caller = world.caller(1).await;
    for _ in 0..5 {
        let answer = caller.post_text("/node/usage", vec![b' '; 3 * LIMIT]).await;
        refused(&answer, StatusCode::PAYLOAD_TOO_LARGE, "24 MiB");
    }
    let answer = world.stranger().post_text("/node/usage", vec![b' '; LIMIT]).await;
    refused(&answer, StatusCode::UNAUTHORIZED, "a stranger with 8 MiB");
    world.end();
}

#[tokio::test]
async fn packed_bodies_are_read() {
    let mut world = World::new().await;
    let caller = world.caller(1).await;
    let before = world.settled(&caller).await;
    for (encoding, up) in [("gzip", 1), ("zstd", 10), ("GZIP", 100), ("identity", 1000)] {
        let text = json!({"entries": [usage_entry(1, up, 0)]}).to_string();
        let body = match encoding {
            "gzip" | "GZIP" => gzip(text.as_bytes()),
            "zstd" => zstd::encode_all(text.as_bytes(), 3).expect("memory takes it"),
            _ => text.into_bytes(),
        };
        let request = caller
            .request(Method::POST, "/node/usage")
            .header("content-type", "application/json; charset=utf-8")
            .header("content-encoding", encoding)
            .body(body);
        let answer = send(request).await;
        assert_eq!(answer.status, StatusCode::OK, "{encoding}: {}", answer.body);
    }
    assert_eq!(world.settled(&caller).await["usage up"] - before["usage up"], 1111);
    world.end();
}

#[tokio::test]
async fn what_is_no_json_is_refused() {
    let mut world = World::new().await;
    let caller = world.caller(1).await;
    let before = world.settled(&caller).await;
    for (route, body) in posts() {
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonp",
            "x",
        ] {
            let request = caller
                .request(Method::POST, route)
                .header("content-type", kind)
                .body(body.to_string());
            refused(
                &send(request).await,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &format!("{route} {kind}"),
            );
        }
        for encoding in ["br", "deflate", "gzip, gzip", "?"] {
            let request = caller
                .request(Method::POST, route)
                .header("content-encoding", encoding)
                .json(&body);
            refused(
                &send(request).await,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &format!("{route} {encoding}"),
            );
        }
        for encoding in ["gzip", "zstd"] {
            let request = caller
                .request(Method::POST, route)
                .header("content-encoding", encoding)
                .json(&body);
            refused(
                &send(request).await,
                StatusCode::BAD_REQUEST,
                &format!("{route} not {encoding}"),
            );
        }
        let whole = body.to_string();
        let broken: Vec<Vec<u8>> = vec![
            whole[..whole.len() - 1].into(),
            format!("{whole}x").into_bytes(),
            format!("{whole}{whole}").into_bytes(),
            whole.replace(':', "=").into_bytes(),
            whole.replace('"', "'").into_bytes(),
            b"{\"a\": NaN}".to_vec(),
            b"{\"a\": \"\xff\xfe\"}".to_vec(),
            b"\xef\xbb\xbf{}".to_vec(),
            b"null".to_vec(),
            b"5".to_vec(),
            b"\"text\"".to_vec(),
            format!("[{whole}]").into_bytes(),
            b"{".to_vec(),
            vec![0; 100],
        ];
        for bytes in broken {
            let about = format!("{route} {}", String::from_utf8_lossy(&bytes));
            refused(&caller.post_text(route, bytes).await, StatusCode::BAD_REQUEST, &about);
        }
        if route != "/node/heartbeat" {
            refused(
                &caller.post_text(route, "").await,
                StatusCode::BAD_REQUEST,
                &format!("{route} empty"),
            );
        }
    }
    assert_eq!(world.settled(&caller).await, before);
    assert_eq!(
        caller.post_text("/node/heartbeat", "").await.body,
        json!({"ok": true, "needSync": true})
    );
    world.end();
}

#[tokio::test]
async fn json_may_be_thirty_two_deep() {
    let mut world = World::new().await;
    let caller = world.caller(1).await;
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    for (route, body) in posts() {
        let deeper = |levels: usize| {
            body.to_string()
                .replacen('{', &format!("{{\"deep\":{},", nested(levels)), 1)
        };
        let answer = caller.post_text(route, deeper(32)).await;
        let message = refused(&answer, StatusCode::BAD_REQUEST, route);
        assert_eq!(message, "the body is nested deeper than 32");
        let deep = if route == "/node/register" {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::OK
        };
        assert_eq!(caller.post_text(route, deeper(31)).await.status, deep, "{route}");
        let abyss = nested(1_000_000);
        refused(&caller.post_text(route, abyss).await, StatusCode::BAD_REQUEST, route);
    }
    world.end();
}

#[tokio::test]
async fn other_methods_and_paths_are_not_there() {
    let mut world = World::new().await;
    let caller = world.caller(1).await;
    let methods = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let routes = posts().map(|(route, _)| (route, Method::POST)).chain([
        ("/node/config/latest", Method::GET),
        ("/healthz", Method::GET),
        ("/readyz", Method::GET),
    ]);
    for (route, right) in routes {
        for method in methods.iter().filter(|method| **method != right) {
            for who in [&caller, &world.stranger()] {
                let answer = send(who.request(method.clone(), route)).await;
                refused(&answer, StatusCode::METHOD_NOT_ALLOWED, &format!("{method} {route}"));
            }
        }
    }
    for path in [
        "/",
        "/node",
        "/node/",
        "/node/nothing",
        "/node/usage/",
        "/node/usage/1",
        "/admin/nodes",
        "/metrics",
        "/NODE/USAGE",
        "/node/%00",
    ] {
        for method in &methods {
            let answer = send(caller.request(method.clone(), path)).await;
            refused(&answer, StatusCode::NOT_FOUND, &format!("{method} {path}"));
        }
    }
    world.end();
}
