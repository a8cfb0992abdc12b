//! Whatever happens to the bytes: nothing altered is ever read, and everything whole is, where the rules let it count.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use vpn_core::{
    journal::{Disk, Journal},
    model::{JournalId, Position, entry::Entry},
};

use super::{Bench, append_all, clock, files, memory::MemoryDisk, options, read_all};

/// So many journals are damaged.
const CASES: u64 = 10_000;

/// Bytes of a segment's head.
const SEGMENT_HEAD: usize = 64;

/// Bytes of a record's head.
const RECORD_HEAD: usize = 16;

struct Record {
    position: Position,
    begin: usize,
    end: usize,
}

struct Segment {
    path: PathBuf,
    records: Vec<Record>,
}

struct Generation {
    id: JournalId,
    seal: Option<PathBuf>,
    segments: Vec<Segment>,
    entries: Vec<(Position, Entry)>,
}

/// A journal with a sealed and an unsealed generation of several segments each, as a crash leaves it.
struct Base {
    files: BTreeMap<PathBuf, Vec<u8>>,
    generations: Vec<Generation>,
}

impl Base {
    async fn build() -> Self {
        let bench = Bench::new();
        let first = bench.open();
        let mut written = vec![(first.id(), append_all(&first, 1..=70).await)];
        drop(first);
        let second = bench.open();
        written.push((second.id(), append_all(&second, 101..=160).await));
        let dir = bench.crashed("base");
        let relative = |path: PathBuf| path.strip_prefix(&dir).unwrap().to_owned();
        let mut base = Self {
            files: BTreeMap::new(),
            generations: Vec::new(),
        };
        for path in files(&dir, ".seg").into_iter().chain(files(&dir, "sealed")) {
            base.files.insert(relative(path.clone()), fs::read(path).unwrap());
        }
        for (id, entries) in written {
            let mine = |path: &&PathBuf| path.to_str().unwrap().contains(&id.to_string());
            let paths: Vec<_> = base.files.keys().filter(mine).cloned().collect();
            let (seals, segments): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.ends_with("sealed"));
            let segments: Vec<_> = segments.into_iter().map(|path| base.segment(path)).collect();
            assert!(segments.len() > 2);
            let seal = seals.into_iter().next();
            base.generations.push(Generation {
                id,
                seal,
                segments,
                entries,
            });
        }
        assert!(base.generations[0].seal.is_some() && base.generations[1].seal.is_none());
        base
    }

    fn segment(&self, path: PathBuf) -> Segment {
        let bytes = &self.files[&path];
        let mut records = Vec::new();
        let mut begin = SEGMENT_HEAD;
        while let Some(head) = bytes.get(begin..begin + RECORD_HEAD) {
            let length = u32::from_le_bytes(head[..4].try_into().unwrap());
            if length == 0 {
                break;
            }
            let end = begin + RECORD_HEAD + usize::try_from(length).unwrap();
            let position = Position(u64::from_le_bytes(head[8..].try_into().unwrap()));
            records.push(Record { position, begin, end });
            begin = end;
        }
        Segment { path, records }
    }

    /// What must be read of a generation after this damage.
    fn expected(&self, generation: &Generation, damaged: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<(Position, Entry)> {
        let same =
            |path: &Path, begin: usize, end: usize| damaged[path].get(begin..end) == self.files[path].get(begin..end);
        let sealed = generation
            .seal
            .as_ref()
            .is_some_and(|seal| damaged[seal] == self.files[seal]);
        let mut expected = Vec::new();
        for (index, segment) in generation.segments.iter().enumerate() {
            let whole = |record: &&Record| same(&segment.path, record.begin, record.end);
            let kept: Vec<&Record> = if !sealed && index + 1 == generation.segments.len() {
                segment.records.iter().take_while(whole).collect()
            } else {
                segment.records.iter().filter(whole).collect()
            };
            expected.extend(kept.into_iter().map(|record| {
                let index = usize::try_from(record.position.0).unwrap() - 1;
                generation.entries[index].clone()
            }));
        }
        expected
    }
}

fn damage(rng: &mut StdRng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.random_range(0..bytes.len());
    match rng.random_range(0..5) {
        0 => bytes.truncate(at),
        1 | 2 => bytes[at] ^= 1 << rng.random_range(0..8),
        3 => {
            let block = at - at % 512;
            let end = bytes.len().min(block + 512);
            bytes[block..end].fill(0);
        }
        _ => {
            let end = rng.random_range(at..=bytes.len());
            rng.fill(&mut bytes[at..end]);
        }
    }
}

fn check(base: &Base, dir: &Path, case: u64) {
    let mut rng = StdRng::seed_from_u64(case);
    let mut damaged = base.files.clone();
    let paths: Vec<_> = base.files.keys().collect();
    for _ in 0..*[1, 1, 1, 2, 4].choose(&mut rng).unwrap() {
        let path = *paths.choose(&mut rng).unwrap();
        damage(&mut rng, damaged.get_mut(path).unwrap());
    }
    let disk = Arc::new(MemoryDisk::default());
    for (path, bytes) in &damaged {
        disk.put(&dir.join(path), bytes.clone());
    }
    let journal = Journal::open(dir, options(), clock(), Arc::clone(&disk) as Arc<dyn Disk>).unwrap();
    let mut lost = 0;
    for generation in &base.generations {
        let expected = base.expected(generation, &damaged);
        if expected.is_empty() && journal.generations().iter().all(|it| it.id != generation.id) {
            continue;
        }
        let piece = read_all(&journal, generation.id);
        assert_eq!(piece.entries, expected, "case {case}");
        assert_eq!(piece, read_all(&journal, generation.id), "case {case}: read again");
        lost += piece.lost;
    }
    assert_eq!(
        journal.health().damaged,
        lost,
        "case {case}: lost records are counted, once"
    );
    if lost > 0 {
        let mut names = disk.list(dir).unwrap().into_iter();
        assert!(
            names.any(|it| it.ends_with(".quarantined")),
            "case {case}: a damaged file is kept"
        );
    }
}

#[tokio::test]
async fn what_is_whole_is_read_and_nothing_else() {
    let base = Base::build().await;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for core in 0..cores {
            let base = &base;
            scope.spawn(move || {
                // Only for the lock: the files are in memory.
                let home = tempfile::tempdir().unwrap();
                let cases = (0..CASES).skip(core).step_by(cores);
                cases.for_each(|case| check(base, home.path(), case));
            });
        }
    });
}
