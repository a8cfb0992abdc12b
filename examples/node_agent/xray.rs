//! Xray as the engine: a child process, its config, and its API.
//!
//! Its users are changed while it runs; anything else takes a restart. The newcomer is started beside the old process (Xray shares its
//! ports), so that a config that Xray refuses interrupts nobody.

#[path = "xray/api.rs"]
mod api;
#[path = "xray/users.rs"]
mod users;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use vpn_core::{
    model::Time,
    proto::nodeservice::{OnlineIp, OnlineUser, XrayStats},
};

use self::{api::Api, users::Change};
use super::{
    counters::{Counters, Tally, Usage},
    engine::write_secret,
    payers::Payers,
    process::{Health, PidFile, Process, free_port},
    supervision::Supervised,
};

/// How long Xray may take to start: 200,000 users take 2 s.
const START_WAIT: Duration = Duration::from_secs(20);

/// How often it is asked whether it has started.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Xray's exit code for a config that it refuses.
const REFUSED: i32 = 23;

/// See the module.
#[derive(Debug)]
pub struct Xray {
    command: Vec<String>,
    config_file: PathBuf,
    pids: PidFile,
    state: tokio::sync::Mutex<State>,
    health: Mutex<Option<Health>>,
    died: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Running>,
    /// What was applied last; null = nothing yet.
    config: Value,
    payers: Payers,
    /// Read, and in no report yet.
    tally: Tally,
}

#[derive(Debug)]
struct Running {
    process: Process,
    api_port: u16,
    api: Api,
    counters: Counters,
    /// A change of users failed half-way: only a restart makes it whole.
    torn: bool,
}

/// Why a process is not there.
enum Failure {
    /// Another try would end the same.
    Refused(String),
    /// It may be that the old process was in the way.
    NotStarted(String),
}

impl Xray {
    /// Xray, not running yet, with `xray.json` in this folder.
    pub fn new(command: Vec<String>, folder: &Path) -> Self {
        let config_file = folder.join("xray.json");
        let pids = PidFile::beside(&config_file);
        pids.end_leftovers();
        Self {
            command,
            config_file,
            pids,
            state: tokio::sync::Mutex::default(),
            health: Mutex::default(),
            died: Arc::default(),
        }
    }

    /// Runs this config from now on; if it can't, the old one goes on running.
    pub async fn apply(&self, config: Value, payers: Payers) -> Result<(), String> {
        let mut state = self.state.lock().await;
        // What was counted until now belongs to those who paid until now.
        state.read_counters().await;
        state.payers.update(payers);
        if state.alter_users(&config).await {
            state.read_counters().await;
        } else {
            self.restart(&mut state, &config).await?;
        }
        state.config = config;
        Ok(())
    }

    async fn restart(&self, state: &mut State, config: &Value) -> Result<(), String> {
        let result = match self.start(config).await {
            Ok(new) => {
                self.replace(state, Some(new)).await;
                return Ok(());
            }
            Err(Failure::NotStarted(_)) if state.lives() => {
                // A listener that can't be shared, such as WireGuard's: the old process has to make room.
                self.replace(state, None).await;
                match self.start(config).await {
                    Ok(new) => {
                        self.replace(state, Some(new)).await;
                        return Ok(());
                    }
                    Err(failure) => failure.words(),
                }
            }
            Err(failure) => failure.words(),
        };
        self.go_back(state).await?;
        Err(result)
    }

    /// After a failed start: the old config is on disk again, and runs.
    async fn go_back(&self, state: &mut State) -> Result<(), String> {
        if state.config.is_null() {
            return Ok(());
        }
        if let Some(running) = state.running.as_ref().filter(|it| it.process.end().is_none()) {
            return self.write_config(&state.config, running.api_port);
        }
        let old = state.config.clone();
        let running = self.start(&old).await.map_err(Failure::words)?;
        self.replace(state, Some(running)).await;
        Ok(())
    }

    /// Starts a process with this config and waits until it serves.
    async fn start(&self, config: &Value) -> Result<Running, Failure> {
        let io = |error: std::io::Error| Failure::NotStarted(format!("Xray can't be started: {error}"));
        let port = free_port().map_err(io)?;
        self.write_config(config, port).map_err(Failure::NotStarted)?;
        let process = Process::start(&self.command, &self.config_file, Arc::clone(&self.died)).map_err(io)?;
        let api = Api::at(port).map_err(Failure::NotStarted)?;
        let serves = async {
            while process.end().is_none() && !api.answers().await {
                sleep(ASK_EVERY).await;
            }
        };
        let in_time = timeout(START_WAIT, serves).await.is_ok();
        match process.end() {
            Some(status) => {
                let words = format!("Xray ended with {status}: {}", process.last_words());
                Err(if status.code() == Some(REFUSED) {
                    Failure::Refused(format!("the config was refused: {words}"))
                } else {
                    Failure::NotStarted(words)
                })
            }
            None if in_time => Ok(Running {
                process,
                api_port: port,
                api,
                counters: Counters::default(),
                torn: false,
            }),
            None => {
                process.kill().await;
                Err(Failure::NotStarted(format!(
                    "Xray did not answer within {START_WAIT:?}"
                )))
            }
        }
    }

    /// `services.xray` as it is, but for the address of the API: two processes must not share one.
    fn write_config(&self, config: &Value, api_port: u16) -> Result<(), String> {
        let mut config = config.clone();
        if config["api"].is_object() {
            config["api"]["listen"] = format!("127.0.0.1:{api_port}").into();
        }
        write_secret(&self.config_file, &config.to_string())
    }

    /// Puts another process in the place of the one that runs, which is retired.
    async fn replace(&self, state: &mut State, new: Option<Running>) {
        *self.health() = new.as_ref().map(|running| running.process.health());
        let pids: Vec<u32> = new.iter().map(|running| running.process.pid()).collect();
        let old = state.running.take();
        if let Some(old) = old {
            state.retire(old).await;
        }
        state.running = new;
        if let Err(error) = self.pids.write(&pids) {
            tracing::warn!(%error, "the process ids can't be written");
        }
    }

    /// Ends Xray; what it counted is in the next [`Xray::take_usage`].
    pub async fn stop(&self) {
        let mut state = self.state.lock().await;
        self.replace(&mut state, None).await;
    }

    /// The bytes since the last time.
    pub async fn take_usage(&self) -> Usage {
        let mut state = self.state.lock().await;
        state.read_counters().await;
        state.tally.take()
    }

    /// Everybody who is connected. The counters are read on the way: an Xray that dies takes only the last seconds with it.
    pub async fn online_users(&self) -> Vec<OnlineUser> {
        let mut state = self.state.lock().await;
        state.read_counters().await;
        let Some(running) = state.running.as_ref().filter(|it| it.process.end().is_none()) else {
            return Vec::new();
        };
        match running.api.online().await {
            Ok(online) => online
                .iter()
                .filter_map(|user| online_user(user, &state.payers))
                .collect(),
            Err(why) => {
                tracing::warn!(why, "who is online can't be read");
                Vec::new()
            }
        }
    }

    /// Whether it runs.
    pub fn stats(&self) -> XrayStats {
        let health = self.health().clone().filter(Health::running);
        XrayStats {
            running: health.is_some(),
            uptime_seconds: health.map(|health| i64::try_from(health.age().as_secs()).unwrap_or(i64::MAX)),
        }
    }

    fn health(&self) -> MutexGuard<'_, Option<Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Supervised for Xray {
    fn died(&self) -> &Notify {
        &self.died
    }

    async fn ending(&self) -> Option<(String, Duration)> {
        let state = self.state.lock().await;
        let process = &state.running.as_ref()?.process;
        let status = process.end()?;
        let words = format!("Xray ended by itself with {status}: {}", process.last_words());
        Some((words, process.health().age()))
    }

    async fn revive(&self) -> Result<(), String> {
        let mut state = self.state.lock().await;
        if state.lives() || state.running.is_none() {
            return Ok(());
        }
        let config = state.config.clone();
        let running = self.start(&config).await.map_err(Failure::words)?;
        self.replace(&mut state, Some(running)).await;
        Ok(())
    }
}

impl State {
    fn lives(&self) -> bool {
        self.running.as_ref().is_some_and(|it| it.process.end().is_none())
    }

    /// Changes users in the running process; false if that takes a restart.
    async fn alter_users(&mut self, config: &Value) -> bool {
        let Some(running) = self
            .running
            .as_mut()
            .filter(|it| it.process.end().is_none() && !it.torn)
        else {
            return false;
        };
        let Some(changes) = users::changes(&self.config, config) else {
            return false;
        };
        let added = changes.iter().filter(|it| matches!(it, Change::Add { .. })).count();
        let (all, removed) = (changes.len(), changes.len() - added);
        match running.api.alter(changes).await {
            Ok(()) => {
                tracing::info!(added, removed, "users were changed without a restart");
                true
            }
            Err(why) => {
                tracing::warn!(why, all, "users can't be changed without a restart");
                running.torn = true;
                false
            }
        }
    }

    /// Reads what a process counted to its end, as well as that goes, and ends it: no new connections, then the counters, then the
    /// end. What moves between the last two steps, some milliseconds, is not counted.
    async fn retire(&mut self, mut old: Running) {
        if old.process.end().is_none() {
            for inbound in self.config["inbounds"].as_array().into_iter().flatten() {
                if let Some(tag) = inbound["tag"].as_str()
                    && let Err(why) = old.api.stop_listening(tag).await
                {
                    tracing::warn!(why, tag, "an inbound goes on listening");
                }
            }
            self.read_from(&mut old).await;
        }
        old.process.kill().await;
    }

    async fn read_counters(&mut self) {
        if let Some(mut running) = self.running.take() {
            if running.process.end().is_none() {
                self.read_from(&mut running).await;
            }
            self.running = Some(running);
        }
    }

    /// What can't be read now is read the next time: a difference loses nothing.
    async fn read_from(&mut self, running: &mut Running) {
        for kind in ["user>>>", "outbound>>>"] {
            match running.api.counters(kind).await {
                Ok(stats) => {
                    for stat in stats {
                        let bytes = running.counters.difference(&stat.name, stat.value);
                        if bytes > 0 {
                            self.count(&stat.name, bytes);
                        }
                    }
                }
                Err(why) => tracing::warn!(why, "the counters can't be read"),
            }
        }
    }

    /// Counters are named `user>>>EMAIL>>>traffic>>>uplink`, `outbound>>>TAG>>>traffic>>>downlink` and so on.
    fn count(&mut self, name: &str, bytes: i64) {
        let parts: Vec<&str> = name.split(">>>").collect();
        let (up, down) = match parts.last() {
            Some(&"uplink") => (bytes, 0),
            Some(&"downlink") => (0, bytes),
            _ => return,
        };
        match parts[..] {
            ["user", email, "traffic", _] => match self.payers.of(email) {
                Some(payer) => self.tally.client(payer, up, down),
                None => tracing::error!(email, bytes, "nobody is known by this name"),
            },
            ["outbound", tag, "traffic", _] => self.tally.outbound(tag, up, down),
            _ => {}
        }
    }
}

impl Failure {
    fn words(self) -> String {
        match self {
            Self::Refused(words) | Self::NotStarted(words) => words,
        }
    }
}

fn online_user(online: &api::Online, payers: &Payers) -> Option<OnlineUser> {
    let payer = payers.of(&online.email)?;
    let ips = online.ips.iter().map(|(ip, seconds)| OnlineIp {
        ip: ip.clone(),
        last_seen: Time::from_millis(seconds.saturating_mul(1_000)).to_string(),
    });
    Some(OnlineUser {
        user_id: payer.user,
        node_protocol_id: payer.protocol,
        ips: ips.collect(),
    })
}
