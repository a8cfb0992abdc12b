//! Core inside the test's own process, so that the test can give it a clock, a store or a disk of its own.

use std::{ffi::OsString, path::Path, sync::Arc, thread::JoinHandle};

use clap::{CommandFactory as _, FromArgMatches as _};
use tokio::sync::oneshot;
use vpn_core::{
    app::{Core, Parts, Ports},
    cli::Cli,
    config::{self, Settings},
    events::Events,
    http::{admin::Door, ops::Ops},
};

use super::{core::ADMIN_TOKEN, http::Admin};

/// Core, on a thread with an actix system of its own.
pub struct Inside {
    /// Where it listens.
    pub ports: Ports,
    /// What happens in it.
    pub events: Events,
    /// What serves its admin API.
    pub door: (Arc<Door>, Arc<Ops>),
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Inside {
    /// Starts Core on this folder with these parts; gives the words of the error if it does not start.
    pub async fn try_start(dir: &Path, parts: Parts) -> Result<Self, String> {
        Self::try_start_with(settings(dir), parts).await
    }

    /// Starts Core with these settings and parts; gives the words of the error if it does not start.
    pub async fn try_start_with(settings: Settings, parts: Parts) -> Result<Self, String> {
        let (started, start) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            actix::System::new().block_on(async {
                match Core::start(&settings, parts).await {
                    Ok(core) => {
                        started
                            .send(Ok((core.ports(), core.events().clone(), core.admin())))
                            .ok()
                            .expect("the test waits");
                        stopped.await.expect("the test says stop");
                        core.stop().await;
                    }
                    Err(error) => started.send(Err(format!("{error:#}"))).ok().expect("the test waits"),
                }
            });
        });
        match start.await.expect("the thread says how it went") {
            Ok((ports, events, door)) => Ok(Self {
                ports,
                events,
                door,
                stop: Some(stop),
                thread: Some(thread),
            }),
            Err(error) => {
                thread.join().expect("the thread ends");
                Err(error)
            }
        }
    }

    /// Starts Core on this folder with these parts.
    pub async fn start(dir: &Path, parts: Parts) -> Self {
        Self::try_start(dir, parts).await.expect("Core starts")
    }

    /// Its admin API.
    pub fn admin(&self) -> Admin {
        Admin::new(self.ports.admin, ADMIN_TOKEN)
    }

    /// Stops it as a signal would.
    pub async fn stop(mut self) {
        self.end().await;
    }

    async fn end(&mut self) {
        if let (Some(stop), Some(thread)) = (self.stop.take(), self.thread.take()) {
            stop.send(()).expect("Core waits for it");
            tokio::task::spawn_blocking(|| thread.join())
                .await
                .expect("it joins")
                .expect("Core ends well");
        }
    }
}

/// Settings for a test: free ports, a known token.
pub fn settings(dir: &Path) -> Settings {
    let args: Vec<OsString> = [
        "vpn-core",
        "--http-port",
        "0",
        "--grpc-port",
        "0",
        "--admin-port",
        "0",
        "--admin-token",
        ADMIN_TOKEN,
        "--limits",
        "off",
        "--data-dir",
    ]
    .into_iter()
    .map(OsString::from)
    .chain([dir.as_os_str().to_owned()])
    .collect();
    let command = config::with_defaults(Cli::command(), &args).expect("the defaults are whole");
    let matches = command.try_get_matches_from(args).expect("the flags are right");
    Cli::from_arg_matches(&matches).expect("the flags are right").settings
}
