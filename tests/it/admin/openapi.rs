//! `GET /admin/openapi.json`: anybody may read it, and what it says is there is there.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::contract::world::World;
use crate::harness::http::send;

use super::kinds::ask;

#[tokio::test]
async fn the_document_is_open_and_its_routes_answer_as_it_says() {
    let world = World::new().await;
    let admin = world.admin();
    let url = format!("http://127.0.0.1:{}/admin/openapi.json", world.core.ports.admin);
    let answer = send(reqwest::Client::new().get(url)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["openapi"], "3.1.0");
    let paths = answer.body["paths"].as_object().expect("paths");
    let reads = paths
        .iter()
        .filter(|(path, methods)| path.starts_with("/admin/") && methods.get("get").is_some())
        // What never ends has tests of its own.
        .filter(|(_, methods)| methods["get"]["responses"]["200"]["content"]["text/event-stream"].is_null());
    for (path, methods) in reads {
        let real = path.replace("{parent}", "1").replace("{id}", "1").replace("{key}", "1");
        let answer = ask(&admin, Method::GET, &real, &Value::Null).await;
        let said = methods["get"]["responses"].as_object().expect("responses");
        assert!(said.contains_key(answer.status.as_str()), "{path}: {}", answer.status);
        if answer.status == StatusCode::OK {
            let schema = &methods["get"]["responses"]["200"]["content"]["application/json"]["schema"];
            has_shape(&answer.body, schema, &answer_schemas(&world).await, path);
        }
    }
    world.end();
}

async fn answer_schemas(world: &World) -> Value {
    world.admin().get("/admin/openapi.json").await["components"]["schemas"].clone()
}

/// Checks required fields, unknown fields and the kinds of values, as far as the schema says them.
#[track_caller]
fn has_shape(value: &Value, schema: &Value, schemas: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str().and_then(|it| it.rsplit('/').next()) {
        return has_shape(value, &schemas[name], schemas, at);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |one: &Value| one == kind || (one == "number" && kind == "integer");
    match &schema["type"] {
        Value::Null => {}
        Value::Array(kinds) => assert!(kinds.iter().any(fits), "{at}: {value} is no {kinds:?}"),
        one => assert!(fits(one), "{at}: {value} is no {one}"),
    }
    for item in value.as_array().into_iter().flatten() {
        has_shape(item, &schema["items"], schemas, &format!("{at}[]"));
    }
    if let (Some(fields), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for name in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            assert!(fields.contains_key(name), "{at}.{name} is missing in {value}");
        }
        for (name, field) in fields {
            let schema = properties.get(name);
            let schema = schema.unwrap_or_else(|| panic!("{at}.{name} is not in the schema"));
            has_shape(field, schema, schemas, &format!("{at}.{name}"));
        }
    }
}
