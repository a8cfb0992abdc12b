//! `doctor`, as an operator meets it.

use std::path::Path;

use serde_json::Value;

use crate::harness::core::{Core, command, run, sample_dir};

/// What doctor finds: whether it is content, and its findings as `level what`.
pub fn findings(dir: &Path, settings: &[(&str, &str)]) -> (bool, Vec<String>) {
    let output = command(dir)
        .envs(settings.iter().copied())
        .args(["doctor", "--json"])
        .output()
        .expect("the binary is there");
    let said: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!(output.status.code(), Some(i32::from(said["good"] == false)), "{said}");
    let findings = said["findings"].as_array().expect("a list");
    for finding in findings {
        assert_eq!(finding["level"] == "ok", finding["mend"].is_null(), "{finding}");
    }
    let line = |it: &Value| {
        format!(
            "{} {}",
            it["level"].as_str().expect("a level"),
            it["what"].as_str().expect("a text")
        )
    };
    (output.status.success(), findings.iter().map(line).collect())
}

/// Whether one of the findings begins so.
pub fn says(findings: &[String], beginning: &str) -> bool {
    findings.iter().any(|it| it.starts_with(beginning))
}

#[test]
fn an_empty_place_is_well_and_stays_empty() {
    let home = tempfile::tempdir().expect("there is room");
    let dir = home.path().join("data");
    let (good, said) = findings(&dir, &[]);
    assert!(good, "{said:#?}");
    assert!(says(&said, "ok there is no embedded store yet"), "{said:#?}");
    assert!(!dir.exists(), "doctor made the data folder");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_core_that_runs_it_finds_what_runs() {
    let dir = sample_dir();
    let (good, said) = findings(dir.path(), &[]);
    assert!(good, "{said:#?}");
    assert!(says(&said, "ok no Core runs on"), "{said:#?}");
    let core = Core::start(dir.path()).await;
    let (good, said) = findings(dir.path(), &[("BIND_IP", "0.0.0.0")]);
    assert!(good, "{said:#?}");
    for beginning in [
        "warn BIND_IP is 0.0.0.0",
        "ok a Core runs on",
        "ok this machine's clock says 20",
        "ok the store answers: embedded",
        "ok the schema is up to date",
        "ok the journal is whole",
        "ok the store lacks 0 records of the journal",
    ] {
        assert!(says(&said, beginning), "{beginning}: {said:#?}");
    }
    let words = run(dir.path(), &["doctor"]);
    assert!(
        words
            .lines()
            .all(|line| line.starts_with("ok ") || line.starts_with("warn ")),
        "{words}"
    );
    core.stop().await;
}

#[test]
fn what_is_broken_is_bad() {
    let dir = sample_dir();
    let store = rusqlite::Connection::open(dir.path().join("core.db")).expect("it is there");
    store
        .execute_batch("INSERT INTO refinery_schema_history SELECT 9999, 'of_tomorrow', applied_on, checksum FROM refinery_schema_history LIMIT 1")
        .expect("it takes a row");
    let (good, said) = findings(dir.path(), &[]);
    assert!(!good);
    assert!(
        says(&said, "bad the schema was made by a newer Core: V9999__of_tomorrow"),
        "{said:#?}"
    );

    // Nobody listens on port 1.
    let (good, said) = findings(
        dir.path(),
        &[("DATABASE_URL", "postgres://core:a-secret@127.0.0.1:1/core")],
    );
    assert!(!good);
    assert!(says(&said, "bad the store is away"), "{said:#?}");
    assert!(!said.iter().any(|it| it.contains("a-secret")), "{said:#?}");

    drop(store);
    std::fs::write(dir.path().join("core.db"), "not a database").expect("it can be written");
    let (good, said) = findings(dir.path(), &[]);
    assert!(!good, "{said:#?}");
}
