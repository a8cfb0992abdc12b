//! Real Redis servers on free loopback ports, alone or as a cluster. Nothing of them outlives the test.

mod cluster;

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{eventually, ports::quiet_port};

pub use cluster::{Cluster, NODE_TIMEOUT};

/// A server, and the folder that it runs in.
pub struct Server {
    folder: TempDir,
    settings: Vec<String>,
    port: u16,
    tls_port: Option<u16>,
    process: Option<Child>,
}

impl Server {
    /// Starts one on a free port; it keeps nothing on disk.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with these settings besides.
    pub async fn start_with(settings: &[&str]) -> Self {
        Self::start_on(quiet_port(), settings).await
    }

    async fn start_on(port: u16, settings: &[&str]) -> Self {
        let mut server = Self::new(port, settings.iter().map(ToString::to_string).collect());
        server.restart().await;
        server
    }

    /// Starts one that speaks TLS, with this certificate, on a port of its own.
    pub async fn start_with_tls(certificate: &str, key: &str) -> Self {
        let (tls_port, mut server) = (quiet_port(), Self::new(quiet_port(), Vec::new()));
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            std::fs::write(server.folder.path().join(name), text).expect("there is room");
        }
        let port = tls_port.to_string();
        let settings = [
            "--tls-port",
            &port,
            "--tls-cert-file",
            "server.crt",
            "--tls-key-file",
            "server.key",
            "--tls-auth-clients",
            "no",
        ];
        server.settings = settings.map(str::to_owned).to_vec();
        server.tls_port = Some(tls_port);
        server.restart().await;
        server
    }

    fn new(port: u16, settings: Vec<String>) -> Self {
        Self {
            folder: tempfile::tempdir().expect("there is room"),
            settings,
            port,
            tls_port: None,
            process: None,
        }
    }

    /// Where it listens, whenever it runs.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it speaks TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.expect("it was started with TLS")
    }

    /// Its URL.
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// Kills it as a power cut would: what it held is gone.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("it is our child");
        process.wait().expect("it is our child");
    }

    /// Has it stand still, or go on: it takes connections, and says nothing.
    pub fn stand_still(&self, still: bool) {
        let process = Pid::from_child(self.process.as_ref().expect("it runs"));
        kill_process(process, if still { Signal::STOP } else { Signal::CONT }).expect("it is ours");
    }

    /// Starts it again after a kill, empty, on the same port; gives it back when it answers.
    pub async fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.process = Some(spawn(self.folder.path(), self.port, &self.settings));
        let (port, process) = (self.port, self.process.as_mut().expect("it was started"));
        eventually("a Redis that answers", || {
            let ended = process.try_wait().expect("it is our child");
            assert!(ended.is_none(), "Redis ended at its start");
            async move {
                let said = ask(port, &["PING"]).await.unwrap_or_default();
                (said == "PONG" || said.starts_with("NOAUTH")).then_some(())
            }
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let ended = process.kill().and_then(|()| process.wait());
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

fn spawn(folder: &Path, port: u16, settings: &[String]) -> Child {
    Command::new("redis-server")
        .current_dir(folder)
        .args(["--port", &port.to_string()])
        .args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
        ])
        .args(settings)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("Redis is needed: scripts/test installs it or says how")
}

/// The URL of what listens on this port.
pub fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}

/// What redis-cli prints for a command to this port, following a cluster's pointers.
pub async fn ask(port: u16, command: &[&str]) -> Result<String, String> {
    let output = tokio::process::Command::new("redis-cli")
        .args(["-c", "--raw", "-h", "127.0.0.1", "-p", &port.to_string()])
        .args(command)
        .output()
        .await
        .expect("redis-cli comes with Redis");
    let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(said + &String::from_utf8_lossy(&output.stderr))
    }
}
