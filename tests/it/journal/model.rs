//! A journal and a simple model of it do the same.

use proptest::{collection::vec, prelude::*};
use vpn_core::{
    journal::{Journal, ReadLimit},
    model::{JournalId, Position, entry::Entry},
};

use super::{Bench, KEEP, entry};

#[derive(Debug, Clone)]
enum Step {
    Append {
        rows: u64,
    },
    Reopen,
    Read {
        generation: prop::sample::Index,
        after: prop::sample::Index,
        rows: usize,
        bytes: usize,
    },
    Trim {
        generation: prop::sample::Index,
        flushed: prop::sample::Index,
        old: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    use prop::sample::Index;
    prop_oneof![
        10 => (0_u64..40).prop_map(|rows| Step::Append { rows }),
        1 => Just(Step::Reopen),
        4 => (any::<Index>(), any::<Index>(), 1_usize..100, 1_usize..4000)
            .prop_map(|(generation, after, rows, bytes)| Step::Read { generation, after, rows, bytes }),
        1 => (any::<Index>(), any::<Index>(), any::<bool>())
            .prop_map(|(generation, flushed, old)| Step::Trim { generation, flushed, old }),
    ]
}

/// A generation as it must be: all its entries, the first of which may be trimmed.
struct Generation {
    id: JournalId,
    entries: Vec<Entry>,
    first: u64,
}

/// Reads on from a position piece by piece, as the flush does.
fn read(journal: &Journal, generation: &Generation, mut after: u64, limit: ReadLimit) {
    after = after.max(generation.first - 1);
    loop {
        let piece = journal.read_after(generation.id, Position(after), limit).unwrap();
        assert_eq!(piece.lost, 0);
        for (position, entry) in &piece.entries {
            after += 1;
            assert_eq!(position.0, after);
            assert_eq!(*entry, generation.entries[usize::try_from(after).unwrap() - 1]);
        }
        assert_eq!(piece.upto.0, after);
        if piece.entries.is_empty() {
            break;
        }
    }
    assert_eq!(after, generation.entries.len() as u64, "it stops at the end only");
}

/// Trims, and holds the journal to what may go.
fn trim(bench: &Bench, journal: &Journal, generation: &mut Generation, flushed: u64, old: bool) {
    if old {
        bench.clock.advance(KEEP);
    }
    journal
        .trim(generation.id, Position(flushed), bench.clock.now())
        .unwrap();
    let left = journal.generations().into_iter().find(|it| it.id == generation.id);
    let end = generation.entries.len() as u64;
    let first = left.map_or(end + 1, |left| left.first.0);
    assert!(
        first >= generation.first && first <= flushed.max(generation.first - 1) + 1,
        "only what is flushed goes"
    );
    if left.is_none() {
        assert!(generation.id != journal.id() && flushed >= end);
    } else if old && flushed >= end {
        assert_eq!(
            generation.id,
            journal.id(),
            "a sealed generation that is flushed and old goes"
        );
    }
    generation.first = first;
}

fn check_list(journal: &Journal, generations: &[Generation]) {
    let listed = journal.generations();
    let expected = generations
        .iter()
        .filter(|it| it.first <= it.entries.len() as u64 || it.id == journal.id());
    let expected: Vec<_> = expected
        .map(|it| (it.id, Position(it.first), Position(it.entries.len() as u64)))
        .collect();
    assert_eq!(
        listed.iter().map(|it| (it.id, it.first, it.end)).collect::<Vec<_>>(),
        expected
    );
    assert!(listed.iter().all(|it| it.open == (it.id == journal.id())));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_journal_does_what_the_model_does(steps in vec(step(), 1..150)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let bench = Bench::new();
        let mut journal = bench.open();
        let begun = |journal: &Journal| Generation { id: journal.id(), entries: Vec::new(), first: 1 };
        let mut generations = vec![begun(&journal)];
        for (number, step) in (0..).zip(steps) {
            match step {
                Step::Append { rows } => {
                    let entry = entry(number, rows);
                    let position = runtime.block_on(journal.append(&entry)).unwrap();
                    let now = generations.last_mut().unwrap();
                    now.entries.push(entry);
                    assert_eq!(position.0, now.entries.len() as u64);
                }
                Step::Reopen => {
                    drop(journal);
                    journal = bench.open();
                    generations.retain(|it| it.first <= it.entries.len() as u64);
                    generations.push(begun(&journal));
                }
                Step::Read { generation, after, rows, bytes } => {
                    let generation = generation.get(&generations);
                    let after = after.index(generation.entries.len() + 1) as u64;
                    read(&journal, generation, after, ReadLimit { rows, bytes });
                }
                Step::Trim { generation, flushed, old } => {
                    let index = generation.index(generations.len());
                    let flushed = flushed.index(generations[index].entries.len() + 1) as u64;
                    trim(&bench, &journal, &mut generations[index], flushed, old);
                    generations.retain(|it| it.first <= it.entries.len() as u64 || it.id == journal.id());
                }
            }
            check_list(&journal, &generations);
        }
    }
}
