//! A server of its own for a test that kills it, stops it, or sets it back.

use std::{
    fs::{File, Permissions},
    io::Write as _,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    ROLE, guard,
    programs::{PROGRAMS, run},
    try_connect, url,
};
use crate::harness::{eventually, ports::quiet_port};

/// What was committed outlives a crash: as a provider would run it.
const SETTINGS: &[&str] = &[
    "fsync=on",
    "max_connections=60",
    "shared_buffers=32MB",
    "recovery_init_sync_method=syncfs",
];

/// A server, and the folder with its data.
pub struct Server {
    launch: Launch,
    postmaster: Option<Child>,
    backups: AtomicU32,
    /// Held as long as this value lives; the guard waits for it.
    _lock: File,
}

/// A base backup, in the folder of its server; it goes with this value.
#[derive(Debug)]
pub struct Backup(PathBuf);

impl Drop for Backup {
    fn drop(&mut self) {
        // Many of them are more than a disk holds.
        let removed = std::fs::remove_dir_all(&self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

impl Server {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        Self::start_with(SETTINGS).await
    }

    /// Starts one on a free port, with these settings in place of those of the tests.
    pub async fn start_with(settings: &'static [&'static str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("own-{}-{}", std::process::id(), NUMBER.fetch_add(1, SeqCst));
        let folder = PROGRAMS.home.join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("its process is gone");
        }
        PROGRAMS.make_folder(&folder).expect("there is room in /tmp");
        let path = folder.join("lock");
        let lock = guard::lock_file(&path);
        lock.lock_shared().expect("locks work in /tmp");
        guard::watch(&path, &folder, 1);
        let turn = guard::turn().await;
        data_from_template(&folder);
        drop(turn);
        let launch = Launch::new(&folder, settings);
        Self {
            postmaster: Some(launch.run().await),
            launch,
            backups: AtomicU32::new(0),
            _lock: lock,
        }
    }

    /// Its one database.
    pub fn url(&self) -> String {
        Self::url_at(self.launch.port)
    }

    /// The database of such a server for one who reaches it on this port.
    pub fn url_at(port: u16) -> String {
        url(port, "postgres")
    }

    /// Its folder, which goes with it.
    pub fn folder(&self) -> &Path {
        &self.launch.folder
    }

    /// Where it listens, whenever it runs.
    pub fn port(&self) -> u16 {
        self.launch.port
    }

    /// Kills all its processes as a power cut of the machine would (but what the system had not written yet is not lost).
    pub async fn kill(&mut self) {
        let mut postmaster = self.postmaster.take().expect("it runs");
        let parent = pid(&postmaster);
        // It makes no more children while they are counted.
        kill_process(parent, Signal::STOP).expect("it is ours");
        let children = children(parent);
        for child in children.iter().copied().chain([parent]) {
            // One may have ended by itself.
            if let Err(error) = kill_process(child, Signal::KILL) {
                assert_eq!(error, rustix::io::Errno::SRCH);
            }
        }
        postmaster.wait().expect("it is our child");
        eventually("the end of all processes of the server", || {
            std::future::ready(children.iter().all(|child| ended(*child)).then_some(()))
        })
        .await;
    }

    /// Stops it as an operator would.
    pub async fn stop(&mut self) {
        let mut postmaster = self.postmaster.take().expect("it runs");
        kill_process(pid(&postmaster), Signal::INT).expect("it is ours");
        let status = eventually("the stop of the server", || {
            std::future::ready(postmaster.try_wait().expect("it is our child"))
        })
        .await;
        assert!(status.success(), "{status}: {}", self.launch.log());
    }

    /// Has it offer TLS with this certificate from its next start on.
    pub fn offer_tls(&self, certificate: &str, key: &str) {
        let data = self.launch.data();
        let owner = std::fs::metadata(&data).expect("it is ours");
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = data.join(name);
            std::fs::write(&path, text).expect("there is room");
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
            chown(&path, Some(owner.uid()), Some(owner.gid())).expect("it is ours");
        }
        let mut settings = File::options()
            .append(true)
            .open(data.join("postgresql.conf"))
            .expect("it is there");
        writeln!(settings, "ssl = on").expect("there is room");
    }

    /// Starts it again after a kill or a stop, on the same port; gives it back when it answers.
    pub async fn restart(&mut self) {
        assert!(self.postmaster.is_none(), "it runs");
        self.postmaster = Some(self.launch.run().await);
    }

    /// Copies all that it has while it runs.
    pub async fn base_backup(&self) -> Backup {
        let number = self.backups.fetch_add(1, SeqCst);
        let to = self.launch.folder.join(format!("backup-{number}"));
        let mut command = PROGRAMS.command("pg_basebackup");
        command
            .args([
                "--host=127.0.0.1",
                "--no-sync",
                "--checkpoint=fast",
                "--wal-method=stream",
            ])
            .arg(format!("--port={}", self.launch.port))
            .arg(format!("--username={ROLE}"))
            .arg("--pgdata")
            .arg(&to);
        tokio::task::spawn_blocking(move || run(&mut command))
            .await
            .expect("the backup is made");
        Backup(to)
    }

    /// Kills it if it runs, puts the backup in the place of its data, and starts it on that.
    pub async fn restore(&mut self, backup: &Backup) {
        if self.postmaster.is_some() {
            self.kill().await;
        }
        let data = self.launch.data();
        std::fs::remove_dir_all(&data).expect("it is ours");
        copy(&backup.0, &data);
        self.restart().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // At once; the guard removes the folder.
        if let Some(mut postmaster) = self.postmaster.take() {
            let ended = kill_process(pid(&postmaster), Signal::QUIT)
                .map_err(Into::into)
                .and_then(|()| postmaster.wait());
            assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
        }
    }
}

/// How a server is started on a folder.
pub struct Launch {
    folder: PathBuf,
    settings: &'static [&'static str],
    /// Where it listens.
    pub port: u16,
}

impl Launch {
    /// On a free port.
    pub fn new(folder: &Path, settings: &'static [&'static str]) -> Self {
        Self {
            folder: folder.to_owned(),
            settings,
            port: quiet_port(),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Starts it; gives it when it answers.
    pub async fn run(&self) -> Child {
        let log = File::options().create(true).append(true).open(self.folder.join("log"));
        let mut command = PROGRAMS.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        for setting in self
            .settings
            .iter()
            .chain(&["listen_addresses=127.0.0.1", "unix_socket_directories="])
        {
            command.args(["-c", setting]);
        }
        let mut postmaster = command
            // The shared one outlives the test that starts it: a signal to the test's group does not reach it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("there is room"))
            .spawn()
            .expect("the server is there");
        let url = url(self.port, "postgres");
        eventually("a server that answers", || {
            let ended = postmaster.try_wait().expect("it is our child");
            assert!(ended.is_none(), "PostgreSQL ended at its start:\n{}", self.log());
            let asked = try_connect(&url);
            async move { asked.await.ok() }
        })
        .await;
        postmaster
    }
}

/// Puts the data of a new server into this folder. The caller holds the lock of those who start servers.
pub fn data_from_template(folder: &Path) {
    // A copy is several times quicker than making them anew.
    let template = PROGRAMS.home.join("template");
    if !template.exists() {
        let new = PROGRAMS.home.join("template-new");
        if new.exists() {
            std::fs::remove_dir_all(&new).expect("it is ours");
        }
        let mut command = PROGRAMS.command("initdb");
        command
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"])
            .arg(format!("--username={ROLE}"))
            .arg("--pgdata")
            .arg(&new);
        run(&mut command);
        std::fs::rename(&new, &template).expect("it is ours");
    }
    copy(&template, &folder.join("data"));
}

fn copy(from: &Path, to: &Path) {
    run(PROGRAMS.other(Path::new("cp")).arg("-a").args([from, to]));
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// The processes whose parent this is.
fn children(parent: Pid) -> Vec<Pid> {
    let all = std::fs::read_dir("/proc").expect("there is a /proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
        .filter(|pid| stat(*pid).is_some_and(|(_, its)| its == parent.as_raw_nonzero().get()))
        .collect()
}

fn ended(pid: Pid) -> bool {
    // One that nobody has buried yet holds nothing any more.
    stat(pid).is_none_or(|(state, _)| state == 'Z')
}

/// State and parent of a process.
fn stat(pid: Pid) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The name before it may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
