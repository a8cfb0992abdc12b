//! A catalogue of as many nodes and users as somebody wants.

use serde_json::{Value, json};

/// The inbound of a node.
pub const fn protocol(node: i64) -> i64 {
    node * 10 + 1
}

/// The outbound of a node.
pub fn exit(node: i64) -> String {
    format!("exit-{node}")
}

/// The nodes 1 to `nodes`, and the users 1 to `users` on all of them, each with a subscription and a link of the same number.
pub fn catalogue(nodes: i64, users: i64) -> Value {
    let each = |count: i64, row: &dyn Fn(i64) -> Value| (1..=count).map(row).collect::<Vec<_>>();
    json!({
        "nodes": each(nodes, &|id| {
            json!({"id": id, "name": format!("node-{id}"), "ip": "192.0.2.1", "port": 8000, "region": "de"})
        }),
        "users": each(users, &|id| json!({"id": id, "name": format!("user {id}")})),
        "subscriptions": each(users, &|id| json!({"id": id, "userId": id})),
        "links": each(users, &|id| json!({"id": id, "userId": id, "name": "phone"})),
        "subscriptionLinks": each(users, &|id| {
            json!({"id": id, "uuid": uuid::Uuid::from_u128(id.unsigned_abs().into()), "linkId": id, "subscriptionId": id})
        }),
        "nodeProtocols": each(nodes, &|id| {
            json!({"id": protocol(id), "nodeId": id, "protocol": "vless", "port": 443})
        }),
        "nodeProtocolLinks": (1..=nodes).flat_map(|id| {
            (1..=users).map(move |user| json!({"protoId": protocol(id), "lsId": user}))
        }).collect::<Vec<_>>(),
        "nodeOutbounds": each(nodes, &|id| {
            json!({"id": id, "nodeId": id, "tag": exit(id), "protocol": "freedom"})
        }),
        "nodeRoutingRules": [],
    })
}
