//! A load generator that costs little itself, and what Core is measured beside. Everything runs on this machine, over loopback.
//!
//! ```text
//! cargo build --profile bench --bin vpn-core --example load
//! target/release/examples/load compare heartbeat        # closed loop, Core beside the control, in turns
//! target/release/examples/load compare heartbeat --rate 5000   # open loop: latency from when a call was due
//! target/release/examples/load compare usage --naive    # and a first version besides
//! target/release/examples/load growth                    # what a call, a node at rest and a start cost with few nodes and with many
//! target/release/examples/load start                     # with a journal of a GiB
//! target/release/examples/load fleet --nodes 10000      # everything that a fleet sends, at its cadence, a connection a node
//! ```
//!
//! The **control** is a bare tonic server with the same messages and the same layout (one acceptor, a thread with a runtime of its own per processor) and
//! nothing behind: what a call costs before anybody decides anything. The **naive** service is what a first version does, on the same PostgreSQL: a
//! statement a heartbeat, a transaction a usage report, row by row. Calls are encoded once, before the clock runs; the client is h2 alone.
//!
//! CPU is that of the server's process by the scheduler's own count (`/proc/PID/task/*/schedstat`): on a noisy machine it is the steadiest figure there is.
//! An open loop measures from the moment at which a call was due, not from when it was sent, so that a server that stalls is not spared.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]
#![allow(clippy::unwrap_used, reason = "a measure that fails ends, in its parts too")]

#[path = "load/calls.rs"]
mod calls;
#[path = "load/client.rs"]
mod client;
#[path = "load/compare.rs"]
mod compare;
#[path = "load/control.rs"]
mod control;
#[path = "load/drive.rs"]
mod drive;
#[path = "load/fleet.rs"]
mod fleet;
#[path = "load/ground.rs"]
mod ground;
#[path = "load/growth.rs"]
mod growth;
#[path = "load/listening.rs"]
mod listening;
#[path = "load/naive.rs"]
mod naive;
#[path = "load/picture.rs"]
mod picture;
#[path = "load/process.rs"]
mod process;
#[path = "load/start.rs"]
mod start;

#[path = "../tests/it/harness"]
#[allow(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod harness {
    pub mod catalogue;
    pub mod memory;
    pub mod patience;
    pub mod ports;
    pub mod postgres;

    pub use self::patience::eventually;
}

/// The service as tonic generates it, with its own codec: Core's has settings of its own.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    unused_qualifications,
    reason = "generated"
)]
mod bare {
    include!(concat!(env!("OUT_DIR"), "/bare/nodeservice.rs"));
}

use std::net::TcpListener;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Measures Core beside a bare server, on this machine")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One kind of call: Core, the control, and the naive service if it is asked for, in turns.
    Compare(compare::Plan),
    /// What a whole fleet sends, a connection a node.
    Fleet(fleet::Plan),
    /// Cores that know 100, 10,000 and 100,000 nodes, in turns.
    Growth(growth::Plan),
    /// A start with many nodes and a journal that the store has not had.
    Start(start::Plan),
    /// Draws the tables of docs/BENCHMARKS.md.
    Picture(picture::Plan),
    /// Says how PostgreSQL is set up.
    Settings,
    /// Serves as the control; says its port.
    #[command(hide = true)]
    Control,
    /// Serves as the naive service on this database; says its port.
    #[command(hide = true)]
    Naive { url: String },
}

fn main() -> anyhow::Result<()> {
    let listener = || -> anyhow::Result<TcpListener> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        // As Core's: else a herd finds no room.
        rustix::net::listen(&listener, 4_096)?;
        println!("{}", listener.local_addr()?.port());
        Ok(listener)
    };
    match Cli::parse().command {
        Command::Compare(plan) => runtime()?.block_on(compare::run(&plan)),
        Command::Fleet(plan) => runtime()?.block_on(fleet::run(&plan)),
        Command::Growth(plan) => runtime()?.block_on(growth::run(&plan)),
        Command::Start(plan) => runtime()?.block_on(start::run(&plan)),
        Command::Picture(plan) => picture::draw(&plan),
        Command::Settings => {
            println!("{}", ground::SETTINGS.join(", "));
            Ok(())
        }
        Command::Control => control::serve(&listener()?),
        Command::Naive { url } => naive::serve(listener()?, &url),
    }
}

/// One thread: what it takes away from the server is known.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
