//! A journal that is opened only to be read.

use std::{fs, sync::Arc};

use vpn_core::{
    journal::{Journal, JournalError, RealDisk},
    model::Position,
};

use super::{Bench, append_all, clock, copy_dir, files, read_all};
use crate::{
    faults::replay::{journal, said},
    harness::core::run,
};

fn to_read(dir: &std::path::Path) -> Journal {
    Journal::open_to_read(dir, clock(), Arc::new(RealDisk)).unwrap()
}

#[tokio::test]
async fn it_reads_what_a_start_would() {
    let bench = Bench::new();
    let first = bench.open();
    let written = append_all(&first, 0..40).await;
    let id = first.id();
    drop(first);
    let second = bench.open();
    let more = append_all(&second, 40..60).await;
    // As a crash would leave it: the second is not sealed.
    let crashed = bench.crashed("crashed");
    drop(second);
    let before = files(&crashed, "");

    let reader = to_read(&crashed);
    let generations = reader.generations();
    assert_eq!(generations.len(), 2);
    assert!(generations.iter().all(|it| !it.open));
    assert_eq!(read_all(&reader, id).entries, written);
    assert_eq!(read_all(&reader, generations[1].id).entries, more);
    assert!(matches!(
        Journal::open_to_read(&crashed, clock(), Arc::new(RealDisk)),
        Err(JournalError::InUse(_))
    ));
    assert!(reader.append(&super::entry(1, 1)).await.is_err());
    drop(reader);
    let after: Vec<_> = files(&crashed, "")
        .into_iter()
        .filter(|it| !it.ends_with("lock"))
        .collect();
    let before: Vec<_> = before.into_iter().filter(|it| !it.ends_with("lock")).collect();
    assert_eq!(after, before);

    let started = bench.open_at(&crashed);
    assert_eq!(started.generations()[..2], generations[..]);
}

#[tokio::test]
async fn damage_is_told_and_the_rest_is_taken_over() {
    let bench = Bench::new();
    let journal_of_old = bench.open();
    append_all(&journal_of_old, 0..40).await;
    drop(journal_of_old);
    // Sealed now.
    drop(bench.open());
    let dir = bench.home.path().join("copy");
    copy_dir(&bench.dir(), &dir);
    let segment = &files(&dir, ".seg")[0];
    let mut bytes = fs::read(segment).unwrap();
    bytes[500] ^= 1;
    fs::write(segment, bytes).unwrap();

    let store = tempfile::tempdir().unwrap();
    run(store.path(), &["migrate"]);
    let output = journal(store.path(), "replay", &dir).arg("--json").output().unwrap();
    assert!(output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("a file of the journal is damaged"), "{told}");
    let done: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&done["records"], &done["lost"]), (&39.into(), &1.into()), "{done}");
    assert!(
        files(&dir, "quarantined").is_empty(),
        "nothing is added to a journal that is only read"
    );

    let inspected = said(journal(store.path(), "inspect", &dir));
    let generation = &inspected["generations"][0];
    assert_eq!(
        (&generation["damaged"], &generation["lost"], &generation["missing"]),
        (&true.into(), &1.into(), &0.into()),
        "{inspected}"
    );
    assert_eq!(generation["watermark"], Position(40).0);
}
