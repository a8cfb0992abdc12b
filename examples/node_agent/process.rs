//! An engine as a child process: its end is noticed, its last words are kept, and it never outlives the agent for long.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::Command,
    sync::{Notify, oneshot, watch},
    time::timeout,
};
use vpn_core::{clock::Clock, model::Time};

/// How much of an engine's output is kept for the error message.
const LAST_WORDS_MAX: usize = 2_048;

/// How long an engine may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);

type Output = Arc<Mutex<VecDeque<u8>>>;

/// See the module. Dropping it kills the child.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    started: Time,
    ended: watch::Receiver<Option<ExitStatus>>,
    output: Output,
    _kill: oneshot::Sender<()>,
}

impl Process {
    /// Starts `command` with the path of its config file as the last argument. `died` is told when it ends, wanted or not.
    pub fn start(command: &[String], config: &Path, died: Arc<Notify>) -> io::Result<Self> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| io::Error::other("the command is empty"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("it ended at once"))?;
        let output = Output::default();
        if let Some(pipe) = child.stdout.take() {
            listen(pipe, &output);
        }
        if let Some(pipe) = child.stderr.take() {
            listen(pipe, &output);
        }
        let (end, ended) = watch::channel(None);
        let (kill, killed) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let status = tokio::select! {
                status = child.wait() => status,
                _ = killed => match child.kill().await {
                    Ok(()) => child.wait().await,
                    Err(error) => Err(error),
                },
            };
            match status {
                Ok(status) => drop(end.send_replace(Some(status))),
                Err(error) => tracing::error!(%error, pid, "the end of an engine can't be seen"),
            }
            died.notify_one();
        });
        Ok(Self {
            pid,
            started: Clock::system().now(),
            ended,
            output,
            _kill: kill,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended; none while it runs.
    pub fn end(&self) -> Option<ExitStatus> {
        *self.ended.borrow()
    }

    /// Since when it runs, and how to see whether it still does.
    pub fn health(&self) -> Health {
        Health {
            started: self.started,
            ended: self.ended.clone(),
        }
    }

    /// The end of what it wrote to stdout and stderr.
    pub fn last_words(&self) -> String {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(output.make_contiguous()).trim().to_owned()
    }

    /// Ends it now, and returns when it has ended.
    pub async fn kill(self) {
        let mut ended = self.ended.clone();
        drop(self);
        if ended.wait_for(Option::is_some).await.is_err() {
            tracing::error!("the end of an engine was not seen");
        }
    }

    /// Asks it to end, and kills it if it takes too long.
    pub async fn terminate(self) {
        if self.end().is_none() && signal(self.pid, Signal::TERM) {
            let mut ended = self.ended.clone();
            // Late or not: what follows ends it.
            timeout(GRACE, ended.wait_for(Option::is_some)).await.ok();
        }
        self.kill().await;
    }
}

/// Whether a process runs, for those who only look.
#[derive(Debug, Clone)]
pub struct Health {
    /// Since when.
    pub started: Time,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Health {
    /// Whether it runs.
    pub fn running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// For how long it has run.
    pub fn age(&self) -> Duration {
        Clock::system().now().since(self.started)
    }
}

/// A free port of 127.0.0.1 for an engine's own API.
pub fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The processes of one config file, on disk: an agent that was killed leaves engines behind, and the next one must find them, for
/// two engines on the same ports would share the connections silently.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    config: PathBuf,
}

impl PidFile {
    /// The file beside the config.
    pub fn beside(config: &Path) -> Self {
        Self {
            path: config.with_extension("pid"),
            config: config.to_owned(),
        }
    }

    /// Writes who runs, whole or not at all.
    pub fn write(&self, pids: &[u32]) -> io::Result<()> {
        let lines: Vec<String> = pids.iter().map(u32::to_string).collect();
        let new = self.path.with_extension("pid.new");
        std::fs::write(&new, lines.join("\n"))?;
        std::fs::rename(new, &self.path)
    }

    /// Ends what an earlier agent left behind: processes that the file names and whose command line names the config.
    pub fn end_leftovers(&self) {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        for pid in text.lines().filter_map(|line| line.parse::<u32>().ok()) {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let config = self.config.as_os_str().as_encoded_bytes();
            let ours = command.split(|byte| *byte == 0).any(|argument| argument == config);
            if ours && signal(pid, Signal::KILL) {
                tracing::warn!(pid, "an engine that an earlier agent left behind was ended");
            }
        }
    }
}

fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// Reads a pipe until it closes, so that the engine never waits for a reader; keeps the end.
fn listen(mut pipe: impl AsyncRead + Unpin + Send + 'static, output: &Output) {
    let output = Arc::clone(output);
    tokio::spawn(async move {
        let mut piece = [0; 1_024];
        while let Ok(length @ 1..) = pipe.read(&mut piece).await {
            tracing::debug!(target: "engine", "{}", String::from_utf8_lossy(&piece[..length]).trim_end());
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.extend(&piece[..length]);
            let over = output.len().saturating_sub(LAST_WORDS_MAX);
            output.drain(..over);
        }
    });
}
