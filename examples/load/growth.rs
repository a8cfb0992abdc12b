//! How a call's cost, memory and rest depend on how many nodes are known. The same Core thrice, each with a database of its own; they are measured in
//! turns.

use std::{collections::BTreeMap, time::Duration};

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
    /// How many nodes are known, the fewest first
    #[arg(long, value_delimiter = ',', default_values_t = [100, 10_000, 100_000])]
    nodes: Vec<i64>,
    /// Users, each on every node
    #[arg(long, default_value_t = 4)]
    users: i64,
    /// Rounds; the median is said
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds a round and server
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Seconds for which nobody calls, to count what wakes up
    #[arg(long, default_value_t = 20)]
    rest: u64,
}

struct World {
    ground: Ground,
    core: Process,
}

/// Measures, and says it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    let mut worlds = Vec::new();
    println!("| known nodes | start | memory | wake-ups a second at rest |\n|---|---|---|---|");
    for nodes in &plan.nodes {
        let ground = Ground::start(*nodes, plan.users).await;
        let start = Stopwatch::start();
        let core = Process::core(&ground).await?;
        let took = start.elapsed();
        // What a start leaves to do is done by then.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = core.switches()?;
        tokio::time::sleep(Duration::from_secs(plan.rest)).await;
        let switches = core.switches_since(&before)? / plan.rest;
        let memory = core.mebibytes("VmRSS");
        println!("| {nodes} | {:.1} s | {memory} MiB | {switches} |", took.as_secs_f64());
        worlds.push(World { ground, core });
    }
    let few = plan.nodes.iter().copied().min().unwrap_or(1);
    say(plan, &format!("the same {few} nodes call"), &worlds, |_| few).await?;
    say(plan, "all nodes call, in turn", &worlds, Ground::nodes).await
}

/// Heartbeats of so many of the nodes, in a closed loop.
async fn say(plan: &Plan, who: &str, worlds: &[World], callers: impl Fn(&Ground) -> i64) -> anyhow::Result<()> {
    let mut number = 0;
    let mut costs: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
    // The first round warms up: every node's actor is started by its first call.
    for round in 0..=plan.rounds {
        for World { ground, core } in worlds {
            let calls = Calls::closed(Kind::Heartbeat, callers(ground), plan.seconds);
            let measured = compare::measure(&calls, ground, core, &mut number).await?;
            if round > 0 {
                costs.entry(ground.nodes()).or_default().push(measured.cpu);
            }
        }
    }
    let base = costs.values().next().cloned().unwrap_or_default();
    println!("\nHeartbeat, {who}:\n\n| known nodes | CPU a call | of the fewest |\n|---|---|---|");
    for (nodes, of) in &costs {
        let ratios: Vec<f64> = of.iter().zip(&base).map(|(cpu, base)| cpu / base).collect();
        let (cpu, ratio) = (compare::middle(of.clone()), compare::middle(ratios));
        println!("| {nodes} | {cpu:.1} us | {ratio:.2} |");
    }
    Ok(())
}
