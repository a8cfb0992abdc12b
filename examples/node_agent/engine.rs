//! What an agent runs: Xray and telemt, or a stand-in for both.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use serde_json::Value;
use tokio::sync::mpsc;
use vpn_core::proto::nodeservice::{GetLatestConfigResponse, OnlineUser, ReportNodeStatsRequest};

use super::{
    counters::Usage, machine::Machine, payers::Payers, simulated::Simulated, supervision::supervise, telemt::Telemt,
    xray::Xray,
};

/// Which engines there are.
#[derive(Debug, Clone, Default)]
pub struct EngineSettings {
    /// A program with its arguments; the path of the config file is appended.
    pub xray: Option<Vec<String>>,
    /// The same for telemt.
    pub telemt: Option<Vec<String>>,
    /// Where configs and process ids are written. Needed where a command is.
    pub folder: PathBuf,
}

/// A config as the engines need it.
#[derive(Debug)]
pub struct NodeConfig {
    /// Which.
    pub revision: i64,
    /// `clientMap`.
    pub payers: Payers,
    /// `services.xray`; null = none.
    pub xray: Value,
    /// `services.mtproto.inbounds`.
    pub mtproto: Vec<Value>,
}

impl NodeConfig {
    /// Reads what Core sent.
    pub fn read(config: &GetLatestConfigResponse) -> Result<Self, String> {
        let mut services: Value =
            serde_json::from_str(&config.services_json).map_err(|error| format!("services can't be read: {error}"))?;
        let mtproto = services.pointer_mut("/mtproto/inbounds").map(Value::take);
        let mtproto = match mtproto {
            Some(Value::Array(inbounds)) => inbounds,
            _ => Vec::new(),
        };
        Ok(Self {
            revision: config.revision,
            payers: Payers::read(&config.client_map_json)?,
            xray: services.get_mut("xray").map(Value::take).unwrap_or_default(),
            mtproto,
        })
    }
}

/// See the module.
#[derive(Debug)]
pub enum Engine {
    /// Makes traffic up.
    Simulated(Mutex<Simulated>),
    /// Runs what it has a command for.
    Real(Box<Real>),
}

/// Real engines on a real machine.
#[derive(Debug)]
pub struct Real {
    xray: Option<Xray>,
    telemt: Option<Telemt>,
    machine: Mutex<Machine>,
    folder: PathBuf,
}

impl Engine {
    /// The engines of these settings; without any command the stand-in.
    pub fn new(settings: EngineSettings) -> anyhow::Result<Self> {
        if settings.xray.is_none() && settings.telemt.is_none() {
            return Ok(Self::Simulated(Mutex::default()));
        }
        std::fs::create_dir_all(&settings.folder).context("the engines' folder can't be made")?;
        let folder = settings.folder.canonicalize()?;
        Ok(Self::Real(Box::new(Real {
            xray: settings.xray.map(|command| Xray::new(command, &folder)),
            telemt: settings.telemt.map(|command| Telemt::new(command, &folder)),
            machine: Mutex::default(),
            folder,
        })))
    }

    /// Runs this config from now on; if it can't, the old one goes on running, and the words are for Core.
    pub async fn apply(&self, config: NodeConfig) -> Result<(), String> {
        match self {
            Self::Simulated(engine) => {
                lock(engine).apply(&config);
                Ok(())
            }
            Self::Real(engine) => engine.apply(config).await,
        }
    }

    /// The bytes since the last time.
    pub async fn take_usage(&self) -> Usage {
        match self {
            Self::Simulated(engine) => lock(engine).take_usage(),
            Self::Real(engine) => {
                let mut usage = Usage::default();
                if let Some(xray) = &engine.xray {
                    usage = usage.join(xray.take_usage().await);
                }
                if let Some(telemt) = &engine.telemt {
                    usage = usage.join(telemt.take_usage().await);
                }
                usage
            }
        }
    }

    /// Everybody who is connected.
    pub async fn online_users(&self) -> Vec<OnlineUser> {
        match self {
            Self::Simulated(engine) => lock(engine).online_users(),
            Self::Real(engine) => {
                let mut users = Vec::new();
                if let Some(xray) = &engine.xray {
                    users.extend(xray.online_users().await);
                }
                if let Some(telemt) = &engine.telemt {
                    users.extend(telemt.online_users().await);
                }
                users
            }
        }
    }

    /// What the machine and the engines look like.
    pub async fn stats(&self) -> ReportNodeStatsRequest {
        match self {
            Self::Simulated(engine) => lock(engine).stats(),
            Self::Real(engine) => {
                let system = lock(&engine.machine).stats(&engine.folder);
                let mtproto = match &engine.telemt {
                    Some(telemt) => telemt.status().await,
                    None => String::new(),
                };
                ReportNodeStatsRequest {
                    system: Some(system),
                    xray: engine.xray.as_ref().map(Xray::stats),
                    mtproto_json: mtproto,
                    ..ReportNodeStatsRequest::default()
                }
            }
        }
    }

    /// Starts again what ends by itself, for ever; the words for Core go into `errors`.
    pub async fn supervise(&self, errors: mpsc::Sender<String>) {
        let Self::Real(engine) = self else {
            return std::future::pending().await;
        };
        let xray = async {
            if let Some(xray) = &engine.xray {
                supervise(xray, &errors).await;
            }
        };
        let telemt = async {
            if let Some(telemt) = &engine.telemt {
                supervise(telemt, &errors).await;
            }
        };
        tokio::join!(xray, telemt);
    }

    /// Ends the engines; what they counted is in the next [`Engine::take_usage`].
    pub async fn stop(&self) {
        if let Self::Real(engine) = self {
            if let Some(xray) = &engine.xray {
                xray.stop().await;
            }
            if let Some(telemt) = &engine.telemt {
                telemt.stop().await;
            }
        }
    }
}

impl Real {
    async fn apply(&self, config: NodeConfig) -> Result<(), String> {
        let listens = config.xray["inbounds"].as_array().is_some_and(|it| !it.is_empty());
        if listens && self.xray.is_none() {
            return Err("the config has Xray inbounds, and XRAY_COMMAND is not set".to_owned());
        }
        if !config.mtproto.is_empty() && self.telemt.is_none() {
            return Err("the config has MTProto inbounds, and TELEMT_COMMAND is not set".to_owned());
        }
        // What one of them refuses must not keep the other from its users.
        let telemt = match &self.telemt {
            Some(telemt) => telemt.apply(&config.mtproto, config.payers.clone()).await,
            None => Ok(()),
        };
        let xray = match &self.xray {
            Some(xray) => xray.apply(config.xray, config.payers).await,
            None => Ok(()),
        };
        xray.and(telemt)
    }
}

/// Writes a file that only the agent can read: configs hold keys.
pub fn write_secret(path: &Path, text: &str) -> Result<(), String> {
    let write = || {
        let mut file = std::fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())
    };
    write().map_err(|error: std::io::Error| format!("{} can't be written: {error}", path.display()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
