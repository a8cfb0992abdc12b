//! The command line: what can be asked for. What is done about it is in `app`.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};

use crate::{
    config::{Settings, span},
    model::secrets::Role,
};

/// Core, the control plane for fleets of VPN nodes.
#[derive(Debug, Parser)]
#[command(name = "vpn-core", version, about, long_about = None, max_term_width = 110)]
pub struct Cli {
    /// What to do [default: serve]
    #[command(subcommand)]
    pub command: Option<Command>,
    /// A settings file in the form of config/core.toml
    #[arg(
        long,
        env = "CORE_CONFIG",
        global = true,
        value_name = "FILE",
        help_heading = "Settings"
    )]
    pub config: Option<PathBuf>,
    /// The settings.
    #[command(flatten)]
    pub settings: Settings,
}

/// What Core can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run Core until it is told to stop
    Serve,
    /// Run Core with three simulated nodes, in a temporary data folder
    Demo {
        /// End by itself after so long, such as 30s, and compare the sums
        #[arg(long = "for", value_name = "TIME", value_parser = span)]
        time: Option<Duration>,
    },
    /// Registration codes for nodes
    #[command(subcommand)]
    Code(CodeCommand),
    /// Admin tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// The catalogue: nodes, users, subscriptions, inbounds, outbounds
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// The journal: what was acknowledged, on its way to the store
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Look at settings, store, journal, disk and clock: what is wrong, and how to mend it; changes nothing
    Doctor {
        /// Print everything as JSON
        #[arg(long)]
        json: bool,
    },
    /// Bring the store up to date (serve does it too, at its start)
    Migrate {
        /// Only say what would be done
        #[arg(long)]
        plan: bool,
        /// Move an embedded store into the empty database of DATABASE_URL, such as sqlite:/var/lib/core/core.db
        #[arg(long, value_name = "SOURCE", value_parser = sqlite_file, conflicts_with = "plan")]
        from: Option<PathBuf>,
    },
}

/// What can be done with registration codes.
#[derive(Debug, Subcommand)]
pub enum CodeCommand {
    /// Make a code and print it
    New {
        /// What to call it
        #[arg(long)]
        name: Option<String>,
        /// The id of a node that shall get a new key with it
        #[arg(long, value_name = "ID")]
        node: Option<i64>,
        /// How long it lives, such as 1h
        #[arg(long, default_value = "1h", value_parser = span)]
        ttl: Duration,
        /// How often it can be used
        #[arg(long, default_value_t = 1)]
        uses: i64,
        /// Print everything as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What can be done with admin tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it
    New {
        /// What it may do
        #[arg(long)]
        role: RoleArg,
        /// What to call it
        #[arg(long, default_value = "cli")]
        name: String,
        /// How long it lives, such as 720h [default: for ever]
        #[arg(long, value_parser = span)]
        ttl: Option<Duration>,
        /// Print everything as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Everything
    Admin,
    /// Reading, without secrets
    Viewer,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Admin => Self::Admin,
            RoleArg::Viewer => Self::Viewer,
        }
    }
}

/// What can be done with the catalogue.
#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Write the rows of a JSON file (see examples/catalog.json); rows whose id is there already are replaced
    Import {
        /// The file
        file: PathBuf,
    },
}

/// What can be done with a journal.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Say what is in it and how much of that the store has; changes nothing, also beside a running serve
    Inspect {
        /// A data folder or the journal in one, perhaps a copy from another machine
        dir: PathBuf,
        /// Print everything as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take over into the store what it lacks of it, exactly once; it stays as it is, and no serve may run on it
    Replay {
        /// A data folder or the journal in one, perhaps a copy from another machine
        dir: PathBuf,
        /// Print what was done as JSON
        #[arg(long)]
        json: bool,
    },
}

fn sqlite_file(source: &str) -> Result<PathBuf, String> {
    let file = source.strip_prefix("sqlite:").filter(|file| !file.is_empty());
    file.map(PathBuf::from)
        .ok_or_else(|| "must be sqlite: and the path of a file".to_owned())
}
