//! kill -9, again and again, while agents report.

use std::{
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::join_all;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::{Semaphore, watch};
use vpn_core::clock::Stopwatch;

use super::{
    fleet::{self, Place},
    ledger::{Line, Refusal, Report},
    sums::Sums,
};
use crate::harness::{
    core::{Core, command},
    eventually,
};

const AGENTS: i64 = 8;

/// So many reports an agent has under way.
const UNDER_WAY: i64 = 3;

/// At most so many acknowledgements between two kills; what comes first in a run of Core (its first segment, its first flush) and
/// what comes later are both met.
const ACKNOWLEDGED_MAX: u32 = 150;

/// What the agents and the one who kills share.
#[derive(Default)]
struct Field {
    acknowledged: AtomicU64,
    unanswered: AtomicU64,
    strangers: AtomicU64,
    over: AtomicBool,
}

struct Agent {
    node: i64,
    key: String,
    field: Arc<Field>,
    acknowledgements: Arc<Semaphore>,
    core: watch::Receiver<Option<Place>>,
}

impl Agent {
    /// Reports until it is over; gives all that it sent, and all of that was acknowledged.
    async fn live(mut self) -> Vec<Report> {
        let mut ledger = Vec::new();
        let mut line: Option<Line> = None;
        for round in 0.. {
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
                let line = line.as_ref().unwrap();
                let sent = join_all(left.iter().map(|report| self.send(line, report))).await;
                left = left
                    .into_iter()
                    .zip(sent)
                    .filter(|(_, sent)| !sent)
                    .map(|(report, _)| report)
                    .collect();
            }
            ledger.extend(reports);
        }
        ledger
    }

    async fn send(&self, line: &Line, report: &Report) -> bool {
        match line.send(report).await {
            Ok(()) => {
                self.field.acknowledged.fetch_add(1, SeqCst);
                self.acknowledgements.add_permits(1);
                return true;
            }
            Err(Refusal::Stranger) => self.field.strangers.fetch_add(1, SeqCst),
            Err(Refusal::Later | Refusal::Lost(_)) => self.field.unanswered.fetch_add(1, SeqCst),
        };
        false
    }
}

/// Starts Core and kills it in the middle of its start.
async fn stillborn(dir: &Path) {
    let mut child = command(dir)
        .arg("serve")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ports = dir.join("ports.json");
    eventually("a start that has begun", || {
        std::future::ready((!ports.exists()).then_some(()))
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_counts_once_through_every_kill() {
    let kills: u32 = std::env::var("CORE_TEST_KILLS").map_or(50, |count| count.parse().unwrap());
    let mut random = StdRng::seed_from_u64(0x00c0_ffee);
    let whole = Stopwatch::start();
    let dir = fleet::dir(AGENTS);
    let mut core = Core::start(dir.path()).await;
    let field = Arc::new(Field::default());
    let acknowledgements = Arc::new(Semaphore::new(0));
    let (place, agents_see) = watch::channel(None);
    let mut agents = Vec::new();
    for node in 1..=AGENTS {
        let agent = Agent {
            node,
            key: Place::from(core.ports).enroll(node).await,
            field: Arc::clone(&field),
            acknowledgements: Arc::clone(&acknowledgements),
            core: agents_see.clone(),
        };
        agents.push(tokio::spawn(agent.live()));
    }

    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        place.send_replace(Some(core.ports.into()));
        acknowledgements.forget_permits(usize::MAX);
        let enough = random.random_range(0..=ACKNOWLEDGED_MAX);
        acknowledgements.acquire_many(enough).await.unwrap().forget();
        core.kill();
        place.send_replace(None);
        if kill % 5 == 4 {
            stillborn(dir.path()).await;
        }
        let start = Stopwatch::start();
        core = Core::start(dir.path()).await;
        slowest = slowest.max(start.elapsed());
    }
    field.over.store(true, SeqCst);
    place.send_replace(Some(core.ports.into()));
    let ledger: Vec<Report> = join_all(agents).await.into_iter().flat_map(Result::unwrap).collect();
    core.stop().await;

    assert_eq!(field.strangers.load(SeqCst), 0, "a good key was refused");
    assert_eq!(field.acknowledged.load(SeqCst), ledger.len() as u64);
    let (sent, stored) = (Sums::of(&ledger), Sums::stored(dir.path()));
    assert_eq!(stored, sent);
    eprintln!(
        "{kills} kills in {:?}: {} reports of {} rows, {} bytes, all once; {} sent again; the slowest start {slowest:?}",
        whole.elapsed(),
        ledger.len(),
        ledger.iter().map(Report::rows).sum::<usize>(),
        sent.bytes(),
        field.unanswered.load(SeqCst),
    );
    assert!(
        kills < 10 || field.unanswered.load(SeqCst) > 0,
        "no kill met a report under way"
    );
}
