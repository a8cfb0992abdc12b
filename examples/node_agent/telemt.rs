//! telemt as the engine of MTProto: one process an inbound, because a process has one table of users and one domain.

#[path = "telemt/config.rs"]
mod config;
#[path = "telemt/metrics.rs"]
mod metrics;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value, json};
use tokio::{
    sync::{Mutex, Notify},
    time::{sleep, timeout},
};
use vpn_core::{
    clock::Clock,
    proto::nodeservice::{OnlineIp, OnlineUser},
};

use self::config::Ports;
use super::{
    counters::{Counters, Tally, Usage},
    engine::write_secret,
    payers::Payers,
    process::{PidFile, Process, free_port},
    supervision::Supervised,
};

/// How long telemt may take to start.
const START_WAIT: Duration = Duration::from_secs(20);

/// How often it is asked whether it has started.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How long an answer on loopback may take.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub struct Telemt {
    command: Vec<String>,
    folder: PathBuf,
    http: reqwest::Client,
    state: Mutex<State>,
    died: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    instances: BTreeMap<String, Instance>,
    payers: Payers,
    tally: Tally,
}

#[derive(Debug)]
struct Instance {
    inbound: Value,
    ports: Ports,
    process: Process,
    counters: Counters,
}

impl Telemt {
    /// telemt, not running yet, with a config file for each inbound in this folder.
    pub fn new(command: Vec<String>, folder: &Path) -> Self {
        Self {
            command,
            folder: folder.to_owned(),
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(ANSWER_WAIT)
                .build()
                .unwrap_or_default(),
            state: Mutex::default(),
            died: Arc::default(),
        }
    }

    /// Runs these inbounds from now on. Each that differs is started anew; one that can't be started goes on as it was.
    pub async fn apply(&self, inbounds: &[Value], payers: Payers) -> Result<(), String> {
        let mut state = self.state.lock().await;
        self.read_counters(&mut state).await;
        state.payers.update(payers);
        let tag = |inbound: &Value| inbound["tag"].as_str().unwrap_or_default().to_owned();
        let wanted: BTreeSet<String> = inbounds.iter().map(tag).collect();
        let gone: Vec<String> = state
            .instances
            .keys()
            .filter(|it| !wanted.contains(*it))
            .cloned()
            .collect();
        for tag in gone {
            self.end(&mut state, &tag).await;
        }
        let mut wrong = Vec::new();
        for inbound in inbounds {
            let tag = tag(inbound);
            let before = state.instances.get(&tag).map(|it| it.inbound.clone());
            if before.as_ref() == Some(inbound) {
                continue;
            }
            self.end(&mut state, &tag).await;
            if let Err(why) = self.begin(&mut state, &tag, inbound).await {
                wrong.push(why);
                if let Some(before) = before
                    && let Err(why) = self.begin(&mut state, &tag, &before).await
                {
                    wrong.push(why);
                }
            }
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("; "))
        }
    }

    async fn begin(&self, state: &mut State, tag: &str, inbound: &Value) -> Result<(), String> {
        let io = |error: std::io::Error| format!("{tag}: telemt can't be started: {error}");
        let ports = Ports {
            metrics: free_port().map_err(io)?,
            api: free_port().map_err(io)?,
        };
        let file = self.file(tag);
        write_secret(&file, &config::render(inbound, ports)?)?;
        let pids = PidFile::beside(&file);
        pids.end_leftovers();
        let process = Process::start(&self.command, &file, Arc::clone(&self.died)).map_err(io)?;
        pids.write(&[process.pid()]).map_err(io)?;
        let serves = async {
            while process.end().is_none() && self.metrics(ports).await.is_none() {
                sleep(ASK_EVERY).await;
            }
        };
        let in_time = timeout(START_WAIT, serves).await.is_ok();
        if let Some(status) = process.end() {
            return Err(format!("{tag}: telemt ended with {status}: {}", process.last_words()));
        }
        if !in_time {
            process.kill().await;
            return Err(format!("{tag}: telemt did not answer within {START_WAIT:?}"));
        }
        let instance = Instance {
            inbound: inbound.clone(),
            ports,
            process,
            counters: Counters::default(),
        };
        state.instances.insert(tag.to_owned(), instance);
        Ok(())
    }

    /// Reads what a process counted, and ends it.
    async fn end(&self, state: &mut State, tag: &str) {
        if let Some(mut instance) = state.instances.remove(tag) {
            self.read_from(&mut instance, &state.payers, &mut state.tally).await;
            instance.process.terminate().await;
        }
    }

    fn file(&self, tag: &str) -> PathBuf {
        self.folder.join(format!("telemt-{tag}.toml"))
    }

    /// Ends all of it; what was counted is in the next [`Telemt::take_usage`].
    pub async fn stop(&self) {
        let mut state = self.state.lock().await;
        let tags: Vec<String> = state.instances.keys().cloned().collect();
        for tag in tags {
            self.end(&mut state, &tag).await;
        }
    }

    /// The bytes since the last time.
    pub async fn take_usage(&self) -> Usage {
        let mut state = self.state.lock().await;
        self.read_counters(&mut state).await;
        state.tally.take()
    }

    async fn read_counters(&self, state: &mut State) {
        for instance in state.instances.values_mut() {
            self.read_from(instance, &state.payers, &mut state.tally).await;
        }
    }

    async fn read_from(&self, instance: &mut Instance, payers: &Payers, tally: &mut Tally) {
        let Some(text) = self.metrics(instance.ports).await else {
            return;
        };
        for sample in metrics::samples(&text) {
            let up = match sample.name {
                "telemt_user_octets_from_client" => true,
                "telemt_user_octets_to_client" => false,
                _ => continue,
            };
            let key = format!("{} {}", sample.name, sample.user);
            let bytes = instance.counters.difference(&key, sample.value);
            if let Some(payer) = payers.of(sample.user).filter(|_| bytes > 0) {
                let (up, down) = if up { (bytes, 0) } else { (0, bytes) };
                tally.client(payer, up, down);
            }
        }
    }

    async fn metrics(&self, ports: Ports) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/metrics", ports.metrics);
        self.http
            .get(url)
            .send()
            .await
            .ok()?
            .error_for_status()
            .ok()?
            .text()
            .await
            .ok()
    }

    /// The `data` of an answer of telemt's API; null if there is none.
    async fn ask(&self, ports: Ports, what: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/v1/{what}", ports.api);
        let answer = async { self.http.get(url).send().await?.json::<Value>().await };
        answer.await.map_or(Value::Null, |mut body| body["data"].take())
    }

    /// Everybody who is connected.
    pub async fn online_users(&self) -> Vec<OnlineUser> {
        let state = self.state.lock().await;
        let now = Clock::system().now().to_string();
        let mut users = Vec::new();
        for instance in state.instances.values() {
            let online = self.ask(instance.ports, "stats/users/active-ips").await;
            users.extend(online.as_array().into_iter().flatten().filter_map(|user| {
                let payer = state.payers.of(user["username"].as_str()?)?;
                let ips = user["active_ips"].as_array()?.iter().filter_map(Value::as_str);
                Some(OnlineUser {
                    user_id: payer.user,
                    node_protocol_id: payer.protocol,
                    ips: ips
                        .map(|ip| OnlineIp {
                            ip: ip.to_owned(),
                            last_seen: now.clone(),
                        })
                        .collect(),
                })
            }));
        }
        users
    }

    /// `MtProtoStatus` by tag, as JSON; what telemt does not say is null.
    pub async fn status(&self) -> String {
        // A start holds the state for long; the next look is in 2 s.
        let Ok(state) = self.state.try_lock() else {
            return String::new();
        };
        let mut all = Map::new();
        for (tag, instance) in &state.instances {
            all.insert(tag.clone(), self.status_of(instance).await);
        }
        Value::Object(all).to_string()
    }

    async fn status_of(&self, instance: &Instance) -> Value {
        let ports = instance.ports;
        let (ready, info, gates, summary, text) = tokio::join!(
            self.ask(ports, "health/ready"),
            self.ask(ports, "system/info"),
            self.ask(ports, "runtime/gates"),
            self.ask(ports, "stats/summary"),
            self.metrics(ports),
        );
        let text = text.unwrap_or_default();
        let open = metrics::samples(&text).filter(|it| it.name == "telemt_user_connections_current");
        let open: Vec<i64> = open.map(|it| it.value).collect();
        let health = instance.process.health();
        json!({
            "running": health.running(),
            "ready": ready["ready"],
            "accepting": gates["accepting_new_connections"],
            "version": info["version"],
            "pid": instance.process.pid(),
            "startedAt": health.started.to_string(),
            "uptimeSeconds": health.age().as_secs(),
            "configHash": info["config_hash"],
            "configuredUsers": instance.inbound["users"].as_array().map_or(0, Vec::len),
            "activeUsers": open.iter().filter(|it| **it > 0).count(),
            "currentConnections": open.iter().sum::<i64>(),
            "connectionsTotal": summary["connections_total"],
            "connectionsBadTotal": summary["connections_bad_total"],
            "handshakeTimeoutsTotal": summary["handshake_timeouts_total"],
            "routeMode": gates["route_mode"],
            "healthyUpstreams": ready["healthy_upstreams"],
            "totalUpstreams": ready["total_upstreams"],
            "error": instance.process.end().map(|status| status.to_string()),
        })
    }
}

impl Supervised for Telemt {
    fn died(&self) -> &Notify {
        &self.died
    }

    async fn ending(&self) -> Option<(String, Duration)> {
        let state = self.state.lock().await;
        state.instances.iter().find_map(|(tag, instance)| {
            let status = instance.process.end()?;
            let words = format!(
                "{tag}: telemt ended by itself with {status}: {}",
                instance.process.last_words()
            );
            Some((words, instance.process.health().age()))
        })
    }

    async fn revive(&self) -> Result<(), String> {
        let mut state = self.state.lock().await;
        let ended = state
            .instances
            .iter()
            .find(|(_, instance)| instance.process.end().is_some());
        let Some((tag, inbound)) = ended.map(|(tag, instance)| (tag.clone(), instance.inbound.clone())) else {
            return Ok(());
        };
        self.begin(&mut state, &tag, &inbound).await
    }
}
