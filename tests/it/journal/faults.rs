//! A journal on a disk that fails.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

use proptest::{collection::vec, prelude::*};
use vpn_core::{
    journal::{AppendError, Journal},
    model::{JournalId, Position, entry::Entry},
};

use super::{Bench, append_all, disk::Faults, entry, files, read_all};

async fn refused(journal: &Journal, entry: Entry) {
    let refused = journal.append(&entry).await;
    assert!(matches!(refused, Err(AppendError::Disk(_))), "{refused:?}");
    assert!(!journal.health().writable);
}

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_by_itself() {
    let bench = Bench::new();
    bench.disk.faults.no_room.store(true, SeqCst);
    let journal = bench.open();
    for number in 0..3 {
        refused(&journal, entry(number, 3)).await;
    }
    assert_eq!(journal.health().bytes, 0, "nothing half-made is left");
    assert!(files(&bench.dir(), ".tmp").is_empty());
    bench.disk.faults.no_room.store(false, SeqCst);
    let mut written = append_all(&journal, 1..=3).await;
    assert!(journal.health().writable);

    // The disk fills up while the journal is in use: what the present and the prepared segment hold is still taken.
    bench.disk.faults.no_room.store(true, SeqCst);
    let mut number = 3;
    loop {
        number += 1;
        let next = entry(number, 8);
        match journal.append(&next).await {
            Ok(position) => written.push((position, next)),
            Err(error) => break assert!(matches!(error, AppendError::Disk(_)), "{error:?}"),
        }
        assert!(number < 100);
    }
    refused(&journal, entry(1000, 8)).await;
    bench.disk.faults.no_room.store(false, SeqCst);
    let position = Position(written.len() as u64 + 1);
    let next = entry(2000, 8);
    assert_eq!(journal.append(&next).await.unwrap(), position);
    written.push((position, next));
    assert_eq!(read_all(&journal, journal.id()).entries, written);
    let reopened = bench.open_at(&bench.crashed("crashed"));
    assert_eq!(read_all(&reopened, journal.id()).entries, written);
}

#[tokio::test]
async fn nothing_is_acknowledged_or_retried_after_a_failed_sync() {
    let bench = Bench::new();
    let journal = bench.open();
    let mut written = append_all(&journal, 1..=3).await;
    bench.disk.faults.failing_syncs.store(1, SeqCst);
    // This one is on the disk all the same, whole, under the position that the next one gets too.
    refused(&journal, entry(100, 3)).await;
    assert_eq!(journal.health().end, Position(3));
    assert_eq!(
        read_all(&journal, journal.id()).entries,
        written,
        "what is not durable is not visible"
    );
    let before = bench.crashed("before");

    written.extend(append_all(&journal, 4..=20).await);
    assert_eq!(written[3].0, Position(4));
    assert!(journal.health().writable);
    assert_eq!(read_all(&journal, journal.id()).entries, written);
    let reopened = bench.open_at(&bench.crashed("after"));
    let piece = read_all(&reopened, journal.id());
    assert_eq!((piece.entries, piece.lost), (written.clone(), 0));
    assert_eq!(reopened.health().damaged, 0, "a stale record is no damage");

    // After a crash at the worst moment the refused one may be there, but once.
    let reopened = bench.open_at(&before);
    let mut kept = read_all(&reopened, journal.id()).entries;
    assert_eq!(kept.drain(..3).collect::<Vec<_>>(), written[..3]);
    assert_eq!(kept, [(Position(4), entry(100, 3))]);
}

#[tokio::test]
async fn a_failed_write_ends_its_segment() {
    let bench = Bench::new();
    let journal = bench.open();
    let mut written = append_all(&journal, 1..=3).await;
    bench.disk.faults.failing_writes.store(1, SeqCst);
    refused(&journal, entry(100, 3)).await;
    // Half of the record is there: the end of the segment all the same.
    let reopened = bench.open_at(&bench.crashed("before"));
    assert_eq!(read_all(&reopened, journal.id()).entries, written);
    assert_eq!(files(&bench.home.path().join("before"), ".quarantined").len(), 0);
    written.extend(append_all(&journal, 4..=20).await);
    assert_eq!(read_all(&journal, journal.id()).entries, written);
    assert_eq!(journal.health().damaged, 0);
}

#[tokio::test]
async fn a_disk_that_stays_bad_does_not_fill_up_with_segments() {
    let bench = Bench::new();
    let journal = bench.open();
    let written = append_all(&journal, 1..=3).await;
    bench.disk.faults.failing_syncs.store(u64::MAX, SeqCst);
    for number in 0..20 {
        refused(&journal, entry(number, 3)).await;
    }
    // The one with the three records, and nothing of the others but one that may be prepared.
    assert_eq!(files(&bench.dir(), ".seg").len(), 1);
    assert!(journal.health().bytes <= 2 * 4096);
    bench.disk.faults.failing_syncs.store(0, SeqCst);
    append_all(&journal, 4..=4).await;
    assert_eq!(read_all(&journal, journal.id()).entries[..3], written);
}

#[tokio::test]
async fn a_new_segment_that_cannot_be_named_is_not_written() {
    let bench = Bench::new();
    let journal = bench.open();
    let mut number = 0;
    let mut written = Vec::new();
    let faults: [fn(&Faults) -> &AtomicU64; 2] = [|it| &it.failing_renames, |it| &it.failing_dir_syncs];
    for fault in faults {
        fault(&bench.disk.faults).store(1, SeqCst);
        loop {
            number += 1;
            let next = entry(number, 8);
            match journal.append(&next).await {
                Ok(position) => written.push((position, next)),
                Err(_) => break,
            }
            assert!(number < 200);
        }
        number += 1;
        written.extend(append_all(&journal, [number]).await);
    }
    assert_eq!(read_all(&journal, journal.id()).entries, written);
    let reopened = bench.open_at(&bench.crashed("crashed"));
    assert_eq!(read_all(&reopened, journal.id()).entries, written);
    assert_eq!(reopened.health().damaged, 0);
}

#[tokio::test]
async fn short_writes_are_completed() {
    let bench = Bench::new();
    bench.disk.faults.short_writes.store(true, SeqCst);
    let journal = bench.open();
    let written = append_all(&journal, 1..=30).await;
    let reopened = bench.open_at(&bench.crashed("crashed"));
    assert_eq!(read_all(&reopened, journal.id()).entries, written);
}

#[tokio::test]
async fn blocks_that_cannot_be_read_are_damage_and_no_more() {
    let bench = Bench::new();
    let journal = bench.open();
    // One segment of its own size, with records behind the blocks that go bad.
    let large = entry(1, 1000);
    let mut written = vec![(journal.append(&large).await.unwrap(), large)];
    written.extend(append_all(&journal, 2..=20).await);
    bench.disk.faults.unreadable_below.store(200, SeqCst);
    let piece = read_all(&journal, journal.id());
    assert!(piece.lost > 0 && piece.upto == Position(20));
    assert!(
        piece.entries.iter().all(|read| written.contains(read)),
        "nothing is altered"
    );
    assert_eq!(journal.health().damaged, piece.lost);
}

#[tokio::test]
async fn a_full_disk_does_not_stop_a_start() {
    let bench = Bench::new();
    let journal = bench.open();
    let (old, written) = (journal.id(), append_all(&journal, 1..=30).await);
    drop(journal);
    bench.disk.faults.no_room.store(true, SeqCst);
    for _ in 0..2 {
        let journal = bench.open();
        assert_eq!(read_all(&journal, old).entries, written);
        assert!(
            files(&bench.dir(), "sealed").is_empty(),
            "there was no room for the mark"
        );
        refused(&journal, entry(100, 3)).await;
    }
    bench.disk.faults.no_room.store(false, SeqCst);
    let journal = bench.open();
    assert_eq!(files(&bench.dir(), "sealed").len(), 1);
    assert_eq!(read_all(&journal, old).entries, written);
}

/// Changes one bit in the last segment, in the record with this position.
fn flip(segment: &Path, position: u64) {
    let mut bytes = fs::read(segment).unwrap();
    let mark = position.to_le_bytes();
    // The position is the end of a record's head; entries here hold no such 8 bytes.
    let at = bytes.windows(8).skip(64).position(|it| it == mark).unwrap() + 64;
    bytes[at + 8] ^= 1;
    fs::write(segment, bytes).unwrap();
}

#[tokio::test]
async fn what_is_cut_off_behind_a_torn_end_is_kept_for_a_look() {
    let bench = Bench::new();
    let journal = bench.open();
    let written = append_all(&journal, 1..=10).await;
    let dir = bench.crashed("crashed");
    flip(&files(&dir, ".seg")[0], 6);
    let reopened = bench.open_at(&dir);
    let piece = read_all(&reopened, journal.id());
    assert_eq!((&piece.entries[..], piece.lost), (&written[..5], 0));
    assert_eq!(files(&dir, ".tail.quarantined").len(), 1);
}

#[tokio::test]
async fn damage_under_an_open_journal_is_found_and_read_around() {
    let bench = Bench::new();
    let journal = bench.open();
    let mut written = append_all(&journal, 1..=10).await;
    flip(&files(&bench.dir(), ".seg")[0], 6);
    written.remove(5);
    let piece = read_all(&journal, journal.id());
    assert_eq!((&piece.entries, piece.lost, piece.upto), (&written, 1, Position(10)));
    // The segment goes on, and the damage is counted once.
    written.extend(append_all(&journal, 11..=12).await);
    let piece = read_all(&journal, journal.id());
    assert_eq!((piece.entries, piece.lost, piece.upto), (written, 1, Position(12)));
    assert_eq!(journal.health().damaged, 1);
    assert_eq!(files(&bench.dir(), ".quarantined").len(), 1);
}

#[tokio::test]
async fn a_segment_that_is_gone_is_a_gap() {
    let bench = Bench::new();
    let journal = bench.open();
    let written = append_all(&journal, 1..=80).await;
    let dir = bench.crashed("crashed");
    let segments = files(&dir, ".seg");
    assert!(segments.len() > 2);
    fs::remove_file(&segments[1]).unwrap();
    let reopened = bench.open_at(&dir);
    let piece = read_all(&reopened, journal.id());
    assert!(piece.lost > 0 && piece.upto == Position(80));
    assert_eq!(reopened.health().damaged, piece.lost);
    assert!(piece.entries.iter().all(|read| written.contains(read)));
}

#[derive(Debug, Clone)]
enum Step {
    Append,
    Crash,
    Room(bool),
    Fail(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Append),
        1 => Just(Step::Crash),
        1 => any::<bool>().prop_map(Step::Room),
        2 => (0_u8..5).prop_map(Step::Fail),
    ]
}

/// What became of the entries of one generation.
#[derive(Default)]
struct Told {
    acknowledged: Vec<(Position, Entry)>,
    refused: Vec<Entry>,
}

fn check(journal: &Journal, told: &[(JournalId, Told)]) {
    for (id, told) in told {
        let generation = journal.generations().into_iter().find(|it| it.id == *id);
        let Some(generation) = generation else {
            assert!(told.acknowledged.is_empty(), "a generation with records is gone");
            continue;
        };
        let piece = read_all(journal, *id);
        assert_eq!((piece.lost, piece.upto), (0, generation.end));
        let (known, others) = piece.entries.split_at(told.acknowledged.len());
        assert_eq!(
            known, told.acknowledged,
            "what was acknowledged is there, where it was said to be"
        );
        for (index, (_, entry)) in others.iter().enumerate() {
            assert!(told.refused.contains(entry), "nobody wrote this");
            assert!(
                others[..index].iter().all(|(_, other)| other != entry),
                "it is there twice"
            );
        }
    }
    assert_eq!(journal.health().damaged, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_what_was_acknowledged_is_kept(steps in vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let bench = Bench::new();
        let faults = &bench.disk.faults;
        let mut journal = bench.open();
        let mut told = vec![(journal.id(), Told::default())];
        for (number, step) in (0..).zip(steps) {
            match step {
                Step::Append => {
                    let entry = entry(number, number % 12);
                    let now = &mut told.last_mut().unwrap().1;
                    match runtime.block_on(journal.append(&entry)) {
                        Ok(position) => now.acknowledged.push((position, entry)),
                        Err(_) => now.refused.push(entry),
                    }
                }
                Step::Crash => {
                    let crashed = bench.crashed(&format!("crash-{number}"));
                    journal.close();
                    fs::remove_dir_all(bench.dir()).unwrap();
                    fs::rename(crashed, bench.dir()).unwrap();
                    for fault in [&faults.failing_syncs, &faults.failing_writes, &faults.failing_renames, &faults.failing_dir_syncs] {
                        fault.store(0, SeqCst);
                    }
                    journal = bench.open();
                    check(&journal, &told);
                    told.push((journal.id(), Told::default()));
                }
                Step::Room(there) => faults.no_room.store(!there, SeqCst),
                Step::Fail(0) => faults.failing_syncs.store(1, SeqCst),
                Step::Fail(1) => faults.failing_writes.store(1, SeqCst),
                Step::Fail(2) => faults.failing_renames.store(1, SeqCst),
                Step::Fail(3) => faults.failing_dir_syncs.store(1, SeqCst),
                Step::Fail(_) => faults.short_writes.store(true, SeqCst),
            }
        }
        check(&journal, &told);
    }
}
