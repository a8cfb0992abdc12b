//! The commands of an operator, on PostgreSQL: `doctor`, `journal replay`.

use std::{path::Path, process::Command};

use serde_json::Value;
use tokio_postgres::Client;

use crate::{
    contract::doctor::{findings, says},
    faults::{
        fleet::{self, Place},
        ledger::{Line, Report},
        replay::{journal, said},
        sums::Sums,
    },
    harness::{
        core::{Core, command},
        eventually,
        postgres::{Database, Server, connect},
    },
};

/// Runs a command of the binary on this database; gives what it prints.
pub fn run(dir: &Path, url: &str, args: &[&str]) -> String {
    let output = command(dir).env("DATABASE_URL", url).args(args).output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn on(mut command: Command, url: &str) -> Value {
    command.env("DATABASE_URL", url);
    said(command)
}

fn reports(numbers: std::ops::Range<i64>) -> Vec<Report> {
    numbers.map(|number| Report::new(1, number)).collect()
}

/// No flush gets through until the answer goes.
async fn hold_flushes(client: &Client) {
    let sql = "BEGIN; LOCK TABLE core.flush_watermarks IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_instances_journal_comes_home_while_another_counts() {
    let database = Database::fresh().await;
    let url = database.url();
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let catalogue = one.path().join("catalogue.json");
    std::fs::write(&catalogue, fleet::catalogue(1).to_string()).unwrap();
    run(one.path(), &url, &["catalog", "import", catalogue.to_str().unwrap()]);
    let settings = [("DATABASE_URL", url.as_str())];

    let core = Core::start_with(one.path(), &settings).await;
    let key = Place::from(core.ports).enroll(1).await;
    let hold = connect(&url).await;
    hold_flushes(&hold).await;
    let mut all = reports(0..12);
    Line::new(core.ports, &key).await.send_all(&all).await;
    core.kill();
    hold.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(Sums::of_database(&hold).await, Sums::default());

    let core = Core::start_with(two.path(), &settings).await;
    let line = Line::new(core.ports, &key).await;
    let more = reports(20..50);
    let (replays, ()) = futures_util::future::join(
        tokio::task::spawn_blocking({
            let (url, dir, home) = (url.clone(), one.path().to_owned(), two.path().to_owned());
            move || [(); 2].map(|()| on(journal(&home, "replay", &dir), &url))
        }),
        line.send_all(&more),
    )
    .await;
    let replays = replays.unwrap();
    assert_eq!(
        (&replays[0]["records"], &replays[1]["records"]),
        (&12.into(), &0.into()),
        "{replays:?}"
    );
    all.extend(more);
    core.stop().await;
    let inspected = on(journal(two.path(), "inspect", one.path()), &url);
    assert_eq!(inspected["generations"][0]["missing"], 0, "{inspected}");
    let sums = Sums::of_database(&hold).await;
    assert_eq!(sums, Sums::of(&all));

    // A stop does not wait for hours and days: whoever comes next sums the rest, once.
    let up: i64 = sums.usage.values().map(|(up, _)| up).sum();
    eventually("all days are summed up", async || {
        on(journal(two.path(), "replay", one.path()), &url);
        let sql = "SELECT coalesce(sum(bytes_up), 0)::bigint FROM core.usage_days";
        let days: i64 = hold.query_one(sql, &[]).await.unwrap().get(0);
        assert!(days <= up, "{days} of {up}");
        (days == up).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_finds_what_is_wrong_with_a_database() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start().await;
    let url = server.url();
    let settings = [("DATABASE_URL", url.as_str())];
    let (good, said) = findings(dir.path(), &settings);
    assert!(good, "{said:#?}");
    assert!(
        says(&said, "warn the schema is not up to date: V0001__nodes"),
        "{said:#?}"
    );
    let client = connect(&url).await;
    let there = client
        .query_one("SELECT to_regnamespace('core') IS NULL", &[])
        .await
        .unwrap();
    assert!(there.get::<_, bool>(0), "doctor makes nothing");

    run(dir.path(), &url, &["migrate"]);
    let (good, said) = findings(dir.path(), &settings);
    assert!(good, "{said:#?}");
    for beginning in [
        "ok the store answers: PostgreSQL",
        "ok the schema is up to date",
        "ok Core's role has the rights",
        "ok the database's clock is",
        "ok the database has",
    ] {
        assert!(says(&said, beginning), "{beginning}: {said:#?}");
    }

    let sql = "CREATE ROLE panel LOGIN CONNECTION LIMIT 3; ALTER ROLE panel SET synchronous_commit = off";
    client.batch_execute(sql).await.unwrap();
    let panel = url.replacen("//core@", "//panel@", 1);
    let (good, said) = findings(dir.path(), &[("DATABASE_URL", &panel)]);
    assert!(!good);
    for beginning in [
        "bad Core's role may not make",
        "warn synchronous_commit is off",
        "warn this role or database may have 3 connections",
    ] {
        assert!(says(&said, beginning), "{beginning}: {said:#?}");
    }

    drop(client);
    server.stop().await;
    let (good, said) = findings(dir.path(), &settings);
    assert!(!good);
    assert!(says(&said, "bad the store is away"), "{said:#?}");
}
