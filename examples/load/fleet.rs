//! A whole fleet at its cadence, a connection a node: it comes at once, pulls its configs, and reports.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use futures_util::{StreamExt as _, stream};
use vpn_core::clock::Stopwatch;

use super::{
    calls::{Kind, call},
    client::Line,
    drive::{self, Shot, Tally},
    ground::Ground,
    process::Process,
};

/// What is measured.
#[derive(Args, Clone)]
pub struct Plan {
    /// Nodes
    #[arg(long, default_value_t = 10_000)]
    nodes: i64,
    /// Users, each on every node
    #[arg(long, default_value_t = 20)]
    users: i64,
    /// How long it reports, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The bare server in place of Core
    #[arg(long)]
    control: bool,
}

/// The document's cadence.
const CADENCE: [(Kind, Duration); 5] = [
    (Kind::Stats, Duration::from_secs(2)),
    (Kind::Online, Duration::from_secs(5)),
    (Kind::Heartbeat, Duration::from_secs(10)),
    (Kind::Usage, Duration::from_mins(1)),
    (Kind::OutboundUsage, Duration::from_mins(1)),
];

/// A herd connects with so many under way.
const AT_A_TIME: usize = 512;

/// Measures, and says it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    let ground = Ground::start(plan.nodes, plan.users).await;
    let server = if plan.control {
        Process::control()?
    } else {
        Process::core(&ground).await?
    };
    let lines = herd(plan, &ground, &server).await?;
    let before = server.cpu()?;
    let tallies = drive::open(&lines, schedule(plan, &ground)).await?;
    say(plan, &tallies, server.cpu()?.saturating_sub(before));
    println!(
        "memory: {} MiB now, {} MiB at most",
        server.mebibytes("VmRSS"),
        server.mebibytes("VmHWM")
    );
    Ok(())
}

/// Every node connects and pulls its config.
async fn herd(plan: &Plan, ground: &Ground, server: &Process) -> anyhow::Result<Vec<Line>> {
    let start = Stopwatch::start();
    let come = |node: i64| async move {
        let line = Line::open(server.port).await?;
        line.call(Kind::Config, ground.key(node), call(Kind::Config, node, 0, 0))
            .await?;
        anyhow::Ok(line)
    };
    let lines: Vec<_> = stream::iter(1..=plan.nodes)
        .map(come)
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let lines = lines.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    println!(
        "{} nodes connected and have their configs after {:.1} s; memory {} MiB at most",
        plan.nodes,
        start.elapsed().as_secs_f64(),
        server.mebibytes("VmHWM")
    );
    Ok(lines)
}

/// What is due when, over all kinds: a node's calls of a kind are a cadence apart, and the nodes are spread over it.
fn schedule(plan: &Plan, ground: &Ground) -> impl Iterator<Item = (Duration, Shot)> {
    let (nodes, users, end) = (ground.nodes(), plan.users, Duration::from_secs(plan.seconds));
    let mut next: Vec<(Duration, Kind, Duration, i64)> = CADENCE
        .iter()
        .map(|(kind, every)| (Duration::ZERO, *kind, *every / u32::try_from(nodes).unwrap(), 0))
        .collect();
    std::iter::from_fn(move || {
        let due = next.iter_mut().min_by_key(|it| it.0)?;
        let (at, kind, step, number) = *due;
        if at >= end {
            return None;
        }
        *due = (at + step, kind, step, number + 1);
        let index = usize::try_from(number % nodes).unwrap();
        let node = 1 + number % nodes;
        Some((
            at,
            Shot {
                kind,
                line: index,
                key: ground.keys[index].clone(),
                message: call(kind, node, users, number),
            },
        ))
    })
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
fn say(plan: &Plan, tallies: &BTreeMap<Kind, Tally>, cpu: Duration) {
    let calls: u64 = tallies.values().map(|tally| tally.calls).sum();
    println!("| call | calls/s | failed | p50 | p99 | most |\n|---|---|---|---|---|---|");
    for (kind, tally) in tallies {
        println!(
            "| {kind:?} | {:.0} | {} | {:.2} ms | {:.2} ms | {:.1} ms |",
            tally.rate(),
            tally.failed,
            tally.millis(50.0),
            tally.millis(99.0),
            tally.millis(100.0)
        );
        if let Some(error) = &tally.first {
            println!("the first that failed: {error}");
        }
    }
    println!(
        "{:.0} calls/s for {} s, CPU {:.1} us a call",
        calls as f64 / plan.seconds as f64,
        plan.seconds,
        cpu.as_secs_f64() * 1e6 / calls as f64
    );
}
