//! What a store would not take of a batch, for what is in it.

/// How many pieces were refused, and why the first of them was.
#[derive(Debug, Default)]
pub struct Refusals {
    count: u64,
    first: Option<String>,
}

impl Refusals {
    /// One more, with the store's words.
    pub fn add(&mut self, words: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| words.to_owned());
    }

    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Says it, once a batch: when the batch is taken over.
    pub fn tell(&self) {
        if let Some(reason) = &self.first {
            tracing::error!(
                refused = self.count,
                reason,
                "the store refused rows for what is in them: they are put aside, the others count"
            );
        }
    }
}
