//! What the audit log says of a change: the fields that changed, never a secret.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::model::catalog_change::CatalogRow;

/// Fields whose values are credentials.
const SECRET: [&str; 1] = ["uuid"];

/// Fields that may hold keys, passwords and certificates anywhere inside: only the names of their changed parts are said.
const OPAQUE: [&str; 4] = ["settings", "streamSettings", "config", "rule"];

/// The changed fields before and after; a row that was not there, or is gone, has no such side. `keys` has the names of what changed inside of
/// fields that may hold secrets.
pub(super) fn details(before: Option<&CatalogRow>, after: Option<&CatalogRow>) -> Map<String, Value> {
    let (old, new) = (fields(before), fields(after));
    let (mut said_before, mut said_after, mut keys) = (Map::new(), Map::new(), Map::new());
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let value = |row: &Map<String, Value>| row.get(name).cloned().unwrap_or_default();
        let (was, is) = (value(&old), value(&new));
        if was == is || name == "id" {
            continue;
        }
        if OPAQUE.contains(&name.as_str()) {
            keys.insert(name.clone(), changed_keys(&was, &is));
            continue;
        }
        said_before.insert(name.clone(), masked(name, was));
        said_after.insert(name.clone(), masked(name, is));
    }
    let mut details = Map::new();
    if before.is_some() {
        details.insert("before".to_owned(), said_before.into());
    }
    if after.is_some() {
        details.insert("after".to_owned(), said_after.into());
    }
    if !keys.is_empty() {
        details.insert("keys".to_owned(), keys.into());
    }
    details
}

fn fields(row: Option<&CatalogRow>) -> Map<String, Value> {
    match row.map(CatalogRow::to_json) {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn masked(name: &str, value: Value) -> Value {
    if SECRET.contains(&name) { json!("***") } else { value }
}

fn changed_keys(was: &Value, is: &Value) -> Value {
    let keys = |value: &Value| {
        value
            .as_object()
            .map(|it| it.keys().cloned().collect())
            .unwrap_or_default()
    };
    let mut names: BTreeSet<String> = keys(was);
    names.extend::<BTreeSet<String>>(keys(is));
    names.retain(|name| was.get(name) != is.get(name));
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{
        NodeId, OutboundId, UserId,
        catalog::{NodeOutbound, User, UserStatus},
    };

    fn user(uuid: u128, name: &str) -> CatalogRow {
        CatalogRow::User(User {
            id: UserId(1),
            uuid: Uuid::from_u128(uuid),
            name: name.to_owned(),
            status: UserStatus::Active,
        })
    }

    fn outbound(config: Value) -> CatalogRow {
        CatalogRow::Outbound(NodeOutbound {
            id: OutboundId(1),
            node_id: NodeId(1),
            tag: "out".to_owned(),
            protocol: "socks".to_owned(),
            config,
            position: 0,
            enabled: true,
            deleted_at: None,
        })
    }

    #[test]
    fn only_what_changed_is_said() {
        let (ann, bob) = (user(1, "Ann"), user(1, "Bob"));
        assert_eq!(
            Value::from(details(Some(&ann), Some(&bob))),
            json!({ "before": { "name": "Ann" }, "after": { "name": "Bob" } })
        );
        assert_eq!(
            Value::from(details(None, Some(&ann))),
            json!({ "after": { "name": "Ann", "status": "active", "uuid": "***" } })
        );
        assert_eq!(
            Value::from(details(Some(&ann), None)),
            json!({ "before": { "name": "Ann", "status": "active", "uuid": "***" } })
        );
    }

    #[test]
    fn secrets_are_not_said() {
        let rotated = details(Some(&user(1, "Ann")), Some(&user(2, "Ann")));
        assert_eq!(
            Value::from(rotated),
            json!({ "before": { "uuid": "***" }, "after": { "uuid": "***" } })
        );
        let (was, is) = (
            outbound(json!({ "same": 1, "gone": { "password": "hunter2" }, "pass": "hunter2" })),
            outbound(json!({ "same": 1, "pass": "hunter3", "new": true })),
        );
        assert_eq!(
            Value::from(details(Some(&was), Some(&is))),
            json!({ "before": {}, "after": {}, "keys": { "config": ["gone", "new", "pass"] } })
        );
    }
}
