//! How many rows a second the flush's transaction takes over: batches of 50,000 usage rows in reports of 100, of 50 nodes and 10,000 subscriptions,
//! with identities, watermark and counters, committed durably (`fsync=on`). In the same run, in turns, the median of five rounds each:
//!
//! - the bare control: `COPY` in binary of the same rows into a table of the same shape and indexes, in the order in which they were sent, and in the
//!   order of the index;
//! - a naive backend: a transaction a report, an `INSERT` and an `UPDATE` a row;
//! - the roll-up of the same rows into hours and days; the same commits by the embedded store.
//!
//! `cargo bench --bench flush`. It starts a PostgreSQL of its own.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

mod naive;
mod plain;
mod rows;
mod taker;

#[path = "../stage/mod.rs"]
#[allow(dead_code, reason = "made for several benches")]
mod stage;

#[path = "../../tests/it/harness"]
#[allow(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod harness {
    pub mod patience;
    pub mod ports;
    pub mod postgres;

    pub use self::patience::eventually;
}

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tempfile::TempDir;
use vpn_core::{
    model::entry::Entry,
    store::{Store, sqlite::SqliteStore},
};

use self::{
    naive::Naive,
    plain::Order,
    rows::{NODES, PEOPLE},
    stage::Postgres,
    taker::Taker,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;

/// Batches a round, and reports a round of the naive backend, which is slow.
const BATCHES: i64 = 5;
const NAIVE_REPORTS: usize = 40;

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Commit,
    Plain,
    PlainSorted,
    Naive,
    RollUp,
    Sqlite,
}

impl Part {
    const fn name(self) -> &'static str {
        match self {
            Self::Commit => "Store::commit, PostgreSQL",
            Self::Plain => "COPY alone, as sent",
            Self::PlainSorted => "COPY alone, in the order of the index",
            Self::Naive => "a transaction a report, row by row",
            Self::RollUp => "Store::roll_up, PostgreSQL",
            Self::Sqlite => "Store::commit, SQLite",
        }
    }
}

/// Rows a second of each round.
type Figures = BTreeMap<Part, Vec<f64>>;

struct Bench {
    postgres: Postgres,
    naive: Naive,
    core: Taker,
    sqlite: Taker,
    _folder: TempDir,
}

#[tokio::main]
async fn main() {
    let mut bench = Bench::start().await;
    let mut figures = Figures::new();
    // The first round fills caches and is not counted.
    for (round, first) in (0..=ROUNDS).zip((0..).step_by(5)) {
        let batches: Vec<_> = (first..first + BATCHES).map(rows::batch).collect();
        let mut parts = [Part::Plain, Part::Commit, Part::PlainSorted, Part::Naive, Part::Sqlite];
        if round % 2 == 1 {
            parts.reverse();
        }
        for part in parts {
            for (part, rows, took) in bench.turn(part, &batches).await {
                if round > 0 {
                    figures.entry(part).or_default().push(rows / took.as_secs_f64());
                }
            }
        }
    }
    bench.check().await;
    say(figures);
}

impl Bench {
    async fn start() -> Self {
        let postgres = Postgres::start(rows::start()).await;
        stage::fill(&*postgres.store, NODES, PEOPLE).await;
        plain::prepare(&postgres.client).await;
        let naive = Naive::prepare(&postgres.client).await;
        let folder = tempfile::tempdir().expect("there is room");
        let sqlite = SqliteStore::open(&folder.path().join("core.db")).expect("there is room");
        sqlite.migrate().await.expect("a new file takes the schema");
        stage::fill(&sqlite, NODES, PEOPLE).await;
        Self {
            core: Taker::new(Arc::clone(&postgres.store) as Arc<_>),
            sqlite: Taker::new(Arc::new(sqlite)),
            naive,
            postgres,
            _folder: folder,
        }
    }

    /// One turn; gives what it measured: the rows, and how long they took.
    #[expect(clippy::cast_precision_loss, reason = "rows are far below 2^52")]
    async fn turn(&mut self, part: Part, batches: &[Vec<Entry>]) -> Vec<(Part, f64, Duration)> {
        let rows = batches.iter().map(|batch| rows::of(batch).count()).sum::<usize>() as f64;
        let client = &self.postgres.client;
        let took = match part {
            Part::Commit => {
                let committed = self.core.commit(batches).await;
                let rolled = self.core.roll_up().await;
                return vec![(part, rows, committed), (Part::RollUp, rows, rolled)];
            }
            Part::Plain => plain::copy(client, batches, Order::Sent).await,
            Part::PlainSorted => plain::copy(client, batches, Order::Index).await,
            Part::Naive => {
                let reports = &batches[0][..NAIVE_REPORTS];
                let took = self.naive.write(client, reports).await;
                return vec![(part, rows::of(reports).count() as f64, took)];
            }
            Part::Sqlite => self.sqlite.commit(batches).await,
            Part::RollUp => unreachable!("it follows a commit"),
        };
        vec![(part, rows, took)]
    }

    /// Nothing is missing.
    async fn check(&self) {
        let (here, there) = (self.core.store.totals().await, self.sqlite.store.totals().await);
        let (here, there) = (here.expect("it answers"), there.expect("it answers"));
        assert_eq!(here, there);
        assert_eq!((here.usage_up, here.usage_down), (here.days_up, here.days_down));
        assert_eq!(
            (here.usage_up, here.usage_down),
            (here.subscriptions_up, here.subscriptions_down)
        );
        let counting = "SELECT (SELECT count(*) FROM core.usage_minutes), (SELECT count(*) FROM plain.usage_minutes)";
        let row = self.postgres.client.query_one(counting, &[]).await.expect("it answers");
        assert_eq!(2 * row.get::<_, i64>(0), row.get::<_, i64>(1));
    }
}

fn say(figures: Figures) {
    let mut medians = BTreeMap::new();
    for (part, mut rates) in figures {
        rates.sort_unstable_by(f64::total_cmp);
        let (median, lowest, highest) = (rates[rates.len() / 2], rates[0], rates[rates.len() - 1]);
        println!(
            "{:<40} {median:>9.0} rows/s   ({lowest:.0} to {highest:.0})",
            part.name()
        );
        medians.insert(part, median);
    }
    for (part, goal) in [
        (Part::Plain, "goal: at least 0.7"),
        (Part::PlainSorted, ""),
        (Part::Naive, "goal: at least 25"),
    ] {
        let times = medians[&Part::Commit] / medians[&part];
        println!("Store::commit is {times:>6.2} times {:<40} {goal}", part.name());
    }
}
