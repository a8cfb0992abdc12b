//! Callers of the HTTP routes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// An answer: its status, and its body as JSON (null where it has none).
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Value,
    /// The headers.
    pub headers: reqwest::header::HeaderMap,
}

/// Sends a request and reads the answer.
pub async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("Core answers");
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.expect("the answer is whole");
    Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        headers,
    }
}

/// Registers a node; gives its id and its key.
pub async fn register(port: u16, code: &str, name: &str) -> (i64, String) {
    let body = json!({"code": code, "name": name, "ip": "127.0.0.1", "port": 8000, "region": "test"});
    let answer = node_post(port, "/node/register", None, &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let key = answer.body["authKey"].as_str().expect("a key").to_owned();
    (answer.body["nodeId"].as_i64().expect("an id"), key)
}

/// Posts JSON to a node route.
pub async fn node_post(port: u16, route: &str, key: Option<&str>, body: &Value) -> Answer {
    let mut request = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{port}{route}"))
        .json(body);
    if let Some(key) = key {
        request = request.header("x-node-auth-key", key);
    }
    send(request).await
}

/// A caller of the admin API.
#[derive(Debug, Clone)]
pub struct Admin {
    port: u16,
    token: String,
    client: reqwest::Client,
}

impl Admin {
    /// With this token.
    pub fn new(port: u16, token: &str) -> Self {
        Self {
            port,
            token: token.to_owned(),
            client: reqwest::Client::new(),
        }
    }

    /// A request with the token.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("http://127.0.0.1:{}{path}", self.port))
            .bearer_auth(&self.token)
    }

    /// Gets, and expects 200.
    pub async fn get(&self, path: &str) -> Value {
        let answer = send(self.request(Method::GET, path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer.body
    }
}
