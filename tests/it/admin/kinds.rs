//! The collections, and a row of each that can be made on the sample catalogue.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::http::{Admin, Answer, send};

/// One collection.
#[derive(Debug, Clone)]
pub struct Kind {
    /// Its path below its owner.
    pub below: &'static str,
    /// Its own path.
    pub own: &'static str,
    /// The field that says whose a row is, and who that is here.
    pub owner: Option<&'static str>,
    /// The least that a new row needs.
    pub least: Value,
    /// What a new row says besides, when nobody says otherwise.
    pub defaults: Value,
    /// Other values.
    pub change: Value,
}

/// All collections.
pub fn all() -> Vec<Kind> {
    [of_people(), of_nodes()].concat()
}

fn of_people() -> Vec<Kind> {
    vec![
        Kind {
            below: "/admin/users",
            own: "/admin/users",
            owner: None,
            least: json!({"name": "linus"}),
            defaults: json!({"status": "active"}),
            change: json!({"status": "disabled", "uuid": "11111111-2222-4333-8444-555555555555"}),
        },
        Kind {
            below: "/admin/users/1/subscriptions",
            own: "/admin/subscriptions",
            owner: Some("userId"),
            least: json!({}),
            defaults: json!({
                "status": "active", "startsAt": null, "expiresAt": null, "trafficLimitBytes": null, "resetStrategy": "none",
                "maxIps": null, "rateUpBps": null, "rateDownBps": null, "trafficBytesUp": 0, "trafficBytesDown": 0, "periodBytes": 0,
            }),
            change: json!({
                "startsAt": "2026-01-01T00:00:00Z", "expiresAt": "2099-01-01T00:00:00Z", "trafficLimitBytes": 1_000_000,
                "resetStrategy": "monthly", "maxIps": 3, "rateUpBps": 1_000, "rateDownBps": 2_000, "status": "paused",
            }),
        },
        Kind {
            below: "/admin/users/1/links",
            own: "/admin/links",
            owner: Some("userId"),
            least: json!({"name": "tablet"}),
            defaults: json!({"enabled": true, "revokedAt": null}),
            change: json!({"name": "telly", "enabled": false, "revokedAt": "2026-01-01T00:00:00Z"}),
        },
        Kind {
            below: "/admin/links/1/subscription-links",
            own: "/admin/subscription-links",
            owner: Some("linkId"),
            least: json!({}),
            defaults: json!({"enabled": true, "subscriptionId": null}),
            change: json!({"enabled": false, "uuid": "11111111-2222-4333-8444-666666666666"}),
        },
    ]
}

fn of_nodes() -> Vec<Kind> {
    vec![
        Kind {
            below: "/admin/nodes/1/protocols",
            own: "/admin/protocols",
            owner: Some("nodeId"),
            least: json!({"protocol": "vmess", "port": 20_001}),
            defaults: json!({
                "tag": null, "enabled": true, "listen": "0.0.0.0", "network": "raw", "security": "none", "flow": "", "settings": {},
                "streamSettings": {}, "sniffing": null, "publicHost": null, "publicPort": null, "position": 0,
            }),
            change: json!({
                "tag": "in-x", "listen": "192.0.2.11", "port": 20_002, "network": "ws", "streamSettings": {"wsSettings": {"path": "/x"}},
                "sniffing": {"enabled": true, "destOverride": ["http"]}, "publicHost": "x.example.test", "publicPort": 443, "position": 7,
            }),
        },
        Kind {
            below: "/admin/nodes/1/outbounds",
            own: "/admin/outbounds",
            owner: Some("nodeId"),
            least: json!({"tag": "exit-x", "protocol": "freedom"}),
            defaults: json!({"config": {}, "position": 0, "enabled": true}),
            change: json!({"tag": "exit-y", "config": {"settings": {"domainStrategy": "UseIP"}}, "position": 9, "enabled": false}),
        },
        Kind {
            below: "/admin/nodes/1/routing-rules",
            own: "/admin/routing-rules",
            owner: Some("nodeId"),
            least: json!({"rule": {"port": "25"}, "outboundId": 21}),
            defaults: json!({"position": 0, "enabled": true, "balancerTag": null}),
            change: json!({"rule": {"network": "udp", "port": "53"}, "position": 5, "enabled": false}),
        },
        Kind {
            below: "/admin/nodes/1/balancers",
            own: "/admin/balancers",
            owner: Some("nodeId"),
            least: json!({"tag": "pool", "config": {"selector": ["exit-"]}}),
            defaults: json!({}),
            change: json!({"tag": "pool-2", "config": {"selector": ["exit-1"], "strategy": {"type": "roundRobin"}}}),
        },
    ]
}

/// Asks; a null body is none.
pub async fn ask(admin: &Admin, method: Method, path: &str, body: &Value) -> Answer {
    let request = admin.request(method, path);
    send(if body.is_null() { request } else { request.json(body) }).await
}

/// Makes a row, and expects that it is made.
pub async fn make(admin: &Admin, path: &str, body: &Value) -> Value {
    let answer = ask(admin, Method::POST, path, body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{path} {body}: {}", answer.body);
    answer.body
}

/// Changes a row, and expects that it is changed.
pub async fn change(admin: &Admin, path: &str, body: &Value) -> Value {
    let answer = ask(admin, Method::PATCH, path, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{path} {body}: {}", answer.body);
    answer.body
}

/// Deletes a row, and expects that it goes.
pub async fn delete(admin: &Admin, path: &str) {
    let answer = ask(admin, Method::DELETE, path, &Value::Null).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}: {}", answer.body);
}

/// All rows of a collection, page by page.
pub async fn items(admin: &Admin, path: &str, limit: usize) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("{path}?limit={limit}&cursor={cursor}")).await;
        let rows = page["items"].as_array().expect("a list");
        assert!(rows.len() <= limit);
        items.extend(rows.iter().cloned());
        match page["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return items,
        }
    }
}

/// Checks that a row says all this.
#[track_caller]
pub fn says(row: &Value, fields: &Value) {
    for (field, value) in fields.as_object().expect("fields") {
        assert_eq!(row[field], *value, "{field} of {row}");
    }
}

/// The path of a row.
pub fn at(path: &str, row: &Value) -> String {
    format!("{path}/{}", row["id"])
}
