//! What the demo shows: in place on a terminal, as plain lines elsewhere.

use std::io::{self, IsTerminal as _, Stdout, Write as _};

use bytesize::ByteSize;
use vpn_core::{node::slot::NodeView, store::Totals};

/// Plain output says everything this often.
const PLAIN_EVERY: u32 = 5;

/// Where the demo is shown.
pub struct Screen {
    out: Stdout,
    in_place: bool,
    drawn: u32,
    height: usize,
}

/// A node, as the demo shows it.
pub struct Line {
    cells: [String; 7],
}

const HEAD: [&str; 7] = ["NODE", "STATUS", "REVISION", "ONLINE", "UP", "DOWN", "REPORTS/S"];

impl Screen {
    /// On stdout.
    pub fn new() -> io::Result<Self> {
        let out = io::stdout();
        let in_place = out.is_terminal();
        let mut screen = Self {
            out,
            in_place,
            drawn: 0,
            height: 0,
        };
        screen.title("Core with three simulated nodes; Ctrl-C ends it. Revision: applied/desired.")?;
        Ok(screen)
    }

    /// A line above the table.
    pub fn title(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Draws the fleet: on a terminal over what was drawn before.
    pub fn draw(&mut self, lines: &[Line]) -> io::Result<()> {
        self.drawn += 1;
        if !self.in_place && self.drawn % PLAIN_EVERY != 1 {
            return Ok(());
        }
        if self.in_place && self.height > 0 {
            // Up to where the table began, and clear from there.
            write!(self.out, "\x1b[{}F\x1b[J", self.height)?;
        }
        writeln!(self.out)?;
        writeln!(self.out, "{}", row(&HEAD.map(str::to_owned)))?;
        for line in lines {
            writeln!(self.out, "{}", row(&line.cells))?;
        }
        self.height = lines.len() + 2;
        self.out.flush()
    }
}

impl Line {
    /// A node with its bytes up and down, and its reports a second.
    pub fn new(node: &NodeView, (up, down): (i64, i64), rate: f64) -> Self {
        let revision = format!("{}/{}", node.state.applied_revision, node.seed.config.revision());
        Self {
            cells: [
                node.seed.record.name.clone(),
                node.state.status.to_string(),
                revision,
                node.online_users.to_string(),
                size(up),
                size(down),
                format!("{rate:.1}"),
            ],
        }
    }
}

/// What was sent and what is stored, side by side.
pub fn summary(reports: u64, refused: u64, sent: &Totals, stored: &Totals, equal: bool) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "\n{reports} reports acknowledged, {refused} refused\n")?;
    writeln!(out, "{:<22} {:>20} {:>20}", "BYTES", "AGENTS SENT", "STORE HOLDS")?;
    let pairs = [
        ("usage up", sent.usage_up, stored.usage_up),
        ("usage down", sent.usage_down, stored.usage_down),
        ("by hour up", sent.hours_up, stored.hours_up),
        ("by hour down", sent.hours_down, stored.hours_down),
        ("by day up", sent.days_up, stored.days_up),
        ("by day down", sent.days_down, stored.days_down),
        ("subscriptions up", sent.subscriptions_up, stored.subscriptions_up),
        ("subscriptions down", sent.subscriptions_down, stored.subscriptions_down),
        ("outbounds up", sent.outbounds_up, stored.outbounds_up),
        ("outbounds down", sent.outbounds_down, stored.outbounds_down),
    ];
    for (name, sent, stored) in pairs {
        writeln!(
            out,
            "{name:<22} {sent:>20} {stored:>20}{}",
            if sent == stored { "" } else { "  differs" }
        )?;
    }
    writeln!(out, "\n{}", if equal { "equal to the byte" } else { "NOT EQUAL" })
}

fn row(cells: &[String; 7]) -> String {
    let [name, status, revision, online, up, down, rate] = cells;
    format!("{name:<12} {status:<8} {revision:>8} {online:>7} {up:>11} {down:>11} {rate:>10}")
}

fn size(bytes: i64) -> String {
    ByteSize(u64::try_from(bytes).unwrap_or(0)).display().iec().to_string()
}
