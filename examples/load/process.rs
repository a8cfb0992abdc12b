//! Servers as processes of their own, and what they cost.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use serde::Deserialize;
use tempfile::TempDir;

use super::{
    ground::{Ground, SCHEMA},
    harness::{eventually, memory::memory},
};

/// More lines than these of what a server calls an error are not repeated.
const SAID_MAX: usize = 20;

/// A count for each thread.
pub type Switches = BTreeMap<OsString, u64>;

/// A server that runs; killed with this value.
pub struct Process {
    child: Child,
    /// Where it answers gRPC.
    pub port: u16,
    /// What it says, if that is kept.
    log: Option<PathBuf>,
    /// Removed with this value.
    dir: Option<TempDir>,
}

impl Process {
    /// The bare server.
    pub fn control() -> anyhow::Result<Self> {
        Self::of_this(&["control"])
    }

    /// The first version.
    pub fn naive(ground: &Ground) -> anyhow::Result<Self> {
        Self::of_this(&["naive", &ground.url()])
    }

    fn of_this(args: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("it is piped")?).read_line(&mut line)?;
        Ok(Self {
            child,
            port: line.trim().parse().context("the port that it says")?,
            log: None,
            dir: None,
        })
    }

    /// Core on this ground. Without limits: it is they that would be measured.
    pub async fn core(ground: &Ground) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let mut core = Self::core_in(ground, dir.path()).await?;
        core.dir = Some(dir);
        Ok(core)
    }

    /// The same with a data folder that may have been used; ready when this returns.
    pub async fn core_in(ground: &Ground, dir: &Path) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Ports {
            grpc: u16,
            pid: u32,
        }
        let log = dir.join("log");
        let child = Command::new(binary()?)
            .env_clear()
            .envs([("HTTP_PORT", "0"), ("GRPC_PORT", "0"), ("ADMIN_PORT", "0")])
            .envs([("LIMITS", "off"), ("LOG_FORMAT", "json"), ("DATABASE_SCHEMA", SCHEMA)])
            .env("DATABASE_URL", ground.url())
            .env("DATA_DIR", dir)
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .spawn()?;
        let path = dir.join("ports.json");
        let ports: Ports = eventually("ports.json", || {
            let text = std::fs::read_to_string(&path).ok();
            let ports: Option<Ports> = text.and_then(|text| serde_json::from_str(&text).ok());
            // That of a Core which was killed names another process.
            std::future::ready(ports.filter(|ports| ports.pid == child.id()))
        })
        .await;
        Ok(Self {
            child,
            port: ports.grpc,
            log: Some(log),
            dir: None,
        })
    }

    /// The time that its threads ran, by the scheduler. A thread that ended is no longer in it.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"));
            let Ok(text) = text else { continue };
            nanos += text.split(' ').next().context("schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// How often each of its threads went to sleep since its start: each time something had woken it up.
    pub fn switches(&self) -> anyhow::Result<Switches> {
        let mut switches = Switches::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = task?;
            let text = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            if let Some(count) = line {
                switches.insert(task.file_name(), count.trim().parse()?);
            }
        }
        Ok(switches)
    }

    /// How often they did since then. What a thread did that ended meanwhile is not known.
    pub fn switches_since(&self, before: &Switches) -> anyhow::Result<u64> {
        let since = |(thread, now): (OsString, u64)| now - before.get(&thread).copied().unwrap_or(0);
        Ok(self.switches()?.into_iter().map(since).sum())
    }

    /// What it has in memory, in MiB: `VmRSS` is now, `VmHWM` the most there ever was.
    pub fn mebibytes(&self, line: &str) -> u64 {
        memory(self.child.id(), line) >> 20
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(|_| ())) {
            eprintln!("a server can't be ended: {error}");
        }
        let Some(log) = &self.log else { return };
        let said = std::fs::read_to_string(log).unwrap_or_else(|error| format!("its log can't be read: ERROR {error}"));
        for line in said.lines().filter(|line| line.contains("ERROR")).take(SAID_MAX) {
            eprintln!("Core said: {line}");
        }
    }
}

/// Core of the same build: it lies beside the folder of the examples.
fn binary() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let folder = exe.parent().and_then(Path::parent).context("a folder of examples")?;
    let binary = folder.join("vpn-core");
    anyhow::ensure!(
        binary.exists(),
        "{} is missing: build it with --bin vpn-core",
        binary.display()
    );
    Ok(binary)
}
