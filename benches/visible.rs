//! How soon an acknowledged report can be read in PostgreSQL, at 100,000 rows a minute: 50 nodes send reports of 100 rows over gRPC for 30 s, and the
//! table is asked all the time for one marked row of each. From the acknowledgement until the row is seen (goal: at most 2 s).
//!
//! The bare control is a row that is inserted and committed by itself, looked for in the same way: what the look costs.
//!
//! `cargo bench --bench visible`. It starts a PostgreSQL of its own, and Core in this process.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::{collections::HashMap, sync::Arc, time::Duration};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{MissedTickBehavior, interval},
};
use tokio_postgres::Client;
use vpn_core::{
    app::Parts,
    clock::{Clock, Stopwatch},
    proto::nodeservice::ReportUsageRequest,
};

use self::{
    harness::{
        http::{register, send},
        inside::Inside,
        rpc::{Agent, entry},
    },
    stage::{Postgres, percentile},
};

#[path = "stage/mod.rs"]
#[allow(dead_code, reason = "made for several benches")]
mod stage;

#[path = "../tests/it/harness"]
#[allow(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod harness {
    pub mod core;
    pub mod http;
    pub mod inside;
    pub mod memory;
    pub mod patience;
    pub mod ports;
    pub mod postgres;
    pub mod rpc;

    pub use self::patience::eventually;
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NODES: i64 = 50;
const PEOPLE: i64 = 10_000;
const ROWS_A_REPORT: i64 = 100;
const ROWS_A_MINUTE: i64 = 100_000;
const LASTING: Duration = Duration::from_secs(30);

/// Users from this number on are marks, which nobody else has.
const MARKS: i64 = 1_000_000_000;

const INSERTS: i64 = 200;

/// Marks on their way to the one who looks, who takes all that are there every time.
const MARKS_WAITING: usize = 1_024;

/// How often the table is asked.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A mark, and since when it may be seen.
type Marked = (i64, Stopwatch);

#[tokio::main]
async fn main() {
    let postgres = Postgres::start(Clock::system().now()).await;
    stage::fill(&*postgres.store, NODES, PEOPLE).await;
    say("control, a row committed by itself", control(&postgres).await);
    let folder = tempfile::tempdir().expect("there is room");
    let parts = Parts {
        store: Some(Arc::clone(&postgres.store) as Arc<_>),
        ..Parts::default()
    };
    let core = Inside::start(folder.path(), parts).await;
    let agents = agents(&core).await;
    let (marks, marked) = channel(MARKS_WAITING);
    let seen = tokio::spawn(look(postgres.client, marked));
    let sending = (0..)
        .zip(agents)
        .map(|(place, agent)| tokio::spawn(report(place, agent, marks.clone())));
    let sending: Vec<_> = sending.collect();
    drop(marks);
    for node in sending {
        node.await.expect("every report is acknowledged");
    }
    let sent = seen.await.expect("it looks");
    core.stop().await;
    println!("{} reports of {ROWS_A_REPORT} rows in {LASTING:?}", sent.len());
    say("from acknowledged to visible (goal: max 2 s)", sent);
}

/// One agent a node.
async fn agents(core: &Inside) -> Vec<Agent> {
    let mut agents = Vec::new();
    for node in 1..=NODES {
        let request = core.admin().request(Method::POST, "/admin/registration-codes");
        let code = send(request.json(&json!({"nodeId": node}))).await;
        assert_eq!(code.status, StatusCode::CREATED, "{}", code.body);
        let code = code.body["code"].as_str().expect("it has a code").to_owned();
        let (_, key) = register(core.ports.http, &code, "any").await;
        agents.push(Agent::connect(core.ports.grpc, &key));
    }
    agents
}

/// Sends the reports of one node, as many as are its part, each with a mark.
async fn report(place: i64, agent: Agent, marks: Sender<Marked>) {
    let every = Duration::from_mins(1) * u32::try_from(NODES * ROWS_A_REPORT).expect("it is small")
        / u32::try_from(ROWS_A_MINUTE).expect("it is small");
    // Nodes have no common beat.
    tokio::time::sleep(every * u32::try_from(place).expect("it is small") / u32::try_from(NODES).expect("it is small"))
        .await;
    let (mut ticks, watch) = (interval(every), Stopwatch::start());
    let mut client = agent.client.clone();
    for turn in 0.. {
        ticks.tick().await;
        if watch.elapsed() >= LASTING {
            return;
        }
        let mark = MARKS + turn * NODES + place;
        let users = (1..ROWS_A_REPORT).map(|row| (place * 1_009 + (turn * ROWS_A_REPORT + row) * 7_919) % PEOPLE + 1);
        let entries = users
            .chain([mark])
            .map(|user| entry(user, place + 1, 1_000, 50_000))
            .collect();
        let request = agent.request(ReportUsageRequest {
            entries,
            ..ReportUsageRequest::default()
        });
        client.report_usage(request).await.expect("it is acknowledged");
        marks.send((mark, Stopwatch::start())).await.expect("somebody looks");
    }
}

/// Looks for the marks until all were seen; gives how long each took.
async fn look(client: Client, mut marked: Receiver<Marked>) -> Vec<Duration> {
    let sql = "SELECT user_id FROM core.usage_minutes WHERE user_id = ANY($1)";
    let sql = client.prepare(sql).await.expect("the table is there");
    let (mut waiting, mut took) = (HashMap::new(), Vec::new());
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !(waiting.is_empty() && marked.is_closed() && marked.is_empty()) {
        ticks.tick().await;
        while let Ok((mark, since)) = marked.try_recv() {
            waiting.insert(mark, since);
        }
        let marks: Vec<i64> = waiting.keys().copied().collect();
        for row in client.query(&sql, &[&marks]).await.expect("it answers") {
            took.extend(waiting.remove(&row.get::<_, i64>(0)).map(Stopwatch::elapsed));
        }
    }
    took
}

/// Rows that are committed one by one, looked for in the same way.
async fn control(postgres: &Postgres) -> Vec<Duration> {
    let (marks, marked) = channel(MARKS_WAITING);
    let looking = Box::pin(look(postgres.beside().await, marked));
    let inserting = async {
        let sql = "INSERT INTO core.usage_minutes (node_id, user_id, node_protocol_id, minute, bytes_up, bytes_down) \
                   VALUES (1, $1, 1, now(), 0, 0)";
        for mark in 0..INSERTS {
            let inserted = postgres.client.execute(sql, &[&(MARKS - 1 - mark)]).await;
            inserted.expect("it takes a row");
            let marked = (MARKS - 1 - mark, Stopwatch::start());
            marks.send(marked).await.expect("somebody looks");
        }
        drop(marks);
    };
    tokio::join!(looking, inserting).0
}

fn say(what: &str, mut times: Vec<Duration>) {
    println!(
        "{what:<48} p50 {:>9.3?}  p99 {:>9.3?}  max {:>9.3?}",
        percentile(&mut times, 50),
        percentile(&mut times, 99),
        percentile(&mut times, 100)
    );
}
