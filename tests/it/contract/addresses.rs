//! Where users were seen, as admins read it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::http::send;

use super::{caller::refused, world::World};

/// Rows as the store keeps them: an address of each family, one with an info, one of another user.
const ROWS: &str = "INSERT INTO user_ips (user_id, ip, ip_key, first_seen_at, last_seen_at, info, info_fetched_at) VALUES
    (1, '9.9.9.9', x'0409090909', 1790000000000, 1790000060000, '{\"country\": \"CH\", \"raw\": {\"key\": 1}}', 1790000000000),
    (1, '192.0.2.10', x'04c000020a', 1790000000000, 1790000000000, NULL, NULL),
    (1, '2001:db8::1', x'0620010db8000000000000000000000001', 1790000000000, 1790000000001, NULL, NULL),
    (2, '192.0.2.11', x'04c000020b', 1790000000000, 1790000000000, NULL, NULL);";

#[tokio::test]
async fn the_addresses_of_a_user_come_in_pages_and_in_order() {
    let world = World::new().await;
    let file = rusqlite::Connection::open(world.dir().join("core.db")).expect("the store is there");
    file.busy_timeout(crate::harness::PATIENCE).expect("it waits");
    file.execute_batch(ROWS).expect("the rows fit");
    let admin = world.admin();
    let item = |ip: &str, last: &str, info: Value| json!({"ip": ip, "firstSeenAt": "2026-09-21T14:13:20Z", "lastSeenAt": last, "info": info});
    let info = json!({"country": "CH", "raw": {"key": 1}});
    let items = [
        item("9.9.9.9", "2026-09-21T14:14:20Z", info),
        item("192.0.2.10", "2026-09-21T14:13:20Z", Value::Null),
        item("2001:db8::1", "2026-09-21T14:13:20.001Z", Value::Null),
    ];
    let whole = admin.get("/admin/users/1/ips").await;
    assert_eq!(whole, json!({"items": items, "nextCursor": null}));
    for limit in 1..=3 {
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = admin
                .get(&format!("/admin/users/1/ips?limit={limit}&cursor={cursor}"))
                .await;
            pages.extend(page["items"].as_array().expect("a list").clone());
            match page["nextCursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(pages, items, "by {limit}");
    }
    let other = admin.get("/admin/users/2/ips").await;
    assert_eq!(other["items"][0]["ip"], "192.0.2.11");
    world.end();
}

#[tokio::test]
async fn who_is_not_there_has_no_addresses() {
    let world = World::new().await;
    let admin = world.admin();
    assert_eq!(
        admin.get("/admin/users/1/ips").await,
        json!({"items": [], "nextCursor": null})
    );
    for (path, status) in [
        ("/admin/users/999/ips", StatusCode::NOT_FOUND),
        ("/admin/users/x/ips", StatusCode::NOT_FOUND),
        ("/admin/users/1/ips?limit=0", StatusCode::BAD_REQUEST),
        ("/admin/users/1/ips?limit=1001", StatusCode::BAD_REQUEST),
        ("/admin/users/1/ips?cursor=5", StatusCode::BAD_REQUEST),
        ("/admin/users/1/ips?cursor=192.0.2.1/24", StatusCode::BAD_REQUEST),
    ] {
        let answer = send(admin.request(Method::GET, path)).await;
        refused(&answer, status, path);
    }
    let nobody = reqwest::get(format!("http://127.0.0.1:{}/admin/users/1/ips", world.core.ports.admin));
    assert_eq!(nobody.await.expect("Core answers").status(), StatusCode::UNAUTHORIZED);
    world.end();
}
