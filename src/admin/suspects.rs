//! Suspect bytes, and what admins say of them.

use crate::{
    catalog::actor::WereCounted,
    model::suspect::{Decision, SuspectRow},
    store::{Change, Judged, Page, StoreError},
};

use super::{AdminError, Desk};

impl Desk {
    /// Suspect bytes, newest first.
    pub async fn suspects(&self, decided: Option<bool>, page: Page) -> Result<Vec<SuspectRow>, AdminError> {
        Ok(self.store.suspects(decided, page).await?)
    }

    /// Accepts or voids suspect bytes, once.
    pub async fn judge_suspect(&self, id: i64, decision: Decision, by: &Change) -> Result<SuspectRow, AdminError> {
        match self.store.judge_suspect(id, decision, by).await? {
            Judged::Missing => Err(AdminError::Missing("suspect usage")),
            Judged::Otherwise => Err(AdminError::Decided),
            Judged::Done(row, quotas) => {
                if !quotas.is_empty() {
                    let told = self.catalog.send(WereCounted(quotas)).await;
                    told.map_err(|_| StoreError::Broken("the catalogue's actor is gone".to_owned()))??;
                }
                Ok(row)
            }
        }
    }
}
