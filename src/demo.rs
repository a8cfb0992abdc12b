//! `demo`: everything at once and nothing to set up. Core in a temporary folder, a sample catalogue, three agents.

mod screen;

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use anyhow::Context as _;
use ipnet::IpNet;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;
use vpn_core::{
    admin::codes::CodeOrder,
    app::{Core, Parts, commands, serve::Signals},
    config::{LogFormat, Settings},
    model::{catalog::CatalogImport, secrets::new_admin_token},
    store::Totals,
    telemetry,
};

use self::{
    node_agent::{AgentSettings, EngineSettings, Ledger},
    screen::{Line, Screen},
};

#[path = "../examples/node_agent.rs"]
#[allow(unreachable_pub, reason = "an example of its own, too")]
mod node_agent;

/// The catalogue that the demo shows.
const CATALOG: &str = include_str!("../examples/catalog.json");

/// How often the agents report usage here; elsewhere it is a minute.
const USAGE_EVERY: Duration = Duration::from_secs(10);

/// How often the agents send a heartbeat.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);

/// How often the screen is drawn.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// Runs the demo until Ctrl-C or for so long, and compares what the agents sent with what the store holds. Exit 1 if that differs.
pub fn run(settings: Settings, time: Option<Duration>) -> anyhow::Result<ExitCode> {
    // The screen is the demo's; what goes wrong is still said.
    if std::env::var_os("RUST_LOG").is_some() {
        telemetry::start_log(settings.log_format.map(|format| format == LogFormat::Pretty));
    }
    let dir = tempfile::Builder::new().prefix("vpn-core-demo-").tempdir()?;
    let settings = demo_settings(settings, dir.path());
    actix::System::new().block_on(async {
        let mut signals = Signals::new()?;
        let import: CatalogImport = serde_json::from_str(CATALOG)?;
        commands::import_rows(&settings, &import).await?;
        let agents = agents(&settings, &import).await?;
        let core = Core::start(&settings, Parts::default()).await?;
        let fleet = Fleet::start(agents, &core);
        fleet.show(&settings, &core, time, &mut signals).await?;
        let sent = fleet.stop().await?;
        core.settle().await?;
        let stored = core.totals().await?;
        core.stop().await;
        summary(&sent, &stored)
    })
}

fn demo_settings(settings: Settings, dir: &Path) -> Settings {
    let mut live_fetch_allow = settings.live_fetch_allow.clone();
    live_fetch_allow.extend([IpNet::from(IpAddr::from(Ipv4Addr::LOCALHOST))]);
    let admin_token = settings.admin_token.unwrap_or_else(new_admin_token);
    Settings {
        data_dir: dir.to_owned(),
        // What it does belongs in nobody's database.
        database_url: None,
        // Its agents speak plain text with it.
        tls_cert: None,
        tls_key: None,
        admin_token: Some(admin_token),
        http_port: 0,
        grpc_port: 0,
        admin_port: 0,
        live_fetch_allow,
        ..settings
    }
}

/// The three nodes of the catalogue, each with a code that was made for it.
async fn agents(settings: &Settings, import: &CatalogImport) -> anyhow::Result<Vec<AgentSettings>> {
    let mut agents = Vec::new();
    for node in &import.nodes {
        let order = CodeOrder {
            name: None,
            node_id: Some(node.id),
            ttl: Duration::from_mins(5),
            uses: 1,
        };
        let (code, _): (SecretString, _) = commands::new_code(settings, order).await?;
        agents.push(AgentSettings {
            core_url: String::new(),
            grpc_url: String::new(),
            insecure: true,
            code: code.expose_secret().to_owned(),
            name: node.name.clone(),
            // Where they really are, so that Core can look at them.
            ip: Ipv4Addr::LOCALHOST.to_string(),
            port: 0,
            listen_ip: Ipv4Addr::LOCALHOST.into(),
            region: node.region.clone(),
            key_file: settings.data_dir.join(format!("{}.key.json", node.name)),
            usage_every: USAGE_EVERY,
            heartbeat_every: HEARTBEAT_EVERY,
            engines: EngineSettings::default(),
        });
    }
    Ok(agents)
}

/// The agents, running.
struct Fleet {
    ledgers: Vec<Arc<Ledger>>,
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<()>>>,
    stop: watch::Sender<bool>,
}

/// What the agents know that Core has acknowledged.
#[derive(Default)]
struct Sent {
    totals: Totals,
    reports: u64,
    refused: u64,
}

impl Fleet {
    fn start(agents: Vec<AgentSettings>, core: &Core) -> Self {
        let (stop, stopped) = watch::channel(false);
        let ports = core.ports();
        let (mut ledgers, mut tasks) = (Vec::new(), Vec::new());
        for settings in agents {
            let ledger = Arc::new(Ledger::default());
            let settings = AgentSettings {
                core_url: format!("http://127.0.0.1:{}", ports.http),
                grpc_url: format!("http://127.0.0.1:{}", ports.grpc),
                ..settings
            };
            tasks.push(tokio::spawn(node_agent::run(
                settings,
                Arc::clone(&ledger),
                stopped.clone(),
            )));
            ledgers.push(ledger);
        }
        Self { ledgers, tasks, stop }
    }

    /// Draws the fleet until it is over.
    async fn show(
        &self,
        settings: &Settings,
        core: &Core,
        time: Option<Duration>,
        signals: &mut Signals,
    ) -> anyhow::Result<()> {
        let token = settings.admin_token.as_ref().context("the demo has a token")?;
        let mut screen = Screen::new()?;
        let (admin_ip, port) = (settings.admin_bind_ip, core.ports().admin);
        screen.title(&format!("admin URL:   http://{admin_ip}:{port}/admin/nodes"))?;
        screen.title(&format!("admin token: {}", token.expose_secret()))?;
        let end = async {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(end);
        let mut ticks = tokio::time::interval(DRAW_EVERY);
        let mut rates = vec![Rate::default(); self.ledgers.len()];
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = &mut end => return Ok(()),
                () = signals.next() => return Ok(()),
            }
            let mut nodes = core.nodes().list(None, usize::MAX);
            nodes.sort_by_key(|node| node.seed.record.id);
            let lines = nodes
                .iter()
                .zip(&self.ledgers)
                .zip(&mut rates)
                .map(|((node, ledger), rate)| {
                    let bytes = (ledger.usage_up.load(Relaxed), ledger.usage_down.load(Relaxed));
                    Line::new(node, bytes, rate.after(ledger.calls.load(Relaxed)))
                });
            screen.draw(&lines.collect::<Vec<_>>())?;
        }
    }

    /// Lets every agent send its last report.
    async fn stop(self) -> anyhow::Result<Sent> {
        self.stop.send_replace(true);
        for task in self.tasks {
            task.await??;
        }
        let mut sent = Sent::default();
        for ledger in self.ledgers {
            sent.totals.usage_up += ledger.usage_up.load(Relaxed);
            sent.totals.usage_down += ledger.usage_down.load(Relaxed);
            sent.totals.outbounds_up += ledger.outbound_up.load(Relaxed);
            sent.totals.outbounds_down += ledger.outbound_down.load(Relaxed);
            sent.reports += ledger.acknowledged.load(Relaxed);
            sent.refused += ledger.refused.load(Relaxed);
        }
        let (up, down) = (sent.totals.usage_up, sent.totals.usage_down);
        (sent.totals.hours_up, sent.totals.hours_down) = (up, down);
        (sent.totals.days_up, sent.totals.days_down) = (up, down);
        (sent.totals.subscriptions_up, sent.totals.subscriptions_down) = (up, down);
        Ok(sent)
    }
}

/// Reports a second, smoothed over some five draws.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    before: u64,
    smooth: f64,
}

impl Rate {
    #[allow(clippy::cast_precision_loss, reason = "a handful of calls a second")]
    fn after(&mut self, calls: u64) -> f64 {
        let fresh = (calls - std::mem::replace(&mut self.before, calls)) as f64 / DRAW_EVERY.as_secs_f64();
        self.smooth += (fresh - self.smooth) / 5.0;
        self.smooth
    }
}

fn summary(sent: &Sent, stored: &Totals) -> anyhow::Result<ExitCode> {
    let equal = sent.totals == *stored && sent.refused == 0;
    screen::summary(sent.reports, sent.refused, &sent.totals, stored, equal)?;
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
