//! A data folder that was copied, or lost its journal, under the name that it had.

use std::sync::Arc;

use vpn_core::{app::Parts, store::sqlite::SqliteStore};

use super::{
    fleet::{self, Place},
    ledger::{Line, Report},
    store::{FaultyStore, Mood},
    sums::{Sums, arrive},
};
use crate::harness::{core::Core, inside::Inside};

fn reports(numbers: std::ops::Range<i64>) -> Vec<Report> {
    numbers.map(|number| Report::new(1, number)).collect()
}

fn instance(dir: &std::path::Path) -> String {
    std::fs::read_to_string(dir.join("instance-id")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_two_copies_has_everything() {
    let dir = fleet::dir(1);
    let core = Core::start(dir.path()).await;
    let key = Place::from(core.ports).enroll(1).await;
    let line = Line::new(core.ports, &key).await;
    let common = reports(0..9);
    line.send_all(&common).await;
    core.kill();
    let copy = tempfile::tempdir().unwrap();
    fleet::copy(dir.path(), copy.path());
    assert_eq!(instance(dir.path()), instance(copy.path()));
    assert!(
        Sums::stored(dir.path()) != Sums::of(&common),
        "the last reports are only in the journal"
    );

    let (one, two) = (Core::start(dir.path()).await, Core::start(copy.path()).await);
    let (ours, theirs) = (reports(10..16), reports(20..29));
    Line::new(one.ports, &key).await.send_all(&ours).await;
    Line::new(two.ports, &key).await.send_all(&theirs).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(Sums::stored(dir.path()), Sums::of(common.iter().chain(&ours)));
    assert_eq!(Sums::stored(copy.path()), Sums::of(common.iter().chain(&theirs)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_on_one_store_count_what_they_share_once() {
    let dir = fleet::dir(1);
    let file = dir.path().join("core.db");
    let away = FaultyStore::open(&file, Mood::Well);
    let core = Inside::start(
        dir.path(),
        Parts {
            store: Some(Arc::clone(&away) as Arc<_>),
            ..Parts::default()
        },
    )
    .await;
    let place = Place::from(core.ports);
    let key = place.enroll(1).await;
    let line = Line::new(place, &key).await;
    let mut all = reports(0..6);
    line.send_all(&all).await;
    arrive(&file, &all).await;
    away.feel(Mood::Away);
    let unflushed = reports(6..12);
    line.send_all(&unflushed).await;
    all.extend(unflushed);
    core.stop().await;
    let copy = tempfile::tempdir().unwrap();
    fleet::copy(dir.path(), copy.path());

    let shared = || Parts {
        store: Some(Arc::new(SqliteStore::open(&file).unwrap())),
        ..Parts::default()
    };
    let one = Inside::start(dir.path(), shared()).await;
    let two = Inside::start(copy.path(), shared()).await;
    let (ours, theirs) = (reports(20..32), reports(40..55));
    let lines = (Line::new(one.ports, &key).await, Line::new(two.ports, &key).await);
    futures_util::future::join(lines.0.send_all(&ours), lines.1.send_all(&theirs)).await;
    all.extend(ours);
    all.extend(theirs);
    arrive(&file, &all).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(Sums::in_file(&file), Sums::of(&all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_folder_under_the_old_name_counts_what_is_new() {
    let dir = fleet::dir(1);
    let core = Core::start(dir.path()).await;
    let key = Place::from(core.ports).enroll(1).await;
    let mut all = reports(0..9);
    Line::new(core.ports, &key).await.send_all(&all).await;
    core.stop().await;
    let name = instance(dir.path());
    std::fs::remove_dir_all(dir.path().join("journal")).unwrap();

    // As many records as the lost journal had, and more: an inherited watermark would swallow them.
    let core = Core::start(dir.path()).await;
    let new = reports(20..32);
    Line::new(core.ports, &key).await.send_all(&new).await;
    all.extend(new);
    core.stop().await;
    assert_eq!(instance(dir.path()), name);
    assert_eq!(Sums::stored(dir.path()), Sums::of(&all));
}
