//! What happens is on the stream: in order, each at least once, also what happened while Redis was away.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    crew::{folder, start},
    look::{Entry, Look},
};
use crate::{
    faults::fleet::Place,
    harness::{
        eventually,
        http::node_post,
        proxy::{Fault, Proxy},
        redis::{Server, url},
    },
    postgres::figures::figure,
};

/// The messages of the errors on the stream, in their order.
fn messages(stream: &[Entry]) -> Vec<String> {
    let errors = stream.iter().filter(|entry| entry["type"] == "node.error");
    errors
        .map(|entry| {
            let data: Value = serde_json::from_str(&entry["data"]).unwrap();
            data["message"].as_str().unwrap().to_owned()
        })
        .collect()
}

/// What came, each once, at the place where it came first.
fn first_of_each<T: Clone + PartialEq>(all: &[T]) -> Vec<T> {
    let mut firsts: Vec<T> = Vec::new();
    for it in all {
        if !firsts.contains(it) {
            firsts.push(it.clone());
        }
    }
    firsts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_over_an_outage() {
    let seconds = figure("CORE_TEST_REDIS_AWAY_SECONDS", 5, 120);
    let (redis, dir) = (Server::start().await, folder(1));
    let proxy = Proxy::before(redis.port()).await;
    let core = start(dir.path(), &url(proxy.port())).await;
    let key = Place::from(core.ports).enroll(1).await;
    let mut sent = Vec::new();
    for (round, fault) in [Fault::Pass, Fault::Cut, Fault::Pass, Fault::BlackHole, Fault::Pass]
        .into_iter()
        .enumerate()
    {
        proxy.set(fault).await;
        for number in 0..20 {
            let message = format!("error {round}.{number}");
            let answer = node_post(core.ports.http, "/node/error", Some(&key), &json!({"message": message})).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            sent.push(message);
        }
        if fault != Fault::Pass {
            tokio::time::sleep(Duration::from_secs(seconds.into())).await;
        }
    }
    let look = Look::new(&redis.url()).await;
    let stream = eventually("all errors on the stream", || async {
        let stream = look.stream().await.unwrap_or_default();
        (first_of_each(&messages(&stream)).len() == sent.len()).then_some(stream)
    })
    .await;
    assert_eq!(first_of_each(&messages(&stream)), sent);
    for entry in &stream {
        let mut names: Vec<&str> = entry.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["at", "data", "id", "type"]);
        assert!(
            vpn_core::model::Time::parse_rfc3339(&entry["at"]).is_some(),
            "{entry:?}"
        );
    }
    let ids: Vec<vpn_core::model::event::EventId> = stream.iter().map(|entry| entry["id"].parse().unwrap()).collect();
    assert!(first_of_each(&ids).is_sorted(), "{ids:?}");
    core.stop().await;
}
