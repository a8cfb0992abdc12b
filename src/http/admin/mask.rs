//! What a viewer may not see.

use serde_json::Value;

/// Fields that let their reader in somewhere, wherever they stand.
const SECRETS: &[&str] = &[
    "uuid",
    "token",
    "privateKey",
    "secretKey",
    "password",
    "preSharedKey",
    "mldsa65Seed",
    "key",
    "pass",
    "secret",
    "auth",
    "id",
    "seed",
    "echServerKeys",
    "decryption",
    "Authorization",
    "authorization",
];

/// The same with `***` in place of every secret.
pub fn masked(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| {
                // Rows are named by numbers, users of outbounds by texts that let them in; `none` is no key.
                let open = value.is_null() || value == "none" || (name == "id" && value.is_number());
                let hidden = SECRETS.contains(&name.as_str()) && !open;
                let value = if hidden { Value::from("***") } else { masked(value) };
                (name, value)
            };
            Value::Object(fields.into_iter().map(field).collect())
        }
        Value::Array(items) => items.into_iter().map(masked).collect(),
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let row = json!({"id": 5, "users": [{"id": "x"}], "decryption": "none", "uuid": "x", "name": "ada", "settings": {"password": "p", "list": [{"privateKey": "k", "port": 1}]}, "token": null});
        let expected = json!({"id": 5, "users": [{"id": "***"}], "decryption": "none", "uuid": "***", "name": "ada", "settings": {"password": "***", "list": [{"privateKey": "***", "port": 1}]}, "token": null});
        assert_eq!(masked(row), expected);
    }
}
