//! Core as the process that a user starts.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use serde::Deserialize;

use super::{
    eventually,
    http::Admin,
    memory::{forget_peak, memory},
};

/// The token that tests give Core.
pub const ADMIN_TOKEN: &str = "a-token-for-tests-only";

/// The sample catalogue: nodes 1 to 3; node n has the inbounds n1 (vless), n2 (trojan), n3 (mtproto) and the outbound `exit-n`; users,
/// subscriptions and links 1 and 2.
pub const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/catalog.json");

/// A data folder, and Core running on it.
pub struct Core {
    child: Child,
    dir: PathBuf,
    /// Where it listens.
    pub ports: Ports,
}

/// `ports.json`
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Ports {
    /// The process.
    pub pid: u32,
    /// Node HTTP.
    pub http: u16,
    /// Node gRPC.
    pub grpc: u16,
    /// Admin HTTP.
    pub admin: u16,
}

impl Core {
    /// Starts Core on this folder, with these settings besides.
    pub async fn start_with(dir: &Path, settings: &[(&str, &str)]) -> Self {
        let child = command(dir)
            .arg("serve")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log(dir))
            .spawn()
            .expect("the binary is there");
        let mut core = Self {
            child,
            dir: dir.to_owned(),
            ports: Ports {
                pid: 0,
                http: 0,
                grpc: 0,
                admin: 0,
            },
        };
        core.ports = core.wait_for_ports().await;
        core
    }

    /// Starts Core on this folder.
    pub async fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[]).await
    }

    async fn wait_for_ports(&mut self) -> Ports {
        let pid = self.child.id();
        let path = self.dir.join("ports.json");
        let child = &mut self.child;
        let dir = self.dir.clone();
        eventually("ports.json", || {
            if let Some(status) = child.try_wait().expect("it is our child") {
                panic!("Core ended at its start with {status}:\n{}", read_log(&dir));
            }
            let text = std::fs::read_to_string(&path).ok();
            // A file of an earlier run, before this one has removed it, names another process.
            let ports: Option<Ports> = text.and_then(|text| serde_json::from_str(&text).ok());
            std::future::ready(ports.filter(|ports| ports.pid == pid))
        })
        .await
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        read_log(&self.dir)
    }

    /// How much memory it holds, in bytes.
    pub fn resident(&self) -> u64 {
        memory(self.child.id(), "VmRSS")
    }

    /// The most that it held since [`Self::forget_peak`].
    pub fn peak(&self) -> u64 {
        memory(self.child.id(), "VmHWM")
    }

    /// From now on the peak is counted anew.
    pub fn forget_peak(&self) {
        forget_peak(self.child.id());
    }

    /// How many files and connections it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(self.proc("fd")).expect("it is our child").count()
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    /// Its admin API, with the token of the tests.
    pub fn admin(&self) -> Admin {
        Admin::new(self.ports.admin, ADMIN_TOKEN)
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Kills it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill is there").success());
    }

    /// Waits until it has ended by itself.
    pub async fn wait(mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the end of the process", || {
            std::future::ready(child.try_wait().expect("it is our child"))
        })
        .await
    }

    /// Has it stop as an operator would, and checks that it was content.
    pub async fn stop(self) {
        self.signal("TERM");
        let dir = self.dir.clone();
        let status = self.wait().await;
        assert!(status.success(), "{status}:\n{}", read_log(&dir));
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let ended = self.child.kill().and_then(|()| self.child.wait());
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

/// Runs a command of the binary on this folder; gives what it prints.
pub fn run(dir: &Path, args: &[&str]) -> String {
    run_with(dir, args, &[])
}

/// Runs a command of the binary on this folder, with these settings besides; gives what it prints.
pub fn run_with(dir: &Path, args: &[&str], settings: &[(&str, &str)]) -> String {
    let output = command(dir).args(args).envs(settings.iter().copied()).output();
    let output = output.expect("the binary is there");
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("it prints text")
}

/// A new data folder with the sample catalogue.
pub fn sample_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("there is room");
    run(dir.path(), &["catalog", "import", SAMPLE]);
    dir
}

/// The binary, with free ports and none of this process's settings.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vpn-core"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("DATA_DIR", dir)
        .env("HTTP_PORT", "0")
        .env("GRPC_PORT", "0")
        .env("ADMIN_PORT", "0")
        .env("ADMIN_TOKEN", ADMIN_TOKEN)
        .env("LIMITS", "off")
        .env("LOG_FORMAT", "json");
    command
}

fn log(dir: &Path) -> std::fs::File {
    std::fs::File::options()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .expect("there is room")
}

fn read_log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}
