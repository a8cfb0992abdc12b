//! Who is on an inbound: thousands of credentials in one request.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::contract::{caller::refused, sums, world::World};

use super::{
    configs::after,
    kinds::{ask, make},
};

const MEMBERS: &str = "/admin/protocols/12/links";

async fn credentials(world: &World, users: usize) -> Vec<i64> {
    let user = |at| {
        json!({"name": format!("member {at}"), "subscriptions": [{}],
            "links": [{"name": "l", "subscriptionLinks": [{"subscription": 0}, {}, {}]}]})
    };
    let users: Vec<Value> = (0..users).map(user).collect();
    let made = make(&world.admin(), "/admin/users/bulk", &json!({ "users": users })).await;
    let users = made["items"].as_array().expect("a list").iter();
    let links = users.flat_map(|user| user["links"][0]["subscriptionLinks"].as_array().expect("a list"));
    links.filter_map(|link| link["id"].as_i64()).collect()
}

fn members(world: &World) -> i64 {
    sums::value(
        world.dir(),
        "SELECT count(*) FROM node_protocol_links WHERE proto_id = 12",
    )
}

#[tokio::test]
async fn thousands_join_and_leave() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let admin = world.admin();
    let ids = credentials(&world, 1_000).await;
    assert_eq!(ids.len(), 3_000);
    let revision = node.config_revision().await;
    let all = json!({ "ids": ids });
    for _ in 0..2 {
        let answer = ask(&admin, Method::PUT, MEMBERS, &all).await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, json!({"ok": true})));
        assert_eq!(members(&world), 3_002);
    }
    let config = after(&world, 1, revision).await;
    assert_eq!(config["revision"], revision + 1);
    let clients = &config["services"]["xray"]["inbounds"][1]["settings"]["clients"];
    assert_eq!(clients.as_array().map(Vec::len), Some(3_002));
    for _ in 0..2 {
        let answer = ask(&admin, Method::DELETE, MEMBERS, &all).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
        assert_eq!(members(&world), 2);
    }
    let config = after(&world, 1, revision + 1).await;
    assert_eq!(config["revision"], revision + 2);
    let clients = &config["services"]["xray"]["inbounds"][1]["settings"]["clients"];
    assert_eq!(clients.as_array().map(Vec::len), Some(2));
    world.end();
}

#[tokio::test]
async fn a_bad_id_leaves_all_as_they_were() {
    let world = World::new().await;
    let admin = world.admin();
    let mut ids = credentials(&world, 10).await;
    ids.push(99_999);
    for (body, message) in [
        (json!({ "ids": ids }), "ids[30] 99999 is not in subscription_links"),
        (json!({"ids": [1, "2"]}), "ids[1] must be an integer"),
        (json!({"ids": [1, null]}), "ids[1] must be an integer"),
        (json!({"ids": 1}), "ids must be an array"),
        (json!({}), "ids is required"),
        (json!({"ids": [1], "more": 1}), "more is not a field"),
        (json!({"ids": vec![1; 50_001]}), "ids must have at most 50000 items"),
    ] {
        let answer = ask(&admin, Method::PUT, MEMBERS, &body).await;
        assert_eq!(refused(&answer, StatusCode::BAD_REQUEST, message), message);
        assert_eq!(members(&world), 2, "{message}");
    }
    let none = json!({"ids": []});
    assert_eq!(ask(&admin, Method::PUT, MEMBERS, &none).await.status, StatusCode::OK);
    let unknown = json!({"ids": [99_999]});
    let answer = ask(&admin, Method::DELETE, MEMBERS, &unknown).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "who is not there has left");
    assert_eq!(members(&world), 2);
    world.end();
}

#[tokio::test]
async fn credentials_that_engines_take_for_one_do_not_share_an_inbound() {
    let world = World::new().await;
    let admin = world.admin();
    let like_it = json!({"uuid": "9c1f6a52-0d0e-4b7f-8f63-5f4f3a0f1b01", "subscriptionId": 1});
    let made = make(&admin, "/admin/links/2/subscription-links", &like_it).await;
    let answer = ask(&admin, Method::PUT, MEMBERS, &json!({"ids": [made["id"]]})).await;
    let message = refused(&answer, StatusCode::BAD_REQUEST, "like the uuid of 1");
    assert_eq!(message, "uuid is that of another client of inbound 12");
    assert_eq!(members(&world), 2);
    world.end();
}
