//! The journal of a Core that died with reports that its store did not have.

use std::{
    path::Path,
    process::{Command, Output},
};

use rusqlite::Connection;
use serde_json::Value;

use super::{
    fleet::{self, Place},
    ledger::{Line, Report},
    sums::Sums,
};
use crate::harness::core::{Core, command};

/// A command on a journal, with the store of this data folder.
pub fn journal(store: &Path, what: &str, dir: &Path) -> Command {
    let mut command = command(store);
    command.args(["journal", what]).arg(dir);
    command
}

/// What the command says as JSON.
pub fn said(mut command: Command) -> Value {
    let Output { status, stdout, stderr } = command.arg("--json").output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

/// Every file of a folder and what is in it, but for the files that say who holds it.
fn content(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(content(&path));
        } else if !path.ends_with("lock") {
            files.push((path.to_str().unwrap().to_owned(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

fn missing(inspection: &Value) -> u64 {
    let generations = inspection["generations"].as_array().unwrap();
    generations.iter().map(|it| it["missing"].as_u64().unwrap()).sum()
}

/// A data folder whose Core was killed, and what it had acknowledged; the store has none of it.
async fn dead() -> (tempfile::TempDir, Vec<Report>) {
    let dir = fleet::dir(1);
    let core = Core::start(dir.path()).await;
    let key = Place::from(core.ports).enroll(1).await;
    let line = Line::new(core.ports, &key).await;
    let store = Connection::open(dir.path().join("core.db")).unwrap();
    store.busy_timeout(crate::harness::PATIENCE).unwrap();
    // Whoever else wants to write waits.
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let reports: Vec<_> = (0..12).map(|number| Report::new(1, number)).collect();
    line.send_all(&reports).await;
    core.kill();
    store.execute_batch("ROLLBACK").unwrap();
    assert_eq!(Sums::stored(dir.path()), Sums::default());
    (dir, reports)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_machines_journal_comes_home_once() {
    let (dir, reports) = dead().await;
    let copy = tempfile::tempdir().unwrap();
    fleet::copy(dir.path(), copy.path());
    let before = content(copy.path());
    assert_eq!(missing(&said(journal(dir.path(), "inspect", copy.path()))), 12);
    let words = journal(dir.path(), "inspect", copy.path()).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    assert!(
        words.ends_with("12 records, 0 damaged, 16.0 MiB; the store lacks 12\n"),
        "{words}"
    );

    let first = said(journal(dir.path(), "replay", copy.path()));
    assert_eq!((&first["records"], &first["lost"]), (&12.into(), &0.into()), "{first}");
    assert_eq!(Sums::stored(dir.path()), Sums::of(&reports));
    // The journal alone, without the folder around it.
    let second = said(journal(dir.path(), "replay", &copy.path().join("journal")));
    assert_eq!(second["records"], 0, "{second}");
    assert_eq!(missing(&said(journal(dir.path(), "inspect", copy.path()))), 0);
    assert_eq!(content(copy.path()), before, "a replay leaves the journal as it is");

    // And the folder itself, if its machine comes back.
    let core = Core::start(dir.path()).await;
    core.stop().await;
    assert_eq!(Sums::stored(dir.path()), Sums::of(&reports));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_use_can_be_looked_at_and_not_replayed() {
    let dir = fleet::dir(1);
    let core = Core::start(dir.path()).await;
    for folder in [dir.path().to_owned(), dir.path().join("journal")] {
        let output = journal(dir.path(), "replay", &folder).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(words.trim_end().lines().count(), 1, "{words}");
        assert!(words.contains("in use"), "{words}");
        said(journal(dir.path(), "inspect", dir.path()));
    }
    core.stop().await;
    let nowhere = dir.path().join("nowhere");
    for what in ["inspect", "replay"] {
        let output = journal(dir.path(), what, &nowhere).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
    }
    assert!(!nowhere.exists());
}
