//! Core is told to stop.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use vpn_core::app::Parts;

use super::{
    fleet::{self, Place},
    ledger::{Line, Refusal, Report},
    store::{FaultyStore, Mood},
    sums::Sums,
};
use crate::harness::{core::Core, eventually, inside::Inside};

/// What the contract gives a stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Reports until Core is gone; gives what was acknowledged and the one report that was not.
async fn report_until_the_end(line: Line, first: i64) -> (Vec<Report>, Report) {
    let mut acknowledged = Vec::new();
    for number in first.. {
        let report = Report::new(1, number);
        match line.send(&report).await {
            Ok(()) => acknowledged.push(report),
            Err(refused) => {
                assert_ne!(refused, Refusal::Stranger);
                return (acknowledged, report);
            }
        }
    }
    unreachable!("Core ends before the numbers do")
}

/// Has Core stop in the middle of reports; gives the key and what was acknowledged.
async fn stop_under_load(dir: &std::path::Path, signals: &[&str]) -> (String, Vec<Report>, Vec<Report>) {
    let core = Core::start(dir).await;
    let key = Place::from(core.ports).enroll(1).await;
    let agents: Vec<_> = (0..4)
        .map(|agent| {
            let (ports, key) = (core.ports, key.clone());
            tokio::spawn(async move { report_until_the_end(Line::new(ports, &key).await, agent * 1_000_000).await })
        })
        .collect();
    eventually("reports in the store", || {
        std::future::ready((!Sums::stored(dir).usage.is_empty()).then_some(()))
    })
    .await;
    for signal in signals {
        core.signal(signal);
    }
    let status = tokio::time::timeout(STOP_WITHIN, core.wait()).await;
    assert!(status.expect("the stop takes too long").success());
    let (mut acknowledged, mut unanswered) = (Vec::new(), Vec::new());
    for agent in agents {
        let (known, unknown) = agent.await.unwrap();
        acknowledged.extend(known);
        unanswered.push(unknown);
    }
    (key, acknowledged, unanswered)
}

async fn everything_acknowledged_is_stored(signal: &str) {
    let dir = fleet::dir(1);
    let (_, acknowledged, unanswered) = stop_under_load(dir.path(), &[signal]).await;
    assert!(!dir.path().join("ports.json").exists());
    let stored = Sums::stored(dir.path());
    // The report that was under way may be there although its answer was cut, but whole.
    let cases = (0..1 << unanswered.len()).map(|case: usize| {
        let there = unanswered
            .iter()
            .enumerate()
            .filter(move |(index, _)| case & (1 << index) != 0);
        Sums::of(acknowledged.iter().chain(there.map(|(_, report)| report)))
    });
    assert!(
        cases.into_iter().any(|case| case == stored),
        "{} reports were acknowledged",
        acknowledged.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_brings_everything_home() {
    everything_acknowledged_is_stored("TERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_brings_everything_home() {
    everything_acknowledged_is_stored("INT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_loses_nothing() {
    let dir = fleet::dir(1);
    let (key, acknowledged, unanswered) = stop_under_load(dir.path(), &["TERM", "INT", "TERM"]).await;
    let core = Core::start(dir.path()).await;
    Line::new(core.ports, &key).await.send_all(&unanswered).await;
    core.stop().await;
    assert_eq!(
        Sums::stored(dir.path()),
        Sums::of(acknowledged.iter().chain(&unanswered))
    );
}

/// A usage report of which the last byte is still to come.
fn begin_report(place: Place, key: &str) -> (TcpStream, u8) {
    let body = json!({"entries": [{
        "userId": 1, "subscriptionId": 1, "nodeProtocolId": fleet::protocol(1), "bytesUp": 5, "bytesDown": 7,
        "recordedAt": vpn_core::clock::Clock::system().now().to_string(),
    }]})
    .to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", place.http)).unwrap();
    let head = format!(
        "POST /node/usage HTTP/1.1\r\nhost: core\r\nx-node-auth-key: {key}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body.as_bytes()[..body.len() - 1]).unwrap();
    (stream, body.as_bytes()[body.len() - 1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_under_way_is_finished_while_no_new_one_is_taken() {
    let dir = fleet::dir(1);
    let core = Core::start(dir.path()).await;
    let place = Place::from(core.ports);
    let key = place.enroll(1).await;
    let (mut report, last) = begin_report(place, &key);
    // The workers take what comes in order: the report has begun when a later call on a connection of its own is answered by each.
    for _ in 0..8 {
        Line::new(place, &key).await.send_all(&[]).await;
        place.node(1).await;
        let beat = json!({});
        crate::harness::http::node_post(place.http, "/node/heartbeat", Some(&key), &beat).await;
    }
    core.signal("TERM");
    let ports = dir.path().join("ports.json");
    eventually("ports.json is gone", || {
        std::future::ready((!ports.exists()).then_some(()))
    })
    .await;
    let url = format!("http://127.0.0.1:{}/readyz", place.http);
    eventually("it is not ready, or takes no calls", || {
        let asked = reqwest::Client::new().get(&url).send();
        async move {
            match asked.await {
                Ok(answer) => (answer.status() == 503).then_some(()),
                Err(_) => Some(()),
            }
        }
    })
    .await;
    report.write_all(&[last]).unwrap();
    let mut answer = String::new();
    report.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let status = tokio::time::timeout(STOP_WITHIN, core.wait()).await;
    assert!(status.expect("the stop takes too long").success());
    assert_eq!(Sums::stored(dir.path()).subscriptions[&1], (5, 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_does_not_hold_up_the_stop() {
    let dir = fleet::dir(1);
    let store = FaultyStore::open(&dir.path().join("core.db"), Mood::Well);
    let core = Inside::start(
        dir.path(),
        Parts {
            store: Some(Arc::clone(&store) as Arc<_>),
            ..Parts::default()
        },
    )
    .await;
    let place = Place::from(core.ports);
    let key = place.enroll(1).await;
    store.feel(Mood::Hanging);
    let reports: Vec<_> = (0..9).map(|number| Report::new(1, number)).collect();
    Line::new(place, &key).await.send_all(&reports).await;
    let stopped = tokio::time::timeout(STOP_WITHIN, core.stop()).await;
    stopped.expect("the stop waits for the store");
    assert_eq!(
        Sums::stored(dir.path()),
        Sums::default(),
        "the test shows nothing otherwise"
    );
    let core = Core::start(dir.path()).await;
    core.stop().await;
    assert_eq!(Sums::stored(dir.path()), Sums::of(&reports));
}
