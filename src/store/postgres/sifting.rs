//! Writes the pieces of a batch. What the database refuses is sifted out and put aside alone, so that it holds up nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    counting,
    fault::{Fault, Kind},
    line::Line,
};
use crate::{
    model::{
        NodeId, SubscriptionId,
        entry::Entry,
        fold::{Aside, Fold},
        piece::{Piece, pieces},
        quota::Quota,
    },
    store::refusals::Refusals,
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
    /// Nodes that told of an error.
    pub(super) failing: BTreeSet<NodeId>,
}

impl Taken {
    /// Writes what these entries hold: as a whole if that can be, else in parts.
    pub(super) async fn of(line: &Line, entries: Vec<Entry>) -> Result<Self, Fault> {
        let mut taken = Self::default();
        if entries.is_empty() {
            return Ok(taken);
        }
        let mut fold = Fold::default();
        entries.iter().cloned().for_each(|entry| fold.add(entry));
        if let Err(words) = taken.attempt(line, &fold).await? {
            let pieces = pieces(entries);
            taken.sift(line, &pieces, words).await?;
        }
        Ok(taken)
    }

    /// Takes what was refused apart, in order, until each bad piece stands alone.
    async fn sift(&mut self, line: &Line, all: &[Piece], words: String) -> Result<(), Fault> {
        let mut rest = Vec::new();
        let mut refused = Some((all, words));
        loop {
            match refused.take() {
                Some(([piece], words)) => {
                    self.refusals.add(&words);
                    self.put_aside(line, piece.clone().put_aside(&words)).await?;
                }
                Some((part, _)) => rest.extend(part.chunks(part.len().div_ceil(PARTS).max(1)).rev()),
                None => {}
            }
            let Some(part) = rest.pop() else {
                return Ok(());
            };
            if let Err(words) = self.attempt(line, &Fold::of(part)).await? {
                refused = Some((part, words));
            }
        }
    }

    /// Writes it, or leaves no trace of it and gives the database's words if it was refused for what is in it.
    async fn attempt(&mut self, line: &Line, fold: &Fold) -> Result<Result<(), String>, Fault> {
        line.batch("SAVEPOINT attempt").await?;
        match counting::write(line, fold).await {
            Ok((saturated, quotas)) => {
                line.batch("RELEASE attempt").await?;
                self.saturated += saturated;
                self.failing.extend(fold.errors.iter().map(|(node, ..)| *node));
                self.quotas
                    .extend(quotas.into_iter().map(|quota| (quota.subscription, quota)));
                Ok(Ok(()))
            }
            Err(fault) if fault.kind() == Kind::Data => {
                line.batch("ROLLBACK TO attempt; RELEASE attempt").await?;
                Ok(Err(fault.to_string()))
            }
            Err(fault) => Err(fault),
        }
    }

    /// What can't even be put aside is in the log only.
    async fn put_aside(&mut self, line: &Line, aside: Aside) -> Result<(), Fault> {
        let fold = Fold {
            rejected: vec![aside],
            ..Fold::default()
        };
        if let Err(words) = self.attempt(line, &fold).await? {
            let (node, kind, at, item) = &fold.rejected[0];
            tracing::error!(%node, %kind, %at, reason = item.reason, item = item.item_json, words, "a row that the store refused can't be put aside");
        }
        Ok(())
    }
}
