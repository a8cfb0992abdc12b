//! `GET /admin/events`: what happens, to whoever reads along.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    PATIENCE,
    core::run,
    http::{Admin, send},
};

use super::{
    caller::refused,
    world::{World, usage_entry},
};

const EVENTS: &str = "/admin/events";

/// A reader of one stream.
struct Reader {
    response: Response,
    text: String,
}

/// An event as it came.
#[derive(Debug, Default)]
struct Told {
    id: Option<String>,
    kind: Option<String>,
    data: Value,
}

impl Reader {
    async fn open(admin: &Admin, query: &str, last: Option<&str>) -> Self {
        let mut request = admin.request(Method::GET, &format!("{EVENTS}{query}"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.expect("Core answers");
        assert_eq!(response.status(), StatusCode::OK);
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next block that is more than a comment; none at the end.
    async fn block(&mut self) -> Option<Told> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let told = told(self.text.trim_end());
                self.text = rest;
                if told.id.is_some() || told.kind.is_some() {
                    return Some(told);
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("something comes").expect("the stream is whole")?;
            self.text += std::str::from_utf8(&chunk).expect("it is text");
        }
    }

    async fn next(&mut self) -> Told {
        self.block().await.expect("the stream goes on")
    }

    /// Reads what is left; it must end.
    async fn end(mut self) {
        while self.block().await.is_some() {}
    }
}

fn told(block: &str) -> Told {
    let mut told = Told::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => told.id = Some(id.to_owned()),
            Some(("event", kind)) => told.kind = Some(kind.to_owned()),
            Some(("data", data)) => told.data = serde_json::from_str(data).expect("data is JSON"),
            Some(("retry", millis)) => assert_eq!(millis, "2000"),
            Some(("", _)) => {}
            _ => panic!("what is {line:?}?"),
        }
    }
    told
}

#[tokio::test]
async fn what_happens_is_told_and_can_be_read_again() {
    let mut world = World::new().await;
    let admin = world.admin();
    let mut reader = Reader::open(&admin, "", None).await;
    let header = |name: &str| {
        reader
            .response
            .headers()
            .get(name)
            .map(|it| it.to_str().unwrap_or_default().to_owned())
    };
    assert_eq!(header("content-type").as_deref(), Some("text/event-stream"));
    assert_eq!(header("cache-control").as_deref(), Some("no-store"));
    assert_eq!(header("x-accel-buffering").as_deref(), Some("no"));
    let begin = reader.next().await;
    assert_eq!(begin.kind, None);
    let node = world.caller(1).await;
    node.beat(0).await;
    let online = reader.next().await;
    assert_eq!(online.kind.as_deref(), Some("node.online"));
    assert_eq!(online.data["data"], json!({"nodeId": 1}));
    assert_eq!(online.data["id"].as_str(), online.id.as_deref());
    let revision = node.config_revision().await;
    node.tell("/node/config/applied", &json!({"revision": revision})).await;
    let synced = reader.next().await;
    assert_eq!(synced.kind.as_deref(), Some("node.synced"));
    assert_eq!(synced.data["data"], json!({"nodeId": 1, "revision": revision}));
    assert!(synced.data["at"].is_string() && synced.data["type"] == "node.synced");

    let begin = begin.id.expect("a place to go on from");
    let mut again = Reader::open(&admin, "", Some(&begin)).await;
    assert_eq!(again.next().await.id.as_deref(), Some(begin.as_str()));
    assert_eq!(
        (again.next().await.id, again.next().await.id),
        (online.id.clone(), synced.id.clone())
    );
    let after = online.id.expect("an id");
    let mut rest = Reader::open(&admin, &format!("?after={after}"), None).await;
    rest.next().await;
    assert_eq!(rest.next().await.id, synced.id);
    let mut only = Reader::open(&admin, &format!("?after={begin}&type=node.synced,node.error"), None).await;
    only.next().await;
    assert_eq!(only.next().await.id, synced.id);

    // From before this run of Core: nobody knows what is missing.
    let mut old = Reader::open(&admin, "", Some("1000-0")).await;
    let missed = [old.next().await, old.next().await]
        .into_iter()
        .find(|it| it.kind.as_deref() == Some("missed"));
    let missed = missed.expect("it is said");
    assert_eq!((missed.id, missed.data.get("after").is_some()), (None, true));
    world.end();
}

#[tokio::test]
async fn what_can_not_be_read_is_refused() {
    let world = World::new().await;
    let admin = world.admin();
    for query in ["?after=soon", "?after=5", "?type=node.gone", "?type=node.online,"] {
        refused(
            &send(admin.request(Method::GET, &format!("{EVENTS}{query}"))).await,
            StatusCode::BAD_REQUEST,
            query,
        );
    }
    let bad = admin.request(Method::GET, EVENTS).header("Last-Event-ID", "x-1");
    let why = refused(&send(bad).await, StatusCode::BAD_REQUEST, "header");
    assert!(why.contains("Last-Event-ID"), "{why}");
    let stranger = Admin::new(world.core.ports.admin, "nobody-at-all-here");
    refused(
        &send(stranger.request(Method::GET, EVENTS)).await,
        StatusCode::UNAUTHORIZED,
        "no token",
    );
    world.end();
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let mut world = World::new().await;
    let token = run(world.dir(), &["token", "new", "--role", "viewer", "--name", "eyes"]);
    let token = token.trim_end();
    world.keep_secret(token);
    let mut reader = Reader::open(&Admin::new(world.core.ports.admin, token), "", None).await;
    reader.next().await;
    let tokens = world.admin().get("/admin/tokens").await;
    let id = tokens["items"][0]["id"].as_i64().expect("an id");
    let gone = send(world.admin().request(Method::DELETE, &format!("/admin/tokens/{id}"))).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    reader.end().await;
    world.end();
}

#[tokio::test]
async fn a_stop_ends_the_streams_and_does_not_wait_for_them() {
    let world = World::new().await;
    let mut readers = Vec::new();
    for _ in 0..64 {
        let mut reader = Reader::open(&world.admin(), "", None).await;
        reader.next().await;
        readers.push(reader);
    }
    let full = send(world.admin().request(Method::GET, EVENTS)).await;
    refused(&full, StatusCode::SERVICE_UNAVAILABLE, "one too many");
    assert!(full.headers.contains_key("retry-after"));
    world.core.signal("TERM");
    for reader in readers {
        reader.end().await;
    }
    let log = world.dir().join("log");
    let World { core, .. } = world;
    assert!(core.wait().await.success());
    let log = std::fs::read_to_string(log).unwrap_or_default();
    assert!(!log.contains("still in flight"), "{log}");
}

#[tokio::test]
async fn suspect_bytes_are_told_once_a_report_and_subscription() {
    let mut world = World::new().await;
    let node = world.caller(1).await;
    let admin = world.admin();
    let mut reader = Reader::open(&admin, "?type=usage.suspect", None).await;
    reader.next().await;
    let others = |subscription: i64, bytes: i64| {
        let mut entry = usage_entry(1, bytes, bytes);
        entry["userId"] = json!(987_654);
        entry["subscriptionId"] = json!(subscription);
        entry
    };
    let entries = [others(1, 10), usage_entry(1, 5, 5), others(2, 1), others(1, 100)];
    let answer = node.tell("/node/usage", &json!({"entries": entries})).await;
    assert_eq!(answer["ok"], true);
    for (subscription, bytes) in [(1, 220), (2, 2)] {
        let told = reader.next().await;
        assert_eq!(told.kind.as_deref(), Some("usage.suspect"));
        assert_eq!(
            told.data["data"],
            json!({"nodeId": 1, "subscriptionId": subscription, "bytes": bytes})
        );
    }
    world.end();
}
