//! Writes the pieces of a batch. What the database refuses is sifted out and put aside alone, so that it holds up nothing.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{
    counting,
    fault::{Fault, is_for_what_is_in_it},
};
use crate::{
    model::{
        SubscriptionId,
        fold::{Aside, Fold},
        piece::Piece,
        quota::Quota,
    },
    store::{StoreError, refusals::Refusals},
};

/// Into so many parts goes what was refused as a whole. One bad piece of n costs its first try, n pieces that are written in parts, and n/15 that are
/// tried in vain; with 2 parts it would be n.
const PARTS: usize = 16;

/// What writing came to.
#[derive(Default)]
pub(super) struct Taken {
    /// Sums that did not fit a column.
    pub(super) saturated: u64,
    /// What was put aside.
    pub(super) refusals: Refusals,
    /// The quotas that grew, as they now are.
    pub(super) quotas: BTreeMap<SubscriptionId, Quota>,
}

impl Taken {
    /// Writes these pieces as a whole if that can be, else in parts.
    pub(super) fn take(&mut self, connection: &Connection, pieces: &[Piece]) -> Result<(), Fault> {
        let fold = Fold::of(pieces);
        match attempt(connection, || counting::write(connection, &fold))? {
            Ok((saturated, quotas)) => {
                self.saturated += saturated;
                self.quotas
                    .extend(quotas.into_iter().map(|quota| (quota.subscription, quota)));
                Ok(())
            }
            Err(words) => {
                drop(fold);
                self.sift(connection, pieces, &words)
            }
        }
    }

    fn sift(&mut self, connection: &Connection, pieces: &[Piece], words: &str) -> Result<(), Fault> {
        if let [piece] = pieces {
            self.refusals.add(words);
            return put_aside(connection, piece.clone().put_aside(words));
        }
        pieces
            .chunks(pieces.len().div_ceil(PARTS).max(1))
            .try_for_each(|part| self.take(connection, part))
    }
}

/// Does it, or leaves no trace of it and gives the database's words if it was refused for what is in it.
fn attempt<T>(connection: &Connection, work: impl FnOnce() -> Result<T, Fault>) -> Result<Result<T, String>, Fault> {
    connection.execute_batch("SAVEPOINT attempt")?;
    let fault = match work() {
        Ok(done) => {
            connection.execute_batch("RELEASE attempt")?;
            return Ok(Ok(done));
        }
        Err(fault) => fault,
    };
    let words = match &fault {
        Fault::Sqlite(error) if is_for_what_is_in_it(error) => error.to_string(),
        _ => return Err(fault),
    };
    // A trigger may end the whole transaction (RAISE(ROLLBACK)): then there is nothing left to go on with.
    if connection.is_autocommit() {
        return Err(StoreError::Broken(format!("a refusal ended the whole transaction: {words}")).into());
    }
    connection.execute_batch("ROLLBACK TO attempt; RELEASE attempt")?;
    Ok(Err(words))
}

/// What can't even be put aside is in the log only.
fn put_aside(connection: &Connection, aside: Aside) -> Result<(), Fault> {
    let fold = Fold {
        rejected: vec![aside],
        ..Fold::default()
    };
    if let Err(words) = attempt(connection, || counting::write(connection, &fold))? {
        let (node, kind, at, item) = &fold.rejected[0];
        tracing::error!(%node, %kind, %at, reason = item.reason, item = item.item_json, words, "a row that the store refused can't be put aside");
    }
    Ok(())
}
