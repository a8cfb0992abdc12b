//! When the store is asked to bring its hours and days up to the minutes: after the flush, beside it, one piece of work at a time.

use crate::store::StoreError;

/// See the module.
#[derive(Debug)]
pub struct Rolling {
    due: bool,
    running: bool,
    failing: bool,
}

impl Default for Rolling {
    /// Something may be left from the time before the start.
    fn default() -> Self {
        Self {
            due: true,
            running: false,
            failing: false,
        }
    }
}

impl Rolling {
    /// Whether a piece of work begins now. `committed`: the store took something over meanwhile.
    pub fn begin(&mut self, committed: bool) -> bool {
        self.due |= committed;
        let begins = self.due && !self.running;
        if begins {
            self.running = true;
            self.due = false;
        }
        begins
    }

    /// The piece of work is over. What failed is tried again; it is said once when it begins to fail, and once when that ends.
    pub fn end(&mut self, outcome: &Result<bool, StoreError>) {
        self.running = false;
        match outcome {
            Ok(more) => {
                self.due |= more;
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the store sums usage by hour and day again");
                }
            }
            Err(error) => {
                self.due = true;
                metrics::counter!("core_roll_up_failures_total").increment(1);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the store does not sum usage by hour and day: the minutes are there, it is tried again");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> Result<bool, StoreError> {
        Err(StoreError::Away("the test says so".to_owned()))
    }

    #[test]
    fn it_goes_on_until_there_is_nothing_more() {
        let mut rolling = Rolling::default();
        assert!(rolling.begin(false));
        assert!(!rolling.begin(false), "one at a time");
        rolling.end(&Ok(true));
        assert!(rolling.begin(false));
        rolling.end(&away());
        assert!(rolling.begin(false), "what failed is tried again");
        rolling.end(&Ok(false));
        assert!(!rolling.begin(false));
        assert!(rolling.begin(true));
    }

    #[test]
    fn what_comes_while_it_runs_is_not_forgotten() {
        let mut rolling = Rolling::default();
        assert!(rolling.begin(true));
        assert!(!rolling.begin(true));
        rolling.end(&Ok(false));
        assert!(rolling.begin(false));
        rolling.end(&Ok(false));
        assert!(!rolling.begin(false));
    }
}
