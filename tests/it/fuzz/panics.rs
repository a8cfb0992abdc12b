//! Panics of the whole process, also those that a runtime catches.

use std::{
    any::Any,
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

/// So many are told; the others are only counted.
const TOLD: usize = 10;

static PANICS: Mutex<Panics> = Mutex::new(Panics {
    count: 0,
    words: Vec::new(),
});

struct Panics {
    count: usize,
    words: Vec<String>,
}

fn panics() -> MutexGuard<'static, Panics> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts them from now on.
pub fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let words = panic.to_string();
            let mut panics = panics();
            panics.count += 1;
            if panics.words.len() < TOLD {
                panics.words.push(words);
            }
        }));
    });
}

/// The words of those since the last call, if there were any.
pub fn take() -> Option<String> {
    let mut panics = panics();
    let (count, words) = (std::mem::take(&mut panics.count), std::mem::take(&mut panics.words));
    (count > 0).then(|| format!("{count} panics: {}", words.join("; ")))
}

/// What a panic that was caught says.
pub fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a panic: {}", text.unwrap_or_default())
}
