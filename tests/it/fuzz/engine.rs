//! Runs a target: what is kept from before, the seeds, then inputs without end in sight; judges each, and keeps what is at fault.

use std::{
    cell::RefCell,
    fs,
    io::Write as _,
    panic::{AssertUnwindSafe, RefUnwindSafe, UnwindSafe},
    path::PathBuf,
    time::Duration,
};

use futures_util::{FutureExt as _, future::join_all};
use tokio::runtime::Runtime;
use vpn_core::clock::Stopwatch;

use super::{
    mutate::{Batch, Kind, Mutants},
    panics,
};
use crate::harness::{
    memory::{forget_peak, memory},
    waited::waited,
};

/// No input may take longer.
const TIME_MAX: Duration = Duration::from_secs(1);

/// No target may need more.
const MEMORY_MAX_MIB: u64 = 512;

/// Its memory is looked up at most this often, since that takes some 35 µs.
const WEIGHED_EVERY: Duration = Duration::from_millis(5);

/// What makes it so much larger than ever is told.
const LEAP_MIB: u64 = 32;

/// More faults than these are not looked for.
const FAULTS_MAX: usize = 10;

/// How often a slow input is tried alone: it is slow only if it is so each time, without the time it waited for a processor that others had.
const SLOW_TRIES: usize = 3;

/// What became of an input: whether it was taken, or the words of a fault.
pub type Verdict = Result<bool, String>;

/// What inputs are tried on.
pub trait Target {
    /// So many at a time.
    const AT_ONCE: usize = 1;
    /// After so many inputs, what they left behind is thrown away.
    const WORLD: usize = usize::MAX;

    /// Makes everything anew; called before the first input too.
    async fn renew(&mut self);

    /// Tries an input.
    async fn attempt(&self, input: &[u8]) -> Verdict;

    /// Ends what runs.
    async fn end(&mut self) {}
}

/// What a target is called, and what its inputs are.
pub struct Plan {
    /// Its name, and that of its folder.
    pub name: &'static str,
    /// What inputs are made of.
    pub kind: Kind,
    /// Valid ones.
    pub seeds: Vec<Vec<u8>>,
}

/// Runs it.
pub fn run<T: Target>(plan: Plan, target: T) {
    panics::watch();
    let Plan { name, kind, seeds } = plan;
    let inputs = std::env::var("CORE_TEST_INPUTS").map_or(20_000, |it| it.parse().unwrap());
    let mut session = Session::new(name, crashes(name), target);
    session.known(&seeds);
    let session = Aside(RefCell::new(session));
    let mutants = Mutants {
        kind,
        seeds,
        at_once: T::AT_ONCE,
    };
    let whole = &session;
    bolero::check!(name = name)
        .with_generator(mutants)
        .with_iterations(usize::div_ceil(inputs, T::AT_ONCE))
        .with_max_len(1 << 20)
        .with_shrink_time(Duration::ZERO)
        .for_each(|Batch(inputs): &Batch| whole.0.borrow_mut().batch(inputs));
    session.0.into_inner().finish();
}

fn crashes(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/it/fuzz/crashes").join(name)
}

/// What is looked at again after a panic, whatever state it is in.
struct Aside<T>(RefCell<T>);

impl<T> UnwindSafe for Aside<T> {}
impl<T> RefUnwindSafe for Aside<T> {}

struct Session<T> {
    name: &'static str,
    /// Where inputs at fault are kept.
    folder: PathBuf,
    target: T,
    runtime: Runtime,
    watch: Stopwatch,
    inputs: usize,
    in_world: usize,
    taken: usize,
    worst: Duration,
    weighed: Stopwatch,
    /// The most memory that it had while inputs were tried.
    peak_mib: u64,
    /// The most that was told.
    told_mib: u64,
    faults: Vec<String>,
}

impl<T: Target> Session<T> {
    fn new(name: &'static str, folder: PathBuf, mut target: T) -> Self {
        // On this thread: what calls and what carries calls would wake each other at each of them.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(target.renew());
        Self {
            name,
            folder,
            target,
            runtime,
            watch: Stopwatch::start(),
            inputs: 0,
            in_world: 0,
            taken: 0,
            worst: Duration::ZERO,
            weighed: Stopwatch::start(),
            peak_mib: peak_mib(),
            told_mib: peak_mib(),
            faults: Vec::new(),
        }
    }

    /// The seeds, and what was at fault before.
    fn known(&mut self, seeds: &[Vec<u8>]) {
        let kept = fs::read_dir(&self.folder).into_iter().flatten();
        let kept = kept.map(|file| fs::read(file.unwrap().path()).unwrap());
        for input in kept.chain(seeds.to_vec()).collect::<Vec<_>>() {
            self.batch(&[input]);
        }
        assert!(self.taken > 0 || seeds.is_empty(), "{}: no seed is taken", self.name);
    }

    fn batch(&mut self, inputs: &[Vec<u8>]) {
        if self.faults.len() >= FAULTS_MAX {
            return;
        }
        if self.in_world >= T::WORLD {
            self.runtime.block_on(self.target.renew());
            self.in_world = 0;
        }
        if self.weighed.elapsed() >= WEIGHED_EVERY {
            // What made these inputs may have been many times as large as they are.
            forget_peak(std::process::id());
        }
        let tried = self.try_all(inputs);
        self.inputs += inputs.len();
        self.in_world += inputs.len();
        self.weigh(inputs);
        let panics = panics::take();
        let mut found = 0;
        for (input, (verdict, took)) in inputs.iter().zip(tried) {
            self.taken += usize::from(verdict == Ok(true));
            self.worst = self.worst.max(took);
            if (panics.is_some() || verdict.is_err() || took > TIME_MAX)
                && let Some(fault) = self.alone(input)
            {
                found += 1;
                self.keep(input, &fault);
            }
        }
        if let Some(panics) = panics
            && found == 0
        {
            // It took several of them: all are kept.
            for input in inputs {
                self.keep(input, &panics);
            }
        }
    }

    fn try_all(&self, inputs: &[Vec<u8>]) -> Vec<(Verdict, Duration)> {
        let one = async |input: &Vec<u8>| {
            let watch = Stopwatch::start();
            let tried = AssertUnwindSafe(self.target.attempt(input)).catch_unwind().await;
            let verdict = tried.unwrap_or_else(|panic| Err(panics::words(&*panic)));
            (verdict, watch.elapsed())
        };
        self.runtime.block_on(join_all(inputs.iter().map(one)))
    }

    /// What is wrong with an input that is tried alone.
    fn alone(&self, input: &Vec<u8>) -> Option<String> {
        let mut slow = Duration::MAX;
        for _ in 0..SLOW_TRIES {
            let before = waited();
            let mut tried = self.try_all(std::slice::from_ref(input));
            let (verdict, took) = tried.pop()?;
            let panics = panics::take();
            if let Some(fault) = verdict.err().or(panics) {
                return Some(fault);
            }
            slow = slow.min(took.saturating_sub(waited().saturating_sub(before)));
            if slow <= TIME_MAX {
                return None;
            }
        }
        Some(format!("it takes {slow:?}"))
    }

    /// Tells after which inputs the process was larger than ever; if it is too large, they are kept.
    fn weigh(&mut self, inputs: &[Vec<u8>]) {
        if self.weighed.elapsed() < WEIGHED_EVERY {
            return;
        }
        let peak = peak_mib();
        let too_large = self.peak_mib < MEMORY_MAX_MIB && peak >= MEMORY_MAX_MIB;
        self.peak_mib = self.peak_mib.max(peak);
        if too_large || peak >= self.told_mib + LEAP_MIB {
            let sizes: Vec<_> = inputs.iter().map(Vec::len).collect();
            eprintln!(
                "{}: {peak} MiB after {} inputs, the last of {sizes:?} bytes",
                self.name, self.inputs
            );
            if too_large {
                for input in inputs {
                    self.keep(input, &format!("{peak} MiB"));
                }
            }
            self.told_mib = peak;
        }
        self.weighed = Stopwatch::start();
    }

    fn keep(&mut self, input: &[u8], fault: &str) {
        fs::create_dir_all(&self.folder).unwrap();
        let file = self.folder.join(format!("{:08x}", crc32fast::hash(input)));
        fs::write(&file, input).unwrap();
        let fault = format!("{}: {fault}", file.display());
        eprintln!("{fault}");
        self.faults.push(fault);
    }

    fn finish(mut self) {
        let took = self.watch.elapsed().as_secs_f64();
        self.runtime.block_on(self.target.end());
        let late = panics::take();
        let memory = self.peak_mib.max(peak_mib());
        let line = format!(
            "| {} | {} | {:.0} | {} | {:.0} | {memory} | {} |",
            self.name,
            self.inputs,
            took,
            self.taken,
            self.worst.as_secs_f64() * 1e3,
            self.faults.len(),
        );
        eprintln!("{line}");
        if let Some(file) = std::env::var_os("CORE_TEST_TABLE") {
            let mut table = fs::File::options().create(true).append(true).open(file).unwrap();
            writeln!(table, "{line}").unwrap();
        }
        assert!(self.faults.is_empty(), "{:#?}", self.faults);
        assert_eq!(late, None, "it came after the inputs");
        assert!(memory < MEMORY_MAX_MIB, "{memory} MiB");
    }
}

/// The most that the process has had, in MiB.
fn peak_mib() -> u64 {
    memory(std::process::id(), "VmHWM") >> 20
}

/// Falls, in the ways that a target can, at the inputs that say so.
struct Falling;

impl Target for Falling {
    const AT_ONCE: usize = 4;

    async fn renew(&mut self) {}

    async fn attempt(&self, input: &[u8]) -> Verdict {
        match input {
            b"here" => panic!("it fell here"),
            b"in a task" => Ok(tokio::spawn(async { panic!("it fell in a task") }).await.is_err()),
            b"slow" => {
                tokio::time::sleep(TIME_MAX + Duration::from_millis(100)).await;
                Ok(true)
            }
            b"blamed" => Err("Core is to blame".to_owned()),
            _ => Ok(true),
        }
    }
}

#[test]
fn what_falls_is_found_and_kept() {
    panics::watch();
    let dir = tempfile::tempdir().unwrap();
    let mut session = Session::new("falling", dir.path().join("falling"), Falling);
    let batch = |words: &[&str]| words.iter().map(|it| it.as_bytes().to_vec()).collect::<Vec<_>>();
    session.batch(&batch(&["good", "fine"]));
    assert!(session.faults.is_empty());
    session.batch(&batch(&["good", "here", "slow"]));
    session.batch(&batch(&["blamed", "in a task", "fine"]));
    let faults = session.faults.join("\n");
    for words in ["it fell here", "it fell in a task", "it takes 1.1", "Core is to blame"] {
        assert!(faults.contains(words), "{words}: {faults}");
    }
    assert_eq!(session.faults.len(), 4, "{faults}");
    let kept = fs::read_dir(&session.folder)
        .unwrap()
        .map(|it| fs::read(it.unwrap().path()).unwrap());
    let mut kept: Vec<_> = kept.collect();
    kept.sort();
    assert_eq!(kept, batch(&["blamed", "here", "in a task", "slow"]));
}
