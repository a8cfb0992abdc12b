//! Codes: who wins a race, and what becomes of an answer that never arrived.

use std::io::{Read as _, Write as _};

use futures_util::future::join_all;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::fleet::{self, Place};
use crate::harness::{
    core::Core,
    eventually,
    http::{Answer, node_post},
};

fn identity(code: &str, name: &str) -> Value {
    json!({"code": code, "name": name, "ip": "192.0.2.5", "port": 8000, "region": "de"})
}

async fn register(place: Place, code: &str, name: &str) -> Answer {
    node_post(place.http, "/node/register", None, &identity(code, name)).await
}

/// The names of all nodes, newest first.
async fn names(place: Place) -> Vec<String> {
    let nodes = place.admin_api().get("/admin/nodes?limit=1000").await;
    let name = |node: &Value| node["name"].as_str().unwrap().to_owned();
    nodes["items"].as_array().unwrap().iter().map(name).collect()
}

async fn beats(place: Place, key: &str) -> StatusCode {
    node_post(place.http, "/node/heartbeat", Some(key), &json!({}))
        .await
        .status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_hundred_racers_wins_a_code() {
    let dir = fleet::dir(0);
    let core = Core::start_with(dir.path(), &[("LIMITS", "off")]).await;
    let place = Place::from(core.ports);
    for round in 1..=10_usize {
        let code = place.code(&json!({})).await;
        let racers: Vec<String> = (0..100).map(|racer| format!("racer-{round}-{racer}")).collect();
        let answers = join_all(racers.iter().map(|name| register(place, &code, name))).await;
        let with = |status: StatusCode| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!(
            (with(StatusCode::CREATED), with(StatusCode::UNAUTHORIZED)),
            (1, 99),
            "round {round}"
        );
        let winner = answers
            .iter()
            .position(|answer| answer.status == StatusCode::CREATED)
            .unwrap();
        let names = names(place).await;
        assert_eq!(names.len(), round);
        assert_eq!(names[0], racers[winner]);
        let key = answers[winner].body["authKey"].as_str().unwrap();
        assert_eq!(beats(place, key).await, StatusCode::OK);
    }
    core.stop().await;
}

/// Sends the call as it is on the wire; gives the connection with the answer not yet read.
fn ask(place: Place, code: &str, name: &str) -> std::net::TcpStream {
    let body = identity(code, name).to_string();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", place.http)).unwrap();
    let head = format!(
        "POST /node/register HTTP/1.1\r\nhost: core\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    stream
}

/// Registers again until it works, and checks that it did so as a lost answer should.
async fn mend(place: Place, code: &str, name: &str) -> String {
    let answer = register(place, code, name).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let there = names(place).await;
    assert_eq!(
        there.iter().filter(|other| *other == name).count(),
        1,
        "one node of the name"
    );
    let key = answer.body["authKey"].as_str().unwrap().to_owned();
    assert_eq!(beats(place, &key).await, StatusCode::OK);
    assert_eq!(
        register(place, code, name).await.status,
        StatusCode::UNAUTHORIZED,
        "the key was used: the code is over"
    );
    key
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_mended_by_the_retry() {
    let dir = fleet::dir(0);
    let core = Core::start_with(dir.path(), &[("LIMITS", "off")]).await;
    let place = Place::from(core.ports);
    for round in 0..20 {
        let code = place.code(&json!({})).await;
        let name = format!("lost-{round}");
        let mut stream = ask(place, &code, &name);
        // Dropped when the answer has begun to arrive, or at once: its key is known to nobody. The retry comes after the call that it
        // repeats, as with an agent that waits: one that overtakes it may see its own key die with the late one.
        if round % 2 == 0 {
            stream.read_exact(&mut [0]).unwrap();
            drop(stream);
        } else {
            drop(stream);
            eventually("the node without a key", || async {
                names(place).await.contains(&name).then_some(())
            })
            .await;
        }
        mend(place, &code, &name).await;
    }
    assert_eq!(names(place).await.len(), 20);
    core.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_a_registration_is_mended_by_the_retry() {
    let mut random = StdRng::seed_from_u64(7);
    let dir = fleet::dir(0);
    let mut core = Core::start_with(dir.path(), &[("LIMITS", "off")]).await;
    for round in 0..12 {
        let code = Place::from(core.ports).code(&json!({})).await;
        let name = format!("killed-{round}");
        let mut stream = ask(core.ports.into(), &code, &name);
        match round % 3 {
            // Core is done, and the answer is on its way.
            0 => stream.read_exact(&mut [0]).unwrap(),
            // Core is somewhere between the first byte and the answer: other calls are answered meanwhile.
            1 => {
                for _ in 0..random.random_range(0..4) {
                    beats(core.ports.into(), "no key").await;
                }
            }
            _ => {}
        }
        core.kill();
        core = Core::start_with(dir.path(), &[("LIMITS", "off")]).await;
        let key = mend(core.ports.into(), &code, &name).await;
        assert_eq!(
            names(core.ports.into()).await.len(),
            round + 1,
            "none that nobody asked for"
        );
        assert_eq!(beats(core.ports.into(), &key).await, StatusCode::OK);
    }
    core.stop().await;
}
