//! A small agent by the document: registers once over HTTP, keeps its key, and speaks gRPC from then on.
//!
//! ```text
//! CORE_URL=http://127.0.0.1:3001 CORE_GRPC_URL=http://127.0.0.1:3002 CORE_INSECURE=true \
//! REGISTRATION_CODE=core_code_… NODE_NAME=de-1 NODE_IP=192.0.2.1 PORT=8000 cargo run --example node_agent
//! ```
//!
//! The engine behind it is simulated: it makes up traffic for the clients of its config. Everything else is what a real agent
//! does. `vpn-core demo` runs this same file.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    time::{interval, sleep, timeout},
};
use tonic::{
    Code, Request,
    transport::{Channel, ClientTlsConfig, Endpoint},
};
use vpn_core::{
    clock::Clock,
    proto::nodeservice::{
        ConfirmConfigAppliedRequest, GetLatestConfigRequest, GetLatestConfigResponse, HeartbeatRequest, OnlineIp,
        OnlineUser, OutboundUsageItem, ReportNodeStatsRequest, ReportOnlineUsersRequest, ReportOutboundUsageRequest,
        ReportUsageRequest, SystemStats, UsageEntry, XrayStats, node_service_client::NodeServiceClient,
    },
};

/// The longest that a call may take; then it is made again.
const CALL_WAIT: Duration = Duration::from_secs(10);

/// The pause before a report is sent again, doubled each time, and its top.
const RETRY_AFTER: Duration = Duration::from_millis(200);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Reports that wait for Core: a day of minutes. A report that does not fit is counted, not forgotten silently.
const OUTBOX_MAX: usize = 1_440;

/// Where Core is, and who this node is.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// Core's node HTTP listener: for registration only.
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
    /// The agent's own HTTP port.
    pub port: u16,
    /// The node's region.
    pub region: String,
    /// Where the key is kept.
    pub key_file: PathBuf,
    /// How often usage is reported.
    pub usage_every: Duration,
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

/// What Core gave at registration. It must survive a restart of the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    auth_key: String,
    node_id: i64,
}

/// A report is made once, never changed, and sent under the same key until Core has it: then it counts exactly once.
struct Report {
    key: String,
    body: Body,
}

enum Body {
    Usage(Vec<UsageEntry>),
    Outbound(Vec<OutboundUsageItem>),
}

struct Agent {
    settings: AgentSettings,
    identity: Identity,
    client: NodeServiceClient<Channel>,
    engine: Mutex<SimulatedEngine>,
    outbox: Mutex<VecDeque<Report>>,
    posted: Notify,
    /// The last report is in the outbox.
    finished: AtomicBool,
    ledger: Arc<Ledger>,
    stopped: watch::Receiver<bool>,
}

/// Runs an agent until `stopped` says so; then it makes a last report and returns when Core has it.
pub async fn run(settings: AgentSettings, ledger: Arc<Ledger>, stopped: watch::Receiver<bool>) -> anyhow::Result<()> {
    let identity = identity(&settings).await?;
    let client = NodeServiceClient::new(channel(&settings)?).max_decoding_message_size(65 << 20);
    let agent = Agent {
        settings,
        identity,
        client,
        engine: Mutex::default(),
        outbox: Mutex::default(),
        posted: Notify::new(),
        finished: AtomicBool::new(false),
        ledger,
        stopped,
    };
    tokio::join!(
        agent.heartbeats(),
        agent.stats(),
        agent.online_users(),
        agent.usage(),
        agent.send_reports()
    );
    Ok(())
}

/// The kept identity, or a new one. A lost answer does no harm: the same code with the same name gives it again.
async fn identity(settings: &AgentSettings) -> anyhow::Result<Identity> {
    if let Ok(kept) = std::fs::read(&settings.key_file) {
        return serde_json::from_slice(&kept).context("the key file can't be read");
    }
    let body = serde_json::json!({
        "code": settings.code, "name": settings.name, "ip": settings.ip, "port": settings.port, "region": settings.region,
    });
    let http = reqwest::Client::new();
    let mut pause = RETRY_AFTER;
    loop {
        match http
            .post(format!("{}/node/register", settings.core_url))
            .json(&body)
            .timeout(CALL_WAIT)
            .send()
            .await
        {
            Ok(answer) if answer.status().is_success() => {
                let identity: Identity = answer.json().await.context("the answer to register")?;
                keep_secret(&settings.key_file, &serde_json::to_vec(&identity)?)?;
                return Ok(identity);
            }
            Ok(answer) if answer.status().is_client_error() && answer.status() != 429 => {
                bail!("registration was refused: {}", answer.text().await.unwrap_or_default());
            }
            Ok(answer) => tracing::warn!(status = %answer.status(), "registration has to wait"),
            Err(error) => tracing::warn!(%error, "Core can't be reached for registration"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_AFTER_MAX);
    }
}

fn keep_secret(path: &std::path::Path, content: &[u8]) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(content)
}

fn channel(settings: &AgentSettings) -> anyhow::Result<Channel> {
    let mut endpoint = Endpoint::from_shared(settings.grpc_url.clone())?
        .connect_timeout(CALL_WAIT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(30));
    if !settings.insecure {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
    }
    Ok(endpoint.connect_lazy())
}

impl Agent {
    /// Every 10 s: "I live and run this revision". When Core says so, the new config is pulled.
    async fn heartbeats(&self) {
        let mut ticks = interval(Duration::from_secs(10));
        while self.tick(&mut ticks).await {
            let revision = self.engine().revision;
            let beat = HeartbeatRequest {
                revision: Some(revision),
                ..HeartbeatRequest::default()
            };
            match self
                .call(
                    beat,
                    |mut client, request| async move { client.heartbeat(request).await },
                )
                .await
            {
                Ok(answer) if answer.need_sync => self.sync().await,
                Ok(_) => {}
                Err(status) => tracing::warn!(code = ?status.code(), message = status.message(), "a heartbeat failed"),
            }
        }
    }

    /// Pulls the config, applies it, and says how that went. Core asks again, later and later, while it can't be applied.
    async fn sync(&self) {
        let pulled = self
            .call(GetLatestConfigRequest::default(), |mut client, request| async move {
                client.get_latest_config(request).await
            })
            .await;
        let config = match pulled {
            Ok(config) => config,
            Err(status) => {
                return tracing::warn!(code = ?status.code(), message = status.message(), "the config can't be pulled");
            }
        };
        let revision = config.revision;
        let applied = self.engine().apply(&config);
        let told = match applied {
            Ok(()) => {
                let confirm = ConfirmConfigAppliedRequest {
                    revision,
                    ..ConfirmConfigAppliedRequest::default()
                };
                let confirmed = self.call(confirm, |mut client, request| async move {
                    client.confirm_config_applied(request).await
                });
                confirmed
                    .await
                    .map(drop)
                    .map_err(|status| anyhow::anyhow!("{}", status.message()))
            }
            Err(why) => self.report_error(&why).await,
        };
        if let Err(error) = told {
            tracing::warn!(%error, revision, "Core could not be told how the config went");
        }
    }

    /// Errors go over HTTP: the gRPC service has no call for them.
    async fn report_error(&self, why: &str) -> anyhow::Result<()> {
        let body = serde_json::json!({"message": why, "code": "CONFIG_APPLY_FAILED"});
        let post = reqwest::Client::new()
            .post(format!("{}/node/error", self.settings.core_url))
            .header("x-node-auth-key", &self.identity.auth_key);
        post.json(&body).timeout(CALL_WAIT).send().await?.error_for_status()?;
        Ok(())
    }

    /// Every 2 s: what the machine and the engines look like.
    async fn stats(&self) {
        let mut ticks = interval(Duration::from_secs(2));
        while self.tick(&mut ticks).await {
            let stats = self.engine().stats();
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
            let users = self.engine().online_users();
            let report = ReportOnlineUsersRequest {
                users,
                ..ReportOnlineUsersRequest::default()
            };
            self.send_unkept(report, |mut client, request| async move {
                client.report_online_users(request).await
            })
            .await;
        }
    }

    /// Every minute, and once more at the end: the bytes since the last time, into the outbox.
    async fn usage(&self) {
        let mut ticks = interval(self.settings.usage_every);
        ticks.tick().await;
        loop {
            let goes_on = self.tick(&mut ticks).await;
            let (usage, outbound) = self.engine().take_usage();
            self.post(Body::Usage(usage));
            self.post(Body::Outbound(outbound));
            if !goes_on {
                self.finished.store(true, Relaxed);
                return self.posted.notify_one();
            }
        }
    }

    fn post(&self, body: Body) {
        let empty = match &body {
            Body::Usage(entries) => entries.is_empty(),
            Body::Outbound(items) => items.is_empty(),
        };
        if empty {
            return;
        }
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        if outbox.len() >= OUTBOX_MAX {
            self.ledger.refused.fetch_add(1, Relaxed);
            return tracing::error!("the outbox is full: a report is lost");
        }
        outbox.push_back(Report {
            key: uuid::Uuid::new_v4().to_string(),
            body,
        });
        drop(outbox);
        self.posted.notify_one();
    }

    /// Sends what is in the outbox, oldest first, each until Core has it.
    async fn send_reports(&self) {
        loop {
            let report = self.outbox.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match report {
                Some(report) => self.deliver(report).await,
                None if self.finished.load(Relaxed) => return,
                None => self.posted.notified().await,
            }
        }
    }

    /// The same bytes under the same key, until they are acknowledged or refused for good.
    async fn deliver(&self, report: Report) {
        let mut pause = RETRY_AFTER;
        loop {
            match self.attempt(&report).await {
                Ok(rejected) => return self.note(&report, rejected),
                Err(status) if may_be_repeated(status.code()) => {
                    tracing::warn!(code = ?status.code(), message = status.message(), "a report waits");
                }
                Err(status) => {
                    self.ledger.refused.fetch_add(1, Relaxed);
                    return tracing::error!(code = ?status.code(), message = status.message(), "a report was refused");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_AFTER_MAX);
        }
    }

    async fn attempt(&self, report: &Report) -> Result<i32, tonic::Status> {
        match &report.body {
            Body::Usage(entries) => {
                let message = ReportUsageRequest {
                    entries: entries.clone(),
                    ..ReportUsageRequest::default()
                };
                let request = self.request(message, Some(&report.key));
                self.within(self.client.clone().report_usage(request))
                    .await
                    .map(|answer| answer.rejected)
            }
            Body::Outbound(items) => {
                let message = ReportOutboundUsageRequest {
                    items: items.clone(),
                    ..ReportOutboundUsageRequest::default()
                };
                let request = self.request(message, Some(&report.key));
                self.within(self.client.clone().report_outbound_usage(request))
                    .await
                    .map(|answer| answer.rejected)
            }
        }
    }

    fn note(&self, report: &Report, rejected: i32) {
        if rejected > 0 {
            tracing::error!(rejected, "Core put items of a report aside");
        }
        self.ledger.acknowledged.fetch_add(1, Relaxed);
        match &report.body {
            Body::Usage(entries) => {
                self.ledger
                    .usage_up
                    .fetch_add(entries.iter().map(|entry| entry.bytes_up).sum(), Relaxed);
                self.ledger
                    .usage_down
                    .fetch_add(entries.iter().map(|entry| entry.bytes_down).sum(), Relaxed);
            }
            Body::Outbound(items) => {
                self.ledger
                    .outbound_up
                    .fetch_add(items.iter().map(|item| item.bytes_up).sum(), Relaxed);
                self.ledger
                    .outbound_down
                    .fetch_add(items.iter().map(|item| item.bytes_down).sum(), Relaxed);
            }
        }
    }

    /// A report that the next one replaces: it is not repeated.
    async fn send_unkept<T, R, F, Fut>(&self, message: T, call: F)
    where
        F: FnOnce(NodeServiceClient<Channel>, Request<T>) -> Fut,
        Fut: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        if let Err(status) = self.call(message, call).await {
            tracing::warn!(code = ?status.code(), message = status.message(), "a snapshot was not taken");
        }
    }

    async fn call<T, R, F, Fut>(&self, message: T, call: F) -> Result<R, tonic::Status>
    where
        F: FnOnce(NodeServiceClient<Channel>, Request<T>) -> Fut,
        Fut: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        self.within(call(self.client.clone(), self.request(message, None)))
            .await
    }

    async fn within<R>(
        &self,
        call: impl Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    ) -> Result<R, tonic::Status> {
        let answer = timeout(CALL_WAIT, call)
            .await
            .map_err(|_| tonic::Status::deadline_exceeded("no answer"))?;
        self.ledger.calls.fetch_add(1, Relaxed);
        answer.map(tonic::Response::into_inner)
    }

    fn request<T>(&self, message: T, idempotency_key: Option<&str>) -> Request<T> {
        let mut request = Request::new(message);
        let texts = [
            ("x-node-auth-key", Some(self.identity.auth_key.as_str())),
            ("x-idempotency-key", idempotency_key),
        ];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| text.parse().ok()) {
                request.metadata_mut().insert(name, value);
            }
        }
        request
    }

    /// Waits for the next tick; false when the agent shall stop.
    async fn tick(&self, ticks: &mut tokio::time::Interval) -> bool {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            _ = ticks.tick() => true,
            _ = stopped.wait_for(|stopped| *stopped) => false,
        }
    }

    fn engine(&self) -> MutexGuard<'_, SimulatedEngine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the same report may be taken later.
fn may_be_repeated(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::Unauthenticated
    )
}

/// Stands in for Xray and telemt: serves the clients of its config with made-up traffic.
#[derive(Default)]
struct SimulatedEngine {
    revision: i64,
    clients: Vec<Client>,
    outbounds: Vec<String>,
    ticks: i64,
}

#[derive(Debug, Clone, Copy)]
struct Client {
    user: i64,
    subscription: Option<i64>,
    protocol: i64,
}

impl SimulatedEngine {
    /// Takes the clients out of the config. An engine that can't do what it says gives the reason.
    fn apply(&mut self, config: &GetLatestConfigResponse) -> Result<(), String> {
        let services: Value = serde_json::from_str(&config.services_json).map_err(|error| error.to_string())?;
        let map: BTreeMap<String, Value> =
            serde_json::from_str(&config.client_map_json).map_err(|error| error.to_string())?;
        let names = |list: &str, users: &str, name: &str| -> Vec<String> {
            let inbounds = services
                .pointer(list)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            let users = inbounds.iter().filter_map(|it| it.pointer(users)?.as_array()).flatten();
            users
                .filter_map(|user| user[name].as_str().map(str::to_owned))
                .collect()
        };
        let mut emails = names("/xray/inbounds", "/settings/clients", "email");
        emails.extend(names("/mtproto/inbounds", "/users", "username"));
        self.clients = emails.iter().filter_map(|email| client(email, &map)).collect();
        let outbounds = services
            .pointer("/xray/outbounds")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        self.outbounds = outbounds
            .iter()
            .filter_map(|it| it["tag"].as_str().map(str::to_owned))
            .collect();
        self.revision = config.revision;
        Ok(())
    }

    /// The bytes since the last time: per client, and per outbound.
    fn take_usage(&mut self) -> (Vec<UsageEntry>, Vec<OutboundUsageItem>) {
        let now = Clock::system().now().to_string();
        let usage: Vec<UsageEntry> = self
            .clients
            .iter()
            .map(|client| UsageEntry {
                user_id: client.user,
                subscription_id: client.subscription,
                node_protocol_id: client.protocol,
                bytes_up: rand::random_range(1_000..1_000_000),
                bytes_down: rand::random_range(10_000..30_000_000),
                recorded_at: now.clone(),
            })
            .collect();
        let (up, down) = usage.iter().fold((0, 0), |(up, down), entry| {
            (up + entry.bytes_up, down + entry.bytes_down)
        });
        let exit = self.outbounds.last().filter(|_| !usage.is_empty());
        let outbound = exit.map(|tag| OutboundUsageItem {
            tag: tag.clone(),
            bytes_up: up,
            bytes_down: down,
        });
        (usage, outbound.into_iter().collect())
    }

    fn online_users(&self) -> Vec<OnlineUser> {
        let now = Clock::system().now().to_string();
        let online = |client: &Client| OnlineUser {
            user_id: client.user,
            node_protocol_id: client.protocol,
            ips: vec![OnlineIp {
                ip: format!("198.51.100.{}", client.user.rem_euclid(250) + 1),
                last_seen: now.clone(),
            }],
        };
        self.clients.iter().map(online).collect()
    }

    fn stats(&mut self) -> ReportNodeStatsRequest {
        self.ticks += 1;
        let system = SystemStats {
            uptime_seconds: self.ticks * 2,
            cpu_percent: rand::random_range(1.0..20.0),
            cpu_cores: 2,
            ram_used: 600 << 20,
            ram_total: 2 << 30,
            disk_used: 4 << 30,
            disk_total: 20 << 30,
            ..SystemStats::default()
        };
        let xray = XrayStats {
            running: self.revision > 0,
            uptime_seconds: Some(self.ticks * 2),
        };
        ReportNodeStatsRequest {
            system: Some(system),
            xray: Some(xray),
            ..ReportNodeStatsRequest::default()
        }
    }
}

/// Reads `u{userId}.l{linkId}.s{lsId}.i{protoId}`; the client map says who pays.
fn client(email: &str, map: &BTreeMap<String, Value>) -> Option<Client> {
    let mut parts = email.split('.');
    let mut number = |letter: char| parts.next()?.strip_prefix(letter)?.parse::<i64>().ok();
    let (user, _link, credentials, protocol) = (number('u')?, number('l')?, number('s')?, number('i')?);
    let subscription = map
        .get(&credentials.to_string())
        .and_then(|payer| payer["subscriptionId"].as_i64());
    Some(Client {
        user,
        subscription,
        protocol,
    })
}

/// Runs one agent from its environment, until Ctrl-C.
#[allow(dead_code, reason = "the demo includes this file as a module and runs agents itself")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    vpn_core::telemetry::start_log(None);
    let text = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let settings = AgentSettings {
        core_url: text("CORE_URL", "http://127.0.0.1:3001"),
        grpc_url: text("CORE_GRPC_URL", "http://127.0.0.1:3002"),
        insecure: text("CORE_INSECURE", "false") == "true",
        code: text("REGISTRATION_CODE", ""),
        name: text("NODE_NAME", "node"),
        ip: text("NODE_IP", "127.0.0.1"),
        port: text("PORT", "8000").parse().context("PORT must be a port")?,
        region: text("NODE_REGION", ""),
        key_file: text("NODE_KEY_FILE", "./node-key.json").into(),
        usage_every: Duration::from_mins(1),
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
