//! A small agent by the document: registers once over HTTP, keeps its key, and speaks gRPC from then on.
//!
//! ```text
//! CORE_URL=http://127.0.0.1:3001 CORE_GRPC_URL=http://127.0.0.1:3002 CORE_INSECURE=true \
//! REGISTRATION_CODE=core_code_… NODE_NAME=de-1 NODE_IP=192.0.2.1 PORT=8000 \
//! XRAY_COMMAND="xray run -c" TELEMT_COMMAND=telemt cargo run --example node_agent
//! ```
//!
//! Without `XRAY_COMMAND` and `TELEMT_COMMAND` the engine behind it is simulated: it makes up traffic for the clients of its config.
//! `vpn-core demo` runs this same file that way.

#[path = "node_agent/core_link.rs"]
mod core_link;
#[path = "node_agent/counters.rs"]
mod counters;
#[path = "node_agent/engine.rs"]
mod engine;
#[path = "node_agent/machine.rs"]
mod machine;
#[path = "node_agent/outbox.rs"]
mod outbox;
#[path = "node_agent/payers.rs"]
mod payers;
#[path = "node_agent/process.rs"]
mod process;
#[path = "node_agent/simulated.rs"]
mod simulated;
#[path = "node_agent/status_door.rs"]
mod status_door;
#[path = "node_agent/supervision.rs"]
mod supervision;
#[path = "node_agent/telemt.rs"]
mod telemt;
#[path = "node_agent/xray.rs"]
mod xray;

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    sync::{mpsc, watch},
    time::{Interval, interval},
};
use tonic::{Request, Response, Status, transport::Channel};
use vpn_core::proto::nodeservice::{
    ConfirmConfigAppliedRequest, GetLatestConfigRequest, HeartbeatRequest, ReportOnlineUsersRequest,
    node_service_client::NodeServiceClient,
};

pub use self::engine::EngineSettings;
use self::{
    core_link::CoreLink,
    engine::{Engine, NodeConfig},
    outbox::Outbox,
    status_door::StatusDoor,
};

/// Errors of engines that wait to be told to Core.
const ERRORS_MAX: usize = 16;

/// Where Core is, and who this node is.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// Core's node HTTP listener: for registration and errors only.
    pub core_url: String,
    /// Core's gRPC listener.
    pub grpc_url: String,
    /// Plain text instead of TLS.
    pub insecure: bool,
    /// Good once.
    pub code: String,
    /// The node's name.
    pub name: String,
    /// The node's address.
    pub ip: String,
    /// The agent's own HTTP port, at which Core may ask how the node does; 0 = any free one.
    pub port: u16,
    /// Where that port is open.
    pub listen_ip: IpAddr,
    /// The node's region.
    pub region: String,
    /// Where the key is kept.
    pub key_file: PathBuf,
    /// How often usage is reported.
    pub usage_every: Duration,
    /// How often a heartbeat is sent.
    pub heartbeat_every: Duration,
    /// What runs the config.
    pub engines: EngineSettings,
}

/// What the agent has done, for whoever watches it.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Ledger {
    pub usage_up: AtomicI64,
    pub usage_down: AtomicI64,
    pub outbound_up: AtomicI64,
    pub outbound_down: AtomicI64,
    /// Reports that Core acknowledged.
    pub acknowledged: AtomicU64,
    /// Reports that Core refused for good, or that did not fit the outbox.
    pub refused: AtomicU64,
    /// Calls of all kinds that were answered.
    pub calls: AtomicU64,
}

struct Agent {
    settings: AgentSettings,
    core: CoreLink,
    engine: Engine,
    /// What runs now; 0 = nothing.
    revision: AtomicI64,
    outbox: Outbox,
    ledger: Arc<Ledger>,
    stopped: watch::Receiver<bool>,
}

/// Runs an agent until `stopped` says so; then it ends the engines, makes a last report, and returns when Core has it.
pub async fn run(
    mut settings: AgentSettings,
    ledger: Arc<Ledger>,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let door = open_door(&mut settings).await?;
    let agent = Agent {
        core: CoreLink::open(&settings, Arc::clone(&ledger)).await?,
        engine: Engine::new(settings.engines.clone())?,
        settings,
        revision: AtomicI64::new(0),
        outbox: Outbox::default(),
        ledger,
        stopped,
    };
    let engines = async {
        // Only then does nothing start an engine any more.
        tokio::join!(agent.heartbeats(), agent.usage(), agent.watch_engines());
        agent.finish().await;
    };
    tokio::join!(
        engines,
        agent.stats(),
        agent.answer(door),
        agent.online_users(),
        agent.outbox.send(&agent.core, &agent.ledger)
    );
    Ok(())
}

/// Opens the agent's own port, before Core is told of it. The rest does not need it: if it is taken, nobody can look at the node live.
async fn open_door(settings: &mut AgentSettings) -> anyhow::Result<Option<StatusDoor>> {
    match StatusDoor::open(settings.listen_ip, settings.port).await {
        Ok(door) => {
            settings.port = door.port()?;
            Ok(Some(door))
        }
        Err(error) if settings.port == 0 => Err(error),
        Err(error) => {
            tracing::warn!(%error, "Core can't ask how this node does");
            Ok(None)
        }
    }
}

impl Agent {
    /// Tells Core how the node does when it asks.
    async fn answer(&self, door: Option<StatusDoor>) {
        let Some(door) = door else { return };
        let mut stopped = self.stopped.clone();
        tokio::select! {
            () = door.serve(self.core.auth_key(), &self.engine) => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    /// "I live and run this revision". When Core says so, the new config is pulled.
    async fn heartbeats(&self) {
        let mut ticks = interval(self.settings.heartbeat_every);
        while self.tick(&mut ticks).await {
            let beat = HeartbeatRequest {
                revision: Some(self.revision.load(Relaxed)),
                ..HeartbeatRequest::default()
            };
            let answer = self.core.call(
                beat,
                |mut client, request| async move { client.heartbeat(request).await },
            );
            match answer.await {
                Ok(answer) if answer.need_sync => self.sync().await,
                Ok(_) => {}
                Err(status) => tracing::warn!(code = ?status.code(), message = status.message(), "a heartbeat failed"),
            }
        }
    }

    /// Pulls the config, applies it, and says how that went. Core asks again, later and later, while it can't be applied.
    async fn sync(&self) {
        let pulled = self
            .core
            .call(GetLatestConfigRequest::default(), |mut client, request| async move {
                client.get_latest_config(request).await
            });
        let config = match pulled.await {
            Ok(config) => config,
            Err(status) => {
                return tracing::warn!(code = ?status.code(), message = status.message(), "the config can't be pulled");
            }
        };
        let revision = config.revision;
        let applied = match NodeConfig::read(&config) {
            Ok(config) => self.engine.apply(config).await,
            Err(why) => Err(why),
        };
        let told = match applied {
            Ok(()) => self.confirm(revision).await,
            Err(why) => self.core.report_error("CONFIG_APPLY_FAILED", &why).await,
        };
        if let Err(error) = told {
            tracing::warn!(%error, revision, "Core could not be told how the config went");
        }
    }

    async fn confirm(&self, revision: i64) -> anyhow::Result<()> {
        self.revision.store(revision, Relaxed);
        let confirm = ConfirmConfigAppliedRequest {
            revision,
            ..ConfirmConfigAppliedRequest::default()
        };
        let confirmed = self.core.call(confirm, |mut client, request| async move {
            client.confirm_config_applied(request).await
        });
        confirmed
            .await
            .map(drop)
            .map_err(|status| anyhow::anyhow!("{}", status.message()))
    }

    /// Every 2 s: what the machine and the engines look like.
    async fn stats(&self) {
        let mut ticks = interval(Duration::from_secs(2));
        while self.tick(&mut ticks).await {
            let stats = self.engine.stats().await;
            self.send_unkept(stats, |mut client, request| async move {
                client.report_node_stats(request).await
            })
            .await;
        }
    }

    /// Every 5 s: everybody who is connected now.
    async fn online_users(&self) {
        let mut ticks = interval(Duration::from_secs(5));
        while self.tick(&mut ticks).await {
            let report = ReportOnlineUsersRequest {
                users: self.engine.online_users().await,
                ..ReportOnlineUsersRequest::default()
            };
            self.send_unkept(report, |mut client, request| async move {
                client.report_online_users(request).await
            })
            .await;
        }
    }

    /// Every minute: the bytes since the last time, into the outbox.
    async fn usage(&self) {
        let mut ticks = interval(self.settings.usage_every);
        ticks.tick().await;
        while self.tick(&mut ticks).await {
            self.outbox.post(&self.engine.take_usage().await, &self.ledger);
        }
    }

    /// Ends the engines, and posts what they counted to their end.
    async fn finish(&self) {
        self.engine.stop().await;
        self.outbox.post(&self.engine.take_usage().await, &self.ledger);
        self.outbox.finish();
    }

    /// Has engines that end by themselves started again, and tells Core.
    async fn watch_engines(&self) {
        let (errors, mut failed) = mpsc::channel(ERRORS_MAX);
        let tell = async {
            while let Some(why) = failed.recv().await {
                let why: String = why;
                if let Err(error) = self.core.report_error("ENGINE_FAILED", &why).await {
                    tracing::warn!(%error, "Core could not be told that an engine failed");
                }
            }
        };
        let mut stopped = self.stopped.clone();
        tokio::select! {
            () = self.engine.supervise(errors) => {}
            () = tell => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    /// A report that the next one replaces: it is not repeated.
    async fn send_unkept<T, R, F, Fut>(&self, message: T, call: F)
    where
        F: FnOnce(NodeServiceClient<Channel>, Request<T>) -> Fut,
        Fut: Future<Output = Result<Response<R>, Status>>,
    {
        if let Err(status) = self.core.call(message, call).await {
            tracing::warn!(code = ?status.code(), message = status.message(), "a snapshot was not taken");
        }
    }

    /// Waits for the next tick; false when the agent shall stop.
    async fn tick(&self, ticks: &mut Interval) -> bool {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => false,
            _ = ticks.tick() => true,
        }
    }
}

/// Runs one agent from its environment, until Ctrl-C.
#[allow(dead_code, reason = "the demo includes this file as a module and runs agents itself")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    vpn_core::telemetry::start_log(None);
    let text = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let command = |name: &str| {
        let words: Vec<String> = text(name, "").split_whitespace().map(str::to_owned).collect();
        (!words.is_empty()).then_some(words)
    };
    let settings = AgentSettings {
        core_url: text("CORE_URL", "http://127.0.0.1:3001"),
        grpc_url: text("CORE_GRPC_URL", "http://127.0.0.1:3002"),
        insecure: text("CORE_INSECURE", "false") == "true",
        code: text("REGISTRATION_CODE", ""),
        name: text("NODE_NAME", "node"),
        ip: text("NODE_IP", "127.0.0.1"),
        port: text("PORT", "8000").parse().context("PORT must be a port")?,
        listen_ip: text("LISTEN_IP", "0.0.0.0")
            .parse()
            .context("LISTEN_IP must be an address")?,
        region: text("NODE_REGION", ""),
        key_file: text("NODE_KEY_FILE", "./node-key.json").into(),
        usage_every: Duration::from_mins(1),
        heartbeat_every: Duration::from_secs(10),
        engines: EngineSettings {
            xray: command("XRAY_COMMAND"),
            telemt: command("TELEMT_COMMAND"),
            folder: text("ENGINE_DIR", "./engines").into(),
        },
    };
    let (stop, stopped) = watch::channel(false);
    let agent = run(settings, Arc::default(), stopped);
    tokio::pin!(agent);
    tokio::select! {
        ended = &mut agent => return ended,
        signal = tokio::signal::ctrl_c() => signal?,
    }
    stop.send_replace(true);
    agent.await
}
