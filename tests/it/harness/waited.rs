//! What a busy machine adds to the time that something takes, by Linux.

use std::{
    fs, hint,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

/// How long the threads of this process were ready to run while no processor was free for them, all in all.
pub fn waited() -> Duration {
    let mut nanos = 0;
    for task in fs::read_dir("/proc/self/task").expect("Linux lists threads") {
        // One that has ended meanwhile has none.
        let text = task.and_then(|task| fs::read_to_string(task.path().join("schedstat")));
        let waited = text
            .iter()
            .filter_map(|it| it.split_whitespace().nth(1))
            .flat_map(str::parse::<u64>);
        nanos += waited.sum::<u64>();
    }
    Duration::from_nanos(nanos)
}

#[test]
fn more_threads_than_processors_wait() {
    let before = waited();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let processors = thread::available_parallelism().unwrap().get();
        for _ in 0..=processors {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    hint::spin_loop();
                }
            });
        }
        while waited() == before {
            thread::yield_now();
        }
        done.store(true, Relaxed);
    });
}
