//! The server that all tests share, of this run and of others beside it. Who comes first starts it.

use std::fs::File;

use tokio::sync::OnceCell;

use super::{
    guard,
    programs::PROGRAMS,
    server::{Launch, data_from_template},
    try_connect, url,
};

/// So long it may stay unused: between two tests, and between two runs of someone who works on one.
const UNUSED_SECONDS: u32 = 20;

/// Nothing on it must outlive the machine.
const SETTINGS: &[&str] = &[
    "fsync=off",
    "full_page_writes=off",
    "max_connections=200",
    "shared_buffers=64MB",
];

struct Use {
    port: u16,
    /// Held as long as this process lives.
    _lock: File,
}

/// Its port; it runs as long as this process.
pub async fn port() -> u16 {
    static USE: OnceCell<Use> = OnceCell::const_new();
    USE.get_or_init(begin).await.port
}

async fn begin() -> Use {
    let lock = guard::lock_file(&PROGRAMS.home.join("shared.lock"));
    let locked = tokio::task::spawn_blocking(move || lock.lock_shared().map(|()| lock));
    let lock = locked.await.expect("it waits").expect("locks work in /tmp");
    let turn = guard::turn().await;
    let port = match running().await {
        Some(port) => port,
        None => start().await,
    };
    drop(turn);
    Use { port, _lock: lock }
}

/// The port of the server that is there, if it answers.
async fn running() -> Option<u16> {
    let port = std::fs::read_to_string(PROGRAMS.home.join("shared/port")).ok()?;
    let port = port.parse().ok()?;
    try_connect(&url(port, "postgres")).await.ok().map(|_| port)
}

async fn start() -> u16 {
    let folder = PROGRAMS.home.join("shared");
    if folder.exists() {
        // What a power cut left.
        std::fs::remove_dir_all(&folder).expect("it is ours");
    }
    PROGRAMS.make_folder(&folder).expect("there is room in /tmp");
    data_from_template(&folder);
    let launch = Launch::new(&folder, SETTINGS);
    let postmaster = launch.run().await;
    // It is ended by its guard.
    drop(postmaster);
    guard::watch(&PROGRAMS.home.join("shared.lock"), &folder, UNUSED_SECONDS);
    std::fs::write(folder.join("port"), launch.port.to_string()).expect("there is room");
    launch.port
}
