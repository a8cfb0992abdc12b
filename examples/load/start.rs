//! A start with many nodes, and a journal that the store has not had yet.

use clap::Args;
use vpn_core::clock::Stopwatch;

use super::{
    calls::Kind,
    compare::{self, Plan as Calls},
    ground::Ground,
    process::Process,
};

/// What is measured.
#[derive(Args, Clone)]
pub struct Plan {
    /// Nodes
    #[arg(long, default_value_t = 100_000)]
    nodes: i64,
    /// How large the journal is, in MiB
    #[arg(long, default_value_t = 1_024)]
    journal: u64,
}

/// Users that every node has; the reports name others too.
const USERS: i64 = 4;

/// How many nodes report what the journal holds.
const REPORTERS: i64 = 1_000;

/// Measures, and says it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    let mut ground = Ground::start(plan.nodes, USERS).await;
    let dir = tempfile::tempdir()?;
    let core = Process::core_in(&ground, dir.path()).await?;
    ground.stop().await;
    let calls = Calls::closed(Kind::Usage, REPORTERS.min(plan.nodes), 2);
    let mut number = 0;
    while journal(dir.path())? < plan.journal << 20 {
        compare::measure(&calls, &ground, &core, &mut number).await?;
    }
    // As a machine that loses its power: nothing is brought home.
    drop(core);
    let size = journal(dir.path())? >> 20;
    ground.restart().await;
    let start = Stopwatch::start();
    let core = Process::core_in(&ground, dir.path()).await?;
    println!(
        "killed, and started again with {} nodes and {size} MiB of reports in the journal that the store has not: ready after {:.1} s, memory {} MiB at most",
        plan.nodes,
        start.elapsed().as_secs_f64(),
        core.mebibytes("VmHWM")
    );
    Ok(())
}

/// What the segments take.
fn journal(dir: &std::path::Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for generation in std::fs::read_dir(dir.join("journal"))? {
        let generation = generation?.path();
        if generation.is_dir() {
            for segment in std::fs::read_dir(generation)? {
                bytes += segment?.metadata()?.len();
            }
        }
    }
    Ok(bytes)
}
