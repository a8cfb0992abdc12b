//! The lists of the admin API, page by page.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::http::send;

use super::{
    caller::refused,
    world::{World, usage_entry},
};

async fn pages(world: &World, path: &str, limit: usize) -> Vec<i64> {
    let join = if path.contains('?') { '&' } else { '?' };
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world
            .admin()
            .get(&format!("{path}{join}limit={limit}&cursor={cursor}"))
            .await;
        let items = page["items"].as_array().expect("a list");
        assert!(items.len() <= limit, "{path}");
        ids.extend(items.iter().map(|item| item["id"].as_i64().expect("an id")));
        match &page["nextCursor"] {
            Value::String(next) => cursor.clone_from(next),
            Value::Null => return ids,
            other => panic!("{path}: a cursor of {other}"),
        }
    }
}

#[tokio::test]
async fn lists_come_in_pages() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    for n in 0..5 {
        world.code(&["--name", &format!("c{n}")]);
        node.tell("/node/error", &json!({"message": format!("e{n}")})).await;
        let mut bad = usage_entry(1, -1, n);
        node.tell("/node/usage", &json!({"entries": [bad.clone()]})).await;
        bad["bytesUp"] = json!(1);
        let event = json!({"userId": -1, "protocol": "p", "eventType": "e", "occurredAt": super::world::now(), "ipAddress": format!("{n}")});
        node.tell("/node/session-events", &json!({"events": [event]})).await;
        let token = json!({"name": format!("t{n}"), "role": "viewer"});
        let made = send(world.admin().request(Method::POST, "/admin/tokens").json(&token)).await;
        world.keep_secret(made.body["token"].as_str().expect("a token"));
    }
    world.settled(&node).await;
    for (path, count) in [
        ("/admin/nodes", 3),
        ("/admin/registration-codes", 6),
        ("/admin/nodes/1/errors", 5),
        ("/admin/rejected?kind=usage", 5),
        ("/admin/rejected?kind=events", 5),
        ("/admin/tokens", 5),
    ] {
        let whole = pages(&world, path, 1000).await;
        assert_eq!(whole.len(), count, "{path}");
        assert!(whole.is_sorted_by(|a, b| a > b), "{path}: newest first");
        for limit in [1, 2, count] {
            assert_eq!(pages(&world, path, limit).await, whole, "{path} by {limit}");
        }
    }
    for path in [
        "/admin/nodes",
        "/admin/registration-codes",
        "/admin/nodes/1/errors",
        "/admin/rejected",
        "/admin/tokens",
        "/admin/audit",
    ] {
        for bad in [
            "limit=0",
            "limit=-1",
            "limit=1001",
            "limit=x",
            "cursor=x",
            "cursor=99999999999999999999",
        ] {
            let answer = send(world.admin().request(Method::GET, &format!("{path}?{bad}"))).await;
            refused(&answer, StatusCode::BAD_REQUEST, &format!("{path}?{bad}"));
        }
    }
    for query in ["?kind=x", "?kind="] {
        let answer = send(world.admin().request(Method::GET, &format!("/admin/rejected{query}"))).await;
        refused(&answer, StatusCode::BAD_REQUEST, query);
    }
    assert_eq!(
        world.admin().get("/admin/rejected").await,
        world.admin().get("/admin/rejected?kind=usage").await
    );
    world.end();
}

#[tokio::test]
async fn the_last_hundred_errors_are_kept() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    for n in 0..105 {
        node.tell("/node/error", &json!({"message": format!("e{n}")})).await;
    }
    world.settled(&node).await;
    let errors = world.admin().get("/admin/nodes/1/errors?limit=1000").await;
    let items = errors["items"].as_array().expect("a list");
    assert_eq!(items.len(), 100);
    assert_eq!(
        (&items[0]["message"], &items[99]["message"]),
        (&json!("e104"), &json!("e5"))
    );
    world.end();
}

#[tokio::test]
async fn who_did_what_is_written_down() {
    let mut world = World::new().await;
    world.code(&[]);
    let admin = world.admin();
    let by_name = admin
        .request(Method::PATCH, "/admin/nodes/2")
        .header("x-request-id", "r-77")
        .json(&json!({"region": "zz"}));
    assert_eq!(send(by_name).await.status, StatusCode::OK);
    let made = send(admin.request(Method::POST, "/admin/nodes/2/keys")).await;
    world.keep_secret(made.body["authKey"].as_str().expect("a key"));
    let key = format!("/admin/nodes/2/keys/{}", made.body["id"]);
    assert_eq!(
        send(admin.request(Method::DELETE, &key)).await.status,
        StatusCode::NO_CONTENT
    );
    let made = send(admin.request(Method::POST, "/admin/registration-codes")).await;
    world.keep_secret(made.body["code"].as_str().expect("a code"));
    let refused_one = admin.request(Method::PATCH, "/admin/nodes/2").json(&json!({"port": 0}));
    assert_eq!(send(refused_one).await.status, StatusCode::BAD_REQUEST);
    let audit = admin.get("/admin/audit").await;
    let lines = audit["items"].as_array().expect("a list");
    let actions: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["actor"].as_str().unwrap_or(""),
                line["action"].as_str().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(
        actions[..4],
        [
            ("bootstrap", "code.create"),
            ("bootstrap", "key.revoke"),
            ("bootstrap", "key.create"),
            ("bootstrap", "node.patch"),
        ]
    );
    assert_eq!(actions[4], ("cli", "code.create"));
    let patch = &lines[3];
    assert_eq!(
        (&patch["subjectId"], &patch["requestId"], &patch["address"]),
        (&json!(2), &json!("r-77"), &json!("127.0.0.1"))
    );
    assert_eq!(patch["details"], json!({"region": "zz"}));
    let text = audit.to_string();
    for form in ["core_node_", "core_code_", "core_admin_"] {
        assert!(!text.contains(form), "a secret is in the audit log");
    }
    world.end();
}

#[tokio::test]
async fn an_admin_sees_the_config_as_the_node_does() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let shown = send(world.admin().request(Method::GET, "/admin/nodes/1/config")).await;
    let pulled = node.get("/node/config/latest").await;
    assert_eq!(shown.body, pulled.body);
    assert_eq!(shown.headers["etag"], pulled.headers["etag"]);
    let bytes = world.node(1).await["configBytes"].as_u64().expect("a number");
    let text = node
        .request(Method::GET, "/node/config/latest")
        .send()
        .await
        .expect("it is answered")
        .bytes()
        .await
        .expect("it is whole");
    assert_eq!(bytes, text.len() as u64);
    world.end();
}
