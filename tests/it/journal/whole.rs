//! A journal on a good disk.

use std::{fs, sync::Arc};

use futures_util::{FutureExt as _, future::join_all};
use vpn_core::{
    journal::{AppendError, Journal, JournalError, Options, ReadLimit, RealDisk, inspect},
    model::{
        JournalId, NodeId, Position, Time,
        entry::{Entry, NodeFailure, Payload},
    },
};

use super::{ALL, Bench, KEEP, append_all, copy_dir, entry, files, read_all};

#[tokio::test]
async fn the_real_disk_keeps_what_was_acknowledged() {
    let bench = Bench::new();
    let open = || {
        Journal::open(
            &bench.dir(),
            Options::default(),
            bench.clock.clone(),
            Arc::new(RealDisk),
        )
        .unwrap()
    };
    let journal = open();
    let id = journal.id();
    let written = append_all(&journal, 1..=20).await;
    assert_eq!(read_all(&journal, id).entries, written);
    assert_eq!(*journal.watch().borrow(), Position(20));
    assert!(journal.health().bytes >= Options::default().segment_bytes);
    drop(journal);
    let journal = open();
    assert_ne!(journal.id(), id);
    assert_eq!(read_all(&journal, id).entries, written);
    let sealed = &files(&bench.dir(), ".seg")[0];
    assert!(
        fs::metadata(sealed).unwrap().len() < 10_000,
        "it was cut to its records"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_get_dense_positions() {
    let bench = Bench::new();
    let journal = bench.open();
    let tasks = (0..64).map(|task| {
        let journal = journal.clone();
        tokio::spawn(async move {
            let mut written = Vec::new();
            for step in 0..20 {
                let entry = entry(task * 100 + step, step % 5);
                written.push((journal.append(&entry).await.unwrap(), entry));
            }
            written
        })
    });
    let mut written = Vec::new();
    for task in join_all(tasks).await {
        let task = task.unwrap();
        assert!(
            task.is_sorted_by_key(|(position, _)| *position),
            "a caller's order is kept"
        );
        written.extend(task);
    }
    written.sort_by_key(|(position, _)| *position);
    assert!(
        (1..)
            .zip(&written)
            .all(|(expected, (position, _))| position.0 == expected)
    );
    assert_eq!(written.len(), 64 * 20);
    let crashed = bench.crashed("crashed");
    let reopened = bench.open_at(&crashed);
    assert_eq!(read_all(&reopened, journal.id()).entries, written);
}

#[tokio::test]
async fn a_piece_ends_at_its_limits() {
    let bench = Bench::new();
    let journal = bench.open();
    for number in 1..=30 {
        journal.append(&entry(number, 5)).await.unwrap();
    }
    let read = |after, rows, bytes| {
        let limit = ReadLimit { rows, bytes };
        let piece = journal.read_after(journal.id(), Position(after), limit).unwrap();
        let positions: Vec<_> = piece.entries.iter().map(|(position, _)| position.0).collect();
        assert_eq!(positions.last().copied().unwrap_or(after), piece.upto.0);
        positions
    };
    assert_eq!(read(0, 14, usize::MAX), [1, 2], "no more rows than asked");
    assert_eq!(read(2, 15, usize::MAX), [3, 4, 5]);
    assert_eq!(read(5, 1, usize::MAX), [6], "but one entry at least");
    assert_eq!(read(6, usize::MAX, 1), [7]);
    assert_eq!(read(3, 5, usize::MAX), [4], "going back");
    assert_eq!(read(27, usize::MAX, usize::MAX), [28, 29, 30]);
    assert_eq!(read(30, usize::MAX, usize::MAX), [0; 0]);
    assert_eq!(read(u64::MAX, 1, 1), [0; 0]);
    let stranger = journal.read_after(JournalId([0; 16]), Position::START, ALL);
    assert!(matches!(stranger, Err(JournalError::Unknown(_))));
}

#[tokio::test]
async fn parts_are_all_of_it_in_any_order() {
    let bench = Bench::new();
    let journal = bench.open();
    let id = journal.id();
    assert_eq!(journal.parts(id, Position::START).unwrap(), []);
    let written = append_all(&journal, 1..=200).await;
    let read = |after: u64| {
        let parts = journal.parts(id, Position(after)).unwrap();
        assert!(parts.len() > 2, "{parts:?}");
        assert!(parts.windows(2).all(|two| two[0].upto == two[1].after), "{parts:?}");
        let mut entries = Vec::new();
        for mut part in parts.into_iter().rev() {
            while part.after < part.upto {
                let piece = journal.read_part(part, ReadLimit { rows: 5, ..ALL }).unwrap();
                assert!(
                    piece.upto > part.after && piece.upto <= part.upto,
                    "{piece:?} of {part:?}"
                );
                part.after = piece.upto;
                entries.extend(piece.entries);
            }
            assert_eq!(journal.read_part(part, ALL).unwrap().entries, []);
        }
        entries.sort_by_key(|(position, _)| *position);
        entries
    };
    assert_eq!(read(0), written);
    assert_eq!(read(7), written[7..]);
    assert_eq!(journal.parts(id, Position(200)).unwrap(), []);
    let stranger = journal.parts(JournalId([0; 16]), Position::START);
    assert!(matches!(stranger, Err(JournalError::Unknown(_))));
}

#[tokio::test]
async fn a_record_larger_than_a_segment_gets_its_own() {
    let bench = Bench::new();
    let journal = bench.open();
    let mut written = append_all(&journal, 1..=3).await;
    let large = entry(4, 50_000);
    written.push((journal.append(&large).await.unwrap(), large));
    written.extend(append_all(&journal, 5..=8).await);
    assert_eq!(read_all(&journal, journal.id()).entries, written);
    let reopened = bench.open_at(&bench.crashed("crashed"));
    assert_eq!(read_all(&reopened, journal.id()).entries, written);
}

#[tokio::test]
async fn a_record_too_large_for_any_segment_is_refused() {
    let bench = Bench::new();
    let journal = bench.open();
    let failure = NodeFailure {
        revision: 1,
        message: "x".repeat(65 * 1024 * 1024),
        code: None,
        details_json: None,
    };
    let entry = Entry {
        node: NodeId(1),
        received_at: Time::default(),
        payload: Payload::NodeError(failure),
    };
    let refused = journal.append(&entry).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })), "{refused:?}");
    append_all(&journal, 1..=1).await;
}

#[tokio::test]
async fn a_full_journal_refuses_until_it_is_trimmed() {
    let mut bench = Bench::new();
    bench.options.max_bytes = 4 * 4096;
    let journal = bench.open();
    let mut written = Vec::new();
    let refused = loop {
        let next = entry(written.len() as u64, 10);
        match journal.append(&next).await {
            Ok(position) => written.push((position, next)),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused, AppendError::Full { max_bytes: 16_384, .. }),
        "{refused:?}"
    );
    let health = journal.health();
    assert!(!health.writable && health.bytes <= 4 * 4096, "{health:?}");
    assert_eq!(read_all(&journal, journal.id()).entries, written);

    let trim = |flushed| journal.trim(journal.id(), flushed, bench.clock.now()).unwrap();
    trim(health.end);
    assert!(
        journal.append(&entry(1000, 10)).await.is_err(),
        "nothing is old enough yet"
    );
    bench.clock.advance(KEEP);
    trim(Position::START);
    assert!(journal.append(&entry(1000, 10)).await.is_err(), "nothing is flushed");
    trim(health.end);
    assert!(journal.health().writable);
    let again = entry(1000, 10);
    let position = journal.append(&again).await.unwrap();
    assert_eq!(position, health.end.next());
    let kept = journal.generations()[0].first;
    assert!(kept > Position(1));
    let piece = read_all(&journal, journal.id());
    assert_eq!(piece.lost, kept.0 - 1, "what is trimmed is missed by who asks for it");
    assert_eq!(piece.entries.last(), Some(&(position, again)));
    assert_eq!(journal.health().damaged, 0, "but it is no damage");
}

#[tokio::test]
async fn flushed_generations_go_and_empty_ones_were_never_there() {
    let bench = Bench::new();
    let first = bench.open();
    append_all(&first, 1..=90).await;
    let old = first.id();
    drop(first);
    for _ in 0..3 {
        bench.open();
    }
    let journal = bench.open();
    let generations = journal.generations();
    assert_eq!(
        generations.iter().map(|it| it.id).collect::<Vec<_>>(),
        [old, journal.id()]
    );
    assert_eq!((generations[0].first, generations[0].end), (Position(1), Position(90)));
    assert!(!generations[0].open && generations[1].open);

    bench.clock.advance(KEEP / 2);
    journal.trim(old, Position(90), bench.clock.now()).unwrap();
    assert_eq!(journal.generations().len(), 2);
    bench.clock.advance(KEEP);
    journal.trim(old, Position(89), bench.clock.now()).unwrap();
    assert!(
        journal.generations()[0].first > Position(1),
        "its last segment is not flushed yet"
    );
    journal.trim(old, Position(90), bench.clock.now()).unwrap();
    assert_eq!(journal.generations().len(), 1);
    let gone = journal.trim(old, Position(90), bench.clock.now());
    assert!(matches!(gone, Err(JournalError::Unknown(_))));
    append_all(&journal, 1..=1).await;
    assert_eq!(files(&bench.dir(), ".seg").len(), 1);
}

#[tokio::test]
async fn clones_go_on_under_their_own_ids() {
    let bench = Bench::new();
    let original = bench.open();
    let old = original.id();
    let written = append_all(&original, 1..=40).await;
    let cloned = bench.crashed("clone");
    drop(original);
    let (one, two) = (bench.open(), bench.open_at(&cloned));
    assert_ne!(one.id(), two.id());
    let (first, second) = (append_all(&one, 100..=110).await, append_all(&two, 200..=210).await);
    for (journal, own) in [(&one, first), (&two, second)] {
        assert_eq!(read_all(journal, old).entries, written);
        assert_eq!(read_all(journal, journal.id()).entries, own);
    }
    // A copy of a generation inside one journal would be counted as two.
    let name = files(&bench.dir(), "sealed")[0].parent().unwrap().to_owned();
    let twin = name.with_file_name(
        name.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .replacen("000001", "000009", 1),
    );
    copy_dir(&name, &twin);
    drop(one);
    let refused = Journal::open(
        &bench.dir(),
        Options::default(),
        bench.clock.clone(),
        Arc::new(RealDisk),
    );
    assert!(matches!(refused, Err(JournalError::Twice(..))));
}

#[tokio::test]
async fn a_journal_is_open_once() {
    let bench = Bench::new();
    let journal = bench.open();
    let open = || {
        Journal::open(
            &bench.dir(),
            Options::default(),
            bench.clock.clone(),
            Arc::new(RealDisk),
        )
    };
    assert!(matches!(open(), Err(JournalError::InUse(_))));
    journal.close();
    journal.close();
    assert!(open().is_ok());
    assert!(matches!(journal.append(&entry(1, 1)).await, Err(AppendError::Closed)));
    assert!(!journal.health().writable);
}

#[tokio::test]
async fn callers_who_go_away_do_no_harm() {
    let bench = Bench::new();
    let journal = bench.open();
    for number in 0..50 {
        let gone = entry(1000 + number, 3);
        // One poll puts it into the queue; then the caller goes.
        assert!(!matches!(journal.append(&gone).now_or_never(), Some(Err(_))));
        append_all(&journal, [number]).await;
    }
    let piece = read_all(&journal, journal.id());
    assert_eq!(
        piece.entries.iter().filter(|(_, entry)| entry.node.0 < 1000).count(),
        50
    );
}

#[tokio::test]
async fn what_waits_at_the_close_is_written() {
    let bench = Bench::new();
    let journal = bench.open();
    let entries: Vec<_> = (0..100).map(|number| entry(number, 4)).collect();
    let mut appends: Vec<_> = entries.iter().map(|entry| Box::pin(journal.append(entry))).collect();
    let answers: Vec<_> = appends.iter_mut().map(|it| it.as_mut().now_or_never()).collect();
    journal.close();
    for (append, answer) in appends.into_iter().zip(answers) {
        let answer = match answer {
            Some(answer) => answer,
            None => append.await,
        };
        assert!(answer.is_ok(), "{answer:?}");
    }
    assert_eq!(journal.health().end, Position(100));
    assert_eq!(read_all(&journal, journal.id()).entries.len(), 100);
}

#[tokio::test]
async fn inspection_tells_and_changes_nothing() {
    let bench = Bench::new();
    let journal = bench.open();
    append_all(&journal, 1..=30).await;
    drop(journal);
    let journal = bench.open();
    append_all(&journal, 1..=5).await;
    let dir = bench.crashed("copy");
    let segment = &files(&dir, ".seg")[0];
    let mut bytes = fs::read(segment).unwrap();
    bytes[100] ^= 1;
    fs::write(segment, bytes).unwrap();

    let before = files(&dir, "");
    let reports = inspect(&dir).unwrap();
    assert_eq!(files(&dir, ""), before);
    assert_eq!(reports.len(), 2);
    assert!(reports[0].sealed && reports[0].damaged());
    assert_eq!((reports[0].first, reports[0].end), (Position(1), Position(30)));
    assert_eq!(reports[0].segments.iter().map(|it| it.records).sum::<u64>(), 29);
    assert_eq!(reports[0].segments.iter().map(|it| it.lost).sum::<u64>(), 1);
    assert!(!reports[1].sealed && !reports[1].damaged());
    assert_eq!(reports[1].end, Position(5));
}
