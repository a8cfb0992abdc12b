//! Servers end when nobody uses them any more, also if their users were killed: each user holds a lock on a file, which the system
//! lets go when the process ends, and a small process beside the server waits for that.

use std::{fs::File, os::unix::process::CommandExt as _, path::Path, process::Stdio};

use super::programs::PROGRAMS;

/// The file of a lock, which is made if it is not there.
pub fn lock_file(path: &Path) -> File {
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path);
    let file = file.expect("there is room");
    // It is locked by whoever runs the tests, and waited for by the servers' user, who only reads.
    let may = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(path, may).expect("it is ours");
    file
}

/// Whoever starts servers does it alone, with this.
pub async fn turn() -> File {
    let file = lock_file(&PROGRAMS.home.join("start.lock"));
    let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
    locked.await.expect("it waits").expect("locks work in /tmp")
}

/// Has the server in this folder end, and the folder go, when nobody has held the lock for so many seconds.
pub fn watch(lock: &Path, folder: &Path, unused: u32) {
    let guard = PROGRAMS
        .other(Path::new("bash"))
        .args(["-c", include_str!("../../../agents/postgres/guard.sh"), "guard"])
        .args([lock, folder])
        .arg(unused.to_string())
        // It outlives the test: a signal to the test's group does not reach it, and nobody waits for its output.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    drop(guard.expect("bash is there"));
}
