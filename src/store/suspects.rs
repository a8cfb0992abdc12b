//! Bytes that count only if an admin says so.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Change, Page, StoreError};
use crate::model::{
    quota::Quota,
    suspect::{Decision, SuspectRow},
};

/// What became of an admin's word on suspect bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It holds, from now on or from before; and the quotas that grew.
    Done(SuspectRow, Vec<Quota>),
    /// The opposite was decided before: nothing was changed.
    Otherwise,
    /// There is no such row.
    Missing,
}

/// `usage_suspect`.
#[async_trait]
pub trait Suspects {
    /// Suspect bytes, newest first; `decided` = only those on which an admin has decided, or has not.
    async fn suspects(&self, decided: Option<bool>, page: Page) -> Result<Vec<SuspectRow>, StoreError>;
    /// Decides, at most once: what is accepted counts as a flush would count it, in the same transaction.
    async fn judge_suspect(&self, id: i64, decision: Decision, by: &Change) -> Result<Judged, StoreError>;
}

/// What the audit log says of a decision.
pub(super) fn audited(row: &SuspectRow, decision: Decision) -> (&'static str, Value) {
    let action = match decision {
        Decision::Accepted => "suspect.accept",
        Decision::Voided => "suspect.void",
    };
    let details = json!({
        "nodeId": row.node_id, "subscriptionId": row.subscription_id,
        "bytesUp": row.bytes_up, "bytesDown": row.bytes_down,
    });
    (action, details)
}
