//! One kind of call, at one server after the other, round after round: what is compared was measured within seconds.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;

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
    /// The kind of call
    kind: Kind,
    /// Nodes that call, in turn
    #[arg(long, default_value_t = 10_000)]
    nodes: i64,
    /// Users in a usage or online report
    #[arg(long, default_value_t = 100)]
    users: i64,
    /// Connections to a server
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Calls under way on a connection, in a closed loop
    #[arg(long, default_value_t = 32)]
    under_way: usize,
    /// Calls a second, in an open loop
    #[arg(long)]
    rate: Option<u32>,
    /// Rounds; the median is said
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds a round and server
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// The naive service besides
    #[arg(long)]
    naive: bool,
}

impl Plan {
    /// A closed loop of these nodes' calls, as it is by default.
    pub const fn closed(kind: Kind, nodes: i64, seconds: u64) -> Self {
        Self {
            kind,
            nodes,
            users: 100,
            connections: 8,
            under_way: 32,
            rate: None,
            rounds: 1,
            seconds,
            naive: false,
        }
    }
}

/// Who is measured, in the order of the turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Core,
    Control,
    Naive,
}

/// A round of one server.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    rate: f64,
    /// CPU of the server, in microseconds a call.
    pub cpu: f64,
    p50: f64,
    p99: f64,
}

/// Measures, and says it.
pub async fn run(plan: &Plan) -> anyhow::Result<()> {
    let ground = Ground::start(plan.nodes, if plan.kind == Kind::Heartbeat { 4 } else { plan.users }).await;
    let mut servers = vec![
        (Who::Core, Process::core(&ground).await?),
        (Who::Control, Process::control()?),
    ];
    if plan.naive {
        servers.push((Who::Naive, Process::naive(&ground)?));
    }
    let mut number = 0;
    let mut rounds: BTreeMap<Who, Vec<Round>> = BTreeMap::new();
    // The first round warms up: every node's actor is started by its first call.
    for round in 0..=plan.rounds {
        for (who, server) in &servers {
            let measured = measure(plan, &ground, server, &mut number).await?;
            if round > 0 {
                rounds.entry(*who).or_default().push(measured);
            }
        }
    }
    say(plan, &rounds);
    Ok(())
}

/// A round of one server.
pub async fn measure(plan: &Plan, ground: &Ground, server: &Process, number: &mut i64) -> anyhow::Result<Round> {
    let mut lines = Vec::new();
    for _ in 0..plan.connections {
        lines.push(Line::open(server.port).await?);
    }
    let span = Duration::from_secs(plan.seconds);
    let shot = |line: usize, number: i64| {
        let node = node_of(plan, line, number);
        Shot {
            kind: plan.kind,
            line,
            key: ground.key(node).clone(),
            message: call(plan.kind, node, plan.users, number),
        }
    };
    let before = server.cpu()?;
    let tally = match plan.rate {
        None => {
            let next = |line| {
                *number += 1;
                shot(line, *number)
            };
            drive::closed(&lines, plan.under_way, span, next).await
        }
        Some(rate) => {
            let count = i64::from(rate) * i64::try_from(plan.seconds)?;
            let shots: Vec<(Duration, Shot)> = (0..count)
                .map(|n| {
                    *number += 1;
                    let line = usize::try_from(n).unwrap() % plan.connections;
                    let at = Duration::from_secs(1) / rate * u32::try_from(n).unwrap();
                    (at, shot(line, *number))
                })
                .collect();
            let mut tallies = drive::open(&lines, shots.into_iter()).await?;
            tallies.remove(&plan.kind).unwrap()
        }
    };
    let cpu = server.cpu()?.saturating_sub(before);
    if let Some(error) = &tally.first {
        anyhow::bail!("{} of {} calls failed: {error}", tally.failed, tally.calls);
    }
    Ok(round(&tally, cpu))
}

/// A node keeps to its line, as agents do.
fn node_of(plan: &Plan, line: usize, number: i64) -> i64 {
    let lines = i64::try_from(plan.connections).unwrap();
    let line = i64::try_from(line).unwrap();
    let of_line = plan.nodes / lines;
    1 + line * of_line + (number / lines) % of_line
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52")]
fn round(tally: &Tally, cpu: Duration) -> Round {
    Round {
        rate: tally.rate(),
        cpu: cpu.as_secs_f64() * 1e6 / tally.calls as f64,
        p50: tally.millis(50.0),
        p99: tally.millis(99.0),
    }
}

/// The median.
pub fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    middle(rounds.iter().map(of).collect())
}

/// The median over the rounds of the ratio within a round: what disturbs a round disturbs both.
fn ratio(ones: &[Round], others: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let pairs = ones.iter().zip(others);
    middle(pairs.map(|(one, other)| of(one) / of(other)).collect())
}

fn say(plan: &Plan, rounds: &BTreeMap<Who, Vec<Round>>) {
    let name = format!("{:?}", plan.kind);
    let how = plan.rate.map_or_else(
        || format!("{} x {} under way", plan.connections, plan.under_way),
        |rate| format!("{rate}/s on {} connections", plan.connections),
    );
    println!(
        "{name}, {how}, {} nodes, median of {} rounds of {} s",
        plan.nodes, plan.rounds, plan.seconds
    );
    println!("| server | calls/s | of the control | CPU a call | p50 | p99 |\n|---|---|---|---|---|---|");
    for (who, of) in rounds {
        println!(
            "| {who:?} | {:.0} | {:.3} | {:.1} us | {:.2} ms | {:.2} ms |",
            median(of, |it| it.rate),
            ratio(of, &rounds[&Who::Control], |it| it.rate),
            median(of, |it| it.cpu),
            median(of, |it| it.p50),
            median(of, |it| it.p99)
        );
    }
    let core = &rounds[&Who::Core];
    for (to, of) in rounds.iter().filter(|(who, _)| **who != Who::Core) {
        println!(
            "Core to {to:?}: calls/s {:.2}, CPU a call {:.2}, p50 {:.2}, p99 {:.2}",
            ratio(core, of, |it| it.rate),
            ratio(core, of, |it| it.cpu),
            ratio(core, of, |it| it.p50),
            ratio(core, of, |it| it.p99)
        );
    }
}
