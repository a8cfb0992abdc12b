//! When a store that tells of changes by itself is worth a question.

use std::time::Duration;

use tokio::sync::watch;

use crate::model::Time;

/// How often it is asked all the same: a word of it may be lost.
const ANYWAY_EVERY: Duration = Duration::from_secs(5);

/// What the store says by itself.
pub(super) struct Words {
    heard: watch::Receiver<u64>,
    /// There was a word, and the store has not been asked since.
    unasked: bool,
    asked_at: Time,
}

impl Words {
    /// From now on; whether there is something new already, nobody knows.
    pub(super) fn new(heard: watch::Receiver<u64>) -> Self {
        Self {
            heard,
            unasked: true,
            asked_at: Time::default(),
        }
    }

    /// Whether it is time to ask.
    pub(super) fn say_so(&mut self, now: Time) -> bool {
        // A sender that is gone says nothing more: then time alone does.
        if self.heard.has_changed().unwrap_or(false) {
            self.heard.mark_unchanged();
            self.unasked = true;
        }
        self.unasked || now.since(self.asked_at) >= ANYWAY_EVERY
    }

    /// The store was asked, and answered.
    pub(super) const fn was_asked(&mut self, now: Time) {
        self.unasked = false;
        self.asked_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_worth_a_question_until_it_is_answered() {
        let (says, heard) = watch::channel(0);
        let (mut words, mut now) = (Words::new(heard), Time::from_millis(1_000_000));
        assert!(words.say_so(now));
        words.was_asked(now);
        assert!(!words.say_so(now));
        says.send_modify(|count| *count += 1);
        assert!(words.say_so(now));
        assert!(words.say_so(now), "the question failed, so it is asked again");
        words.was_asked(now);
        now = now.plus(ANYWAY_EVERY);
        assert!(words.say_so(now), "a word may be lost");
        drop(says);
        words.was_asked(now);
        assert!(!words.say_so(now));
    }
}
