//! Where the programs of PostgreSQL are, and as whom they run.

use std::{
    os::unix::{fs::PermissionsExt as _, fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The oldest that Core is made for.
const VERSION_MIN: u32 = 15;

/// Who runs them when the tests run as root: PostgreSQL refuses to.
const USER: &str = "postgres";

/// The programs of one version.
pub struct Programs {
    folder: PathBuf,
    /// User and group, if it is not who runs the tests.
    user: Option<(u32, u32)>,
    /// Where servers live: a folder that their user may enter.
    pub home: PathBuf,
}

/// The programs on this machine.
///
/// # Panics
/// If there are none.
pub static PROGRAMS: LazyLock<Programs> = LazyLock::new(|| {
    let (folder, version) = folders()
        .into_iter()
        .filter_map(|folder| version(&folder).map(|version| (folder, version)))
        .find(|(_, version)| *version >= VERSION_MIN)
        .expect("PostgreSQL 15 or newer is needed: scripts/test installs it or says how");
    let own = rustix::process::getuid();
    let user = own
        .is_root()
        .then(|| ids(USER).expect("PostgreSQL's package made its user"));
    let home = PathBuf::from(format!("/tmp/vpn-core-tests-{}-postgres-{version}", own.as_raw()));
    let programs = Programs { folder, user, home };
    programs.make_home();
    programs
});

impl Programs {
    /// A program of PostgreSQL.
    pub fn command(&self, name: &str) -> Command {
        self.other(&self.folder.join(name))
    }

    /// Another program that works on the same files.
    pub fn other(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .current_dir("/");
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Makes a folder that belongs to the servers' user and is no one else's to look into.
    pub fn make_folder(&self, path: &Path) -> std::io::Result<()> {
        std::fs::create_dir(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
        match self.user {
            Some((user, group)) => chown(path, Some(user), Some(group)),
            None => Ok(()),
        }
    }

    fn make_home(&self) {
        match self.make_folder(&self.home) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.expect("there is room in /tmp"),
        }
    }
}

/// Runs a program to its end.
///
/// # Panics
/// If it fails.
pub fn run(command: &mut Command) {
    let output = command.output().expect("the program is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// Where they may be: in the order in which they are preferred.
fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A link in PATH may stand for one of the programs only.
    let on_path = std::env::split_paths(&path)
        .filter_map(|folder| folder.join("initdb").canonicalize().ok())
        .filter_map(|program| program.parent().map(Path::to_owned));
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut debian: Vec<_> = debian.flatten().map(|entry| entry.path().join("bin")).collect();
    debian.sort();
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.and_then(|output| String::from_utf8(output.stdout).ok());
    let configured = configured.map(|folder| PathBuf::from(folder.trim()));
    on_path.chain(debian.into_iter().rev()).chain(configured).collect()
}

/// The major version of the server in this folder, if all that the tests need is there.
fn version(folder: &Path) -> Option<u32> {
    let whole = ["initdb", "postgres", "pg_basebackup"]
        .iter()
        .all(|name| folder.join(name).exists());
    let output = whole.then(|| Command::new(folder.join("postgres")).arg("--version").output());
    let said = String::from_utf8(output?.ok()?.stdout).ok()?;
    let number = said.split_whitespace().nth(2)?;
    number.split('.').next()?.parse().ok()
}

/// User and group of this name.
fn ids(name: &str) -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
