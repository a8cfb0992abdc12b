//! What was put aside, and who did what.

use crate::store::{AuditRow, Page, RejectedRow, RejectedTable};

use super::{AdminError, Desk};

impl Desk {
    /// Items that don't count, newest first.
    pub async fn rejected(&self, what: RejectedTable, page: Page) -> Result<Vec<RejectedRow>, AdminError> {
        Ok(self.store.rejected(what, page).await?)
    }

    /// The audit log, newest first.
    pub async fn audit(&self, page: Page) -> Result<Vec<AuditRow>, AdminError> {
        Ok(self.store.audit(page).await?)
    }
}
