//! Takes a subscription's clients out of a config that is already rendered: for when it can't be rendered anew.

use serde_json::{Map, Value};

use crate::model::{
    SubscriptionId,
    node_config::{ConfigHash, NodeConfig, Rendered},
};

/// The same config without the clients of this subscription; `None` if it has none, or if it can't be read.
pub fn without(config: &NodeConfig, subscription: SubscriptionId) -> Option<Rendered> {
    let rendered = config.rendered();
    let mut clients: Map<String, Value> = serde_json::from_str(&rendered.client_map).ok()?;
    let mut mtproto: Map<String, Value> = serde_json::from_str(&rendered.mtproto_client_map).ok()?;
    let mut services: Value = serde_json::from_str(&rendered.services).ok()?;
    let paid = |payer: &Value| payer["subscriptionId"].as_i64() == Some(subscription.0);
    let marks: Vec<String> = clients
        .iter()
        .filter(|(_, payer)| paid(payer))
        .map(|(ls, _)| format!(".s{ls}."))
        .collect();
    if marks.is_empty() {
        return None;
    }
    clients.retain(|_, payer| !paid(payer));
    mtproto.retain(|_, payer| !paid(payer));
    for pointer in ["/xray/inbounds", "/mtproto/inbounds"] {
        for inbound in services
            .pointer_mut(pointer)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            leave(inbound, &marks);
        }
    }
    close_empty(&mut services);
    let services = services.to_string();
    Some(Rendered {
        client_map: Value::Object(clients).to_string(),
        mtproto_client_map: Value::Object(mtproto).to_string(),
        structure: config.structure(),
        users: ConfigHash::of([services.as_str()]),
        services,
        problems: config.problems().to_vec(),
    })
}

fn leave(inbound: &mut Value, marks: &[String]) {
    let lists = ["/settings/clients", "/settings/accounts", "/settings/peers", "/users"];
    for list in lists {
        let Some(users) = inbound.pointer_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        users.retain(|user| {
            let name = ["email", "user", "username"]
                .iter()
                .find_map(|key| user[*key].as_str())
                .unwrap_or_default();
            !marks.iter().any(|mark| name.contains(mark.as_str()))
        });
    }
}

/// Inbounds that must not be there without users: they would let in others.
fn close_empty(services: &mut Value) {
    let empty = |inbound: &Value, list: &str| {
        inbound
            .pointer(list)
            .and_then(Value::as_array)
            .is_some_and(Vec::is_empty)
    };
    if let Some(inbounds) = services.pointer_mut("/xray/inbounds").and_then(Value::as_array_mut) {
        inbounds.retain(|inbound| {
            let guarded = matches!(inbound["protocol"].as_str(), Some("shadowsocks" | "socks" | "http"));
            !(guarded && (empty(inbound, "/settings/clients") || empty(inbound, "/settings/accounts")))
        });
    }
    let Some(inbounds) = services.pointer_mut("/mtproto/inbounds").and_then(Value::as_array_mut) else {
        return;
    };
    inbounds.retain(|inbound| !empty(inbound, "/users"));
    if inbounds.is_empty()
        && let Some(services) = services.as_object_mut()
    {
        services.remove("mtproto");
    }
}
