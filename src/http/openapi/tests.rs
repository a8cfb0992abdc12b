use std::collections::BTreeSet;

use super::*;
use crate::http::admin::rows::Kind;

type Routes = BTreeSet<(String, String)>;

/// The routes as `http.rs` registers them: a path in `only("…")`, and what it is routed to until the next.
fn registered() -> Routes {
    let text = include_str!("../../http.rs");
    let mut routes = Routes::new();
    let mut prefix = "";
    let parts = text.split("only(");
    for (part, before) in parts.clone().skip(1).zip(parts) {
        if before.contains("scope(\"/node\")") {
            prefix = "/node";
        }
        let Some(path) = part.strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
            continue;
        };
        if ["/healthz", "/readyz", "/metrics"].contains(&path) {
            prefix = "";
        }
        if before.contains("fn admin_routes") {
            prefix = "/admin";
        }
        for method in ["get", "post", "put", "patch", "delete"] {
            if part.contains(&format!("{method}().to(")) {
                routes.insert((method.to_owned(), format!("{prefix}{path}")));
            }
        }
    }
    for kind in Kind::ALL {
        let own = kind.path();
        let owner = kind.owner();
        let below = owner.map_or_else(
            || format!("/admin/{own}"),
            |(owner, _)| format!("/admin/{owner}/{{parent}}/{own}"),
        );
        for (method, path) in [
            ("get", below.clone()),
            ("post", below.clone()),
            ("get", format!("{below}/{{id}}")),
            ("patch", format!("{below}/{{id}}")),
            ("delete", format!("{below}/{{id}}")),
            ("get", format!("/admin/{own}/{{id}}")),
            ("patch", format!("/admin/{own}/{{id}}")),
            ("delete", format!("/admin/{own}/{{id}}")),
        ] {
            routes.insert((method.to_owned(), path));
        }
    }
    routes
}

fn documented() -> Routes {
    let document = document();
    let paths = document["paths"].as_object().expect("an object");
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("an object");
            methods.keys().map(|method| (method.clone(), path.clone()))
        })
        .collect()
}

#[test]
fn every_route_is_in_the_document_and_the_other_way_round() {
    let (registered, documented) = (registered(), documented());
    let missing: Vec<_> = registered.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&registered).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "missing: {missing:?}, invented: {invented:?}"
    );
    assert!(registered.len() > 80, "{}", registered.len());
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().expect("an object");
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("a name");
        assert!(schemas.contains_key(name), "{name}");
    }
    let mut names = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("an object") {
        for (method, operation) in methods.as_object().expect("an object") {
            let name = operation["operationId"].as_str().expect("a text");
            assert!(names.insert(name.to_owned()), "{name}");
            let responses = operation["responses"].as_object().expect("an object");
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{method} {path}"
            );
            assert!(
                responses.values().all(|it| it["description"].is_string()),
                "{method} {path}"
            );
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().filter(|it| it["in"] == "path").count();
            assert_eq!(in_path, path.matches('{').count(), "{method} {path}");
        }
    }
}
