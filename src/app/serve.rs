//! `serve`: runs until it is told to stop.

use secrecy::ExposeSecret as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Settings;

use super::{Core, Parts};

/// Runs Core until SIGTERM or Ctrl-C, then stops it. Everything that was acknowledged is in the journal, so a second signal may
/// end the process at once.
pub fn serve(settings: &Settings) -> anyhow::Result<()> {
    actix::System::new().block_on(async {
        let mut signals = Signals::new()?;
        let core = tokio::select! {
            core = Core::start(settings, Parts::default()) => core?,
            () = signals.next() => return Ok(()),
        };
        welcome(settings, &core);
        signals.next().await;
        tokio::select! {
            () = core.stop() => {}
            () = signals.next() => tracing::warn!("told to stop twice: leaving at once, the journal has everything"),
        }
        Ok(())
    })
}

/// The signals that ask the process to stop.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Says where Core listens and how to go on. On stderr, past the log: the token must never be in a log.
#[allow(clippy::print_stderr, reason = "for the person who started it")]
fn welcome(settings: &Settings, core: &Core) {
    let (ports, node_ip) = (core.ports(), settings.node_ip());
    let (scheme, hint) = if settings.has_tls() {
        ("https", "")
    } else {
        ("http", " (no TLS: agents need CORE_INSECURE=true)")
    };
    eprintln!("node HTTP:  {scheme}://{node_ip}:{}", ports.http);
    eprintln!("node gRPC:  {scheme}://{node_ip}:{}{hint}", ports.grpc);
    eprintln!(
        "admin API:  {scheme}://{}:{}/admin",
        settings.admin_bind_ip, ports.admin
    );
    if let Some(token) = core.first_token() {
        eprintln!("admin token: {}", token.expose_secret());
        eprintln!("(shown this once; make others with `vpn-core token new --role admin`)");
    }
    if settings.database_url.is_some() {
        eprintln!("register a node with a code: vpn-core code new (with the same DATABASE_URL)");
    } else {
        eprintln!(
            "register a node with a code: vpn-core code new --data-dir {}",
            settings.data_dir.display()
        );
    }
}
