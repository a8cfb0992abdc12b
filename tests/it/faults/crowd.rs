//! Agents that report all the time, and go on until what they sent is acknowledged, whatever becomes of Core.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tonic::Status;
use vpn_core::proto::nodeservice::HeartbeatRequest;

use super::{
    fleet::Place,
    ledger::{Line, Refusal, Report, refusal},
};

/// An agent waits so long for an answer.
const DEADLINE: Duration = Duration::from_secs(20);

/// So many reports an agent has under way.
pub const UNDER_WAY: i64 = 3;

/// What the agents and the one who makes trouble share.
#[derive(Default)]
struct Field {
    acknowledged: AtomicU64,
    failed: AtomicU64,
    strangers: AtomicU64,
    over: AtomicBool,
}

/// Agents of the nodes 1 to n.
pub struct Crowd {
    field: Arc<Field>,
    acknowledgements: Arc<Semaphore>,
    place: watch::Sender<Option<Place>>,
    agents: Vec<JoinHandle<Vec<Report>>>,
}

/// What became of it all.
pub struct Ledger {
    /// What was acknowledged; nothing else was sent.
    pub reports: Vec<Report>,
    /// Calls that were not answered well: reports (which were sent again), heartbeats, configs.
    pub failed: u64,
    /// Those of them that were refused for the key.
    pub strangers: u64,
}

impl Crowd {
    /// Gives so many nodes keys and starts their agents, each with a round of reports, a heartbeat and a config at most every `pace`.
    pub async fn new(place: Place, nodes: i64, pace: Duration) -> Self {
        let field = Arc::new(Field::default());
        let acknowledgements = Arc::new(Semaphore::new(0));
        let (places, agents_see) = watch::channel(Some(place));
        let mut agents = Vec::new();
        for node in 1..=nodes {
            let agent = Agent {
                node,
                key: place.enroll(node).await,
                pace,
                field: Arc::clone(&field),
                acknowledgements: Arc::clone(&acknowledgements),
                core: agents_see.clone(),
            };
            agents.push(tokio::spawn(agent.live()));
        }
        Self {
            field,
            acknowledgements,
            place: places,
            agents,
        }
    }

    /// Core is here now; or nowhere, and the agents wait.
    pub fn turn_to(&self, place: Option<Place>) {
        self.place.send_replace(place);
    }

    /// Waits for so many more acknowledged reports.
    pub async fn acknowledge(&self, more: u32) {
        self.acknowledgements.forget_permits(usize::MAX);
        let enough = self.acknowledgements.acquire_many(more).await;
        enough.expect("nobody closes it").forget();
    }

    /// Ends it; each agent sees its last round through.
    pub async fn finish(self) -> Ledger {
        self.field.over.store(true, SeqCst);
        let reports: Vec<Report> = join_all(self.agents)
            .await
            .into_iter()
            .flat_map(Result::unwrap)
            .collect();
        assert_eq!(self.field.acknowledged.load(SeqCst), reports.len() as u64);
        Ledger {
            reports,
            failed: self.field.failed.load(SeqCst),
            strangers: self.field.strangers.load(SeqCst),
        }
    }
}

struct Agent {
    node: i64,
    key: String,
    pace: Duration,
    field: Arc<Field>,
    acknowledgements: Arc<Semaphore>,
    core: watch::Receiver<Option<Place>>,
}

impl Agent {
    /// Reports until it is over; gives all that it sent, and all of that was acknowledged.
    async fn live(mut self) -> Vec<Report> {
        let mut ledger = Vec::new();
        let mut line: Option<Line> = None;
        let mut turns = (!self.pace.is_zero()).then(|| interval(self.pace));
        if let Some(turns) = &mut turns {
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        for round in 0.. {
            if let Some(turns) = &mut turns {
                turns.tick().await;
            }
            if self.field.over.load(SeqCst) {
                break;
            }
            let reports: Vec<_> = (0..UNDER_WAY)
                .map(|number| Report::new(self.node, round * UNDER_WAY + number))
                .collect();
            let mut left = reports.clone();
            while !left.is_empty() {
                let place = *self.core.wait_for(Option::is_some).await.unwrap();
                let place = place.unwrap();
                if line.as_ref().is_none_or(|line| line.place != place) {
                    line = Some(Line::new(place, &self.key).await);
                }
                let open = line.as_ref().unwrap();
                let sent = join_all(left.iter().map(|report| self.send(open, report))).await;
                left = left
                    .into_iter()
                    .zip(sent)
                    .filter(|(_, sent)| !sent)
                    .map(|(report, _)| report)
                    .collect();
                if !left.is_empty() {
                    // As an agent would: what did not answer is not called again on the same connection.
                    line = None;
                }
            }
            self.ask(line.as_ref().unwrap()).await;
            ledger.extend(reports);
        }
        ledger
    }

    async fn send(&self, line: &Line, report: &Report) -> bool {
        let late = |_| Err(Refusal::Lost("no answer in time".to_owned()));
        let sent = timeout(DEADLINE, line.send(report)).await.unwrap_or_else(late);
        if sent.is_ok() {
            self.field.acknowledged.fetch_add(1, SeqCst);
            self.acknowledgements.add_permits(1);
        }
        self.note(&sent)
    }

    /// What a node asks beside its reports, over either transport.
    async fn ask(&self, line: &Line) {
        let mut client = line.rpc.client.clone();
        let beat = timeout(
            DEADLINE,
            client.heartbeat(line.rpc.request(HeartbeatRequest::default())),
        )
        .await;
        let beat = beat.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        self.note(&beat.map(|_| ()).map_err(|status| refusal(&status)));
        let config = line
            .http(Method::GET, "/node/config/latest")
            .timeout(DEADLINE)
            .send()
            .await;
        self.note(&match config {
            Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
            Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => Err(Refusal::Stranger),
            Ok(answer) => Err(Refusal::Lost(answer.status().to_string())),
            Err(error) => Err(Refusal::Lost(error.to_string())),
        });
    }

    fn note(&self, outcome: &Result<(), Refusal>) -> bool {
        if let Err(refused) = outcome {
            self.field.failed.fetch_add(1, SeqCst);
            if *refused == Refusal::Stranger {
                self.field.strangers.fetch_add(1, SeqCst);
            }
        }
        outcome.is_ok()
    }
}
