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

/// No input may take longer.
const TIME_MAX: Duration = Duration::from_secs(1);

/// No target may need more.
const MEMORY_MAX_MIB: u64 = 512;

/// More faults than these are not looked for.
const FAULTS_MAX: usize = 10;

/// How often a slow input is tried alone: it is slow only if it is so each time, whoever else keeps the machine busy.
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
    let at_once = if cfg!(fuzzing) { 1 } else { T::AT_ONCE };
    let inputs = std::env::var("CORE_TEST_INPUTS").map_or(20_000, |it| it.parse().unwrap());
    let mut session = Session::new(name, target);
    session.known(&seeds);
    let session = Aside(RefCell::new(session));
    let mutants = Mutants { kind, seeds, at_once };
    let whole = &session;
    bolero::check!(name = name)
        .with_generator(mutants)
        .with_iterations(usize::div_ceil(inputs, at_once))
        .with_max_len(1 << 20)
        .with_shrink_time(Duration::ZERO)
        .for_each(|Batch(inputs): &Batch| whole.0.borrow_mut().batch(inputs));
    // An engine of cargo-bolero does not come back.
    #[allow(unreachable_code, reason = "see above")]
    session.0.into_inner().finish();
}

/// What is looked at again after a panic, whatever state it is in.
struct Aside<T>(RefCell<T>);

impl<T> UnwindSafe for Aside<T> {}
impl<T> RefUnwindSafe for Aside<T> {}

struct Session<T> {
    name: &'static str,
    target: T,
    runtime: Runtime,
    watch: Stopwatch,
    inputs: usize,
    in_world: usize,
    taken: usize,
    worst: Duration,
    faults: Vec<String>,
}

impl<T: Target> Session<T> {
    fn new(name: &'static str, mut target: T) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(target.renew());
        Self {
            name,
            target,
            runtime,
            watch: Stopwatch::start(),
            inputs: 0,
            in_world: 0,
            taken: 0,
            worst: Duration::ZERO,
            faults: Vec::new(),
        }
    }

    /// The seeds, and what was at fault before.
    fn known(&mut self, seeds: &[Vec<u8>]) {
        let kept = fs::read_dir(self.folder()).into_iter().flatten();
        let kept = kept.map(|file| fs::read(file.unwrap().path()).unwrap());
        for input in kept.chain(seeds.to_vec()).collect::<Vec<_>>() {
            self.batch(&[input]);
        }
        assert!(self.taken > 0 || seeds.is_empty(), "{}: no seed is taken", self.name);
    }

    fn folder(&self) -> PathBuf {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        root.join("tests/it/fuzz/crashes").join(self.name)
    }

    fn batch(&mut self, inputs: &[Vec<u8>]) {
        if self.faults.len() >= FAULTS_MAX {
            return;
        }
        if self.in_world >= T::WORLD {
            self.runtime.block_on(self.target.renew());
            self.in_world = 0;
        }
        let tried = self.try_all(inputs);
        self.inputs += inputs.len();
        self.in_world += inputs.len();
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
        assert!(!cfg!(fuzzing) || self.faults.is_empty(), "{:#?}", self.faults);
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
            let mut tried = self.try_all(std::slice::from_ref(input));
            let (verdict, took) = tried.pop()?;
            if let Some(fault) = verdict.err().or_else(panics::take) {
                return Some(fault);
            }
            slow = slow.min(took);
            if slow <= TIME_MAX {
                return None;
            }
        }
        Some(format!("it takes {slow:?}"))
    }

    fn keep(&mut self, input: &[u8], fault: &str) {
        let folder = self.folder();
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{:08x}", crc32fast::hash(input)));
        fs::write(&file, input).unwrap();
        let fault = format!("{}: {fault}", file.display());
        eprintln!("{fault}");
        self.faults.push(fault);
    }

    fn finish(mut self) {
        let took = self.watch.elapsed().as_secs_f64();
        self.runtime.block_on(self.target.end());
        let late = panics::take();
        let memory = memory_mib();
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

/// The most memory that this process has held.
fn memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() >> 10
}
