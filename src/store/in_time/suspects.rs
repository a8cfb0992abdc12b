//! Suspect bytes, in time.

use async_trait::async_trait;

use super::{InTime, QUICK, within};
use crate::{
    model::suspect::{Decision, SuspectRow},
    store::{Change, Judged, Page, StoreError, Suspects},
};

#[async_trait]
impl Suspects for InTime {
    async fn suspects(&self, decided: Option<bool>, page: Page) -> Result<Vec<SuspectRow>, StoreError> {
        within(QUICK, self.0.suspects(decided, page)).await
    }

    async fn judge_suspect(&self, id: i64, decision: Decision, by: &Change) -> Result<Judged, StoreError> {
        within(QUICK, self.0.judge_suspect(id, decision, by)).await
    }
}
