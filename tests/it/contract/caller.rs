//! One node's voice over HTTP.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::harness::http::{Answer, send};

/// A node that calls the HTTP routes.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    port: u16,
    /// The key that it shows; none = it shows none.
    pub key: Option<String>,
}

impl Caller {
    /// Calls on this port.
    pub fn new(port: u16, key: Option<&str>) -> Self {
        Self {
            client: Client::new(),
            port,
            key: key.map(str::to_owned),
        }
    }

    /// The same caller with another key.
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self {
            key: key.map(str::to_owned),
            ..self.clone()
        }
    }

    /// A request that shows the key.
    pub fn request(&self, method: Method, route: &str) -> RequestBuilder {
        let request = self
            .client
            .request(method, format!("http://127.0.0.1:{}{route}", self.port));
        match &self.key {
            Some(key) => request.header("x-node-auth-key", key),
            None => request,
        }
    }

    /// Posts a body as JSON, whatever it holds.
    pub async fn post_text(&self, route: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .request(Method::POST, route)
            .header("content-type", "application/json")
            .body(body);
        send(request).await
    }

    /// Posts JSON.
    pub async fn post(&self, route: &str, body: &Value) -> Answer {
        self.post_text(route, body.to_string()).await
    }

    /// Posts JSON under a name of its own.
    pub async fn post_named(&self, name: &str, route: &str, body: &Value) -> Answer {
        send(
            self.request(Method::POST, route)
                .header("x-idempotency-key", name)
                .json(body),
        )
        .await
    }

    /// Gets.
    pub async fn get(&self, route: &str) -> Answer {
        send(self.request(Method::GET, route)).await
    }

    /// Posts JSON, and expects 200.
    pub async fn tell(&self, route: &str, body: &Value) -> Value {
        let answer = self.post(route, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{route}: {}", answer.body);
        answer.body
    }

    /// Beats, and tells whether a sync is wanted.
    pub async fn beat(&self, revision: i64) -> bool {
        let answer = self.tell("/node/heartbeat", &json!({"revision": revision})).await;
        answer["needSync"].as_bool().expect("needSync is a bool")
    }

    /// The revision of the config that it is given.
    pub async fn config_revision(&self) -> i64 {
        let answer = self.get("/node/config/latest").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body["revision"].as_i64().expect("a revision")
    }
}

/// Registers the node `id` of the sample catalogue from the address where that has it, so that its config stays what it is. Gives the key.
pub async fn come_in(stranger: &Caller, code: &str, id: i64) -> String {
    let body = json!({"code": code, "name": "agent", "ip": format!("192.0.2.{}", 10 + id), "port": 8000 + id, "region": "test"});
    let answer = stranger.post("/node/register", &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    assert_eq!(answer.body["nodeId"], id);
    answer.body["authKey"].as_str().expect("a key").to_owned()
}

/// Checks an error: its status, and the one shape that errors have. Gives its message.
#[track_caller]
pub fn refused(answer: &Answer, status: StatusCode, about: &str) -> String {
    assert_eq!(answer.status, status, "{about}: {}", answer.body);
    let error = answer
        .body
        .as_object()
        .unwrap_or_else(|| panic!("{about}: no JSON object"));
    let mut names: Vec<_> = error.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["error", "message", "statusCode"], "{about}");
    assert_eq!(error["statusCode"], status.as_u16(), "{about}");
    assert_eq!(
        error["error"],
        status.canonical_reason().expect("it has words"),
        "{about}"
    );
    error["message"].as_str().expect("a message is a text").to_owned()
}
