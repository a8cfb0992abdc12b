//! Rows of the catalogue: users, subscriptions, links, inbounds, outbounds, rules, balancers.

use crate::{
    catalog::{
        actor::{Try, WasReset},
        trial::Objection,
    },
    model::{
        LsId, ProtocolId, SubscriptionId, UserId,
        catalog::Subscription,
        catalog_change::{CatalogChange, CatalogRow, RowRef, RowTag, RowsOf, StoredRow},
    },
    store::{CatalogOutcome, Change, Page, StoreError, UsagePoint, UsageSpan},
};

use super::{AdminError, Desk, readable};

/// The most changes of one request: 1,000 users with a subscription, a link and its credentials are 4,000.
const CHANGES_MAX: usize = 50_000;

impl Desk {
    /// Rows of one owner, newest first.
    pub async fn rows(&self, of: RowsOf, page: Page) -> Result<Vec<StoredRow>, AdminError> {
        Ok(self.store.catalog_rows(of, page).await?)
    }

    /// One row.
    pub async fn row(&self, row: RowRef) -> Result<StoredRow, AdminError> {
        self.store
            .catalog_row(row)
            .await?
            .ok_or(AdminError::Missing(row.what()))
    }

    /// Puts a row in place: new with the id 0, else instead of the one that is there.
    pub async fn put_row(
        &self,
        row: CatalogRow,
        if_match: Option<RowTag>,
        by: &Change,
    ) -> Result<StoredRow, AdminError> {
        let put = self.change(vec![CatalogChange::Put { row, if_match }], by).await?;
        let put = put
            .into_iter()
            .next()
            .ok_or_else(|| StoreError::Broken("it put no row".to_owned()))?;
        self.row(put.reference()).await
    }

    /// Deletes a row.
    pub async fn delete_row(&self, row: RowRef, if_match: Option<RowTag>, by: &Change) -> Result<(), AdminError> {
        self.change(vec![CatalogChange::Delete { row, if_match }], by)
            .await
            .map(drop)
    }

    /// Lets credentials use an inbound.
    pub async fn join(&self, protocol: ProtocolId, links: Vec<LsId>, by: &Change) -> Result<(), AdminError> {
        self.change(vec![CatalogChange::Join { protocol, links }], by)
            .await
            .map(drop)
    }

    /// Takes credentials off an inbound.
    pub async fn leave(&self, protocol: ProtocolId, links: Vec<LsId>, by: &Change) -> Result<(), AdminError> {
        self.change(vec![CatalogChange::Leave { protocol, links }], by)
            .await
            .map(drop)
    }

    /// Makes changes, all or none. What an engine would take although it is wrong is refused before.
    pub async fn change(&self, changes: Vec<CatalogChange>, by: &Change) -> Result<Vec<CatalogRow>, AdminError> {
        if changes.len() > CHANGES_MAX {
            return Err(AdminError::Invalid(format!(
                "the request makes more than {CHANGES_MAX} changes"
            )));
        }
        let single = changes.len() == 1;
        // The caller of one change knows nothing of a list.
        let wrong = |at: Option<usize>, message: String| match at {
            Some(at) if !single => AdminError::InBatch { at, message },
            _ => AdminError::Invalid(message),
        };
        for (at, change) in changes.iter().enumerate() {
            plausible(change).map_err(|error| wrong(Some(at), error.to_string()))?;
        }
        let checked = self.catalog.send(Try(changes.clone())).await;
        let objection = checked.map_err(|_| StoreError::Broken("the catalogue's actor is gone".to_owned()))??;
        if let Some(Objection { at, message }) = objection {
            return Err(wrong(at, message));
        }
        let protocols: Vec<Option<RowRef>> = changes.iter().map(joined).collect();
        match self.store.change_catalog(changes, by).await {
            Ok(CatalogOutcome::Done(rows)) => Ok(rows),
            Ok(CatalogOutcome::Missing(row)) => match protocols.iter().position(|it| *it == Some(row)) {
                Some(at) if !single => Err(wrong(Some(at), format!("{} is no {}", row.id(), row.what()))),
                _ => Err(AdminError::Missing(row.what())),
            },
            Ok(CatalogOutcome::Stale(_)) => Err(AdminError::Stale),
            Err(StoreError::Refused { field, message }) => {
                let (at, field) = in_list(&field);
                Err(wrong(at, format!("{field} {message}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Begins a new period for a subscription now.
    pub async fn reset_subscription(&self, id: SubscriptionId, by: &Change) -> Result<StoredRow, AdminError> {
        if self.store.reset_subscriptions(&[id], by.at, by).await?.is_empty() {
            return Err(AdminError::Missing("subscription"));
        }
        let told = self.catalog.send(WasReset(id, by.at)).await;
        told.map_err(|_| StoreError::Broken("the catalogue's actor is gone".to_owned()))??;
        self.row(RowRef::Subscription(id)).await
    }

    /// The bytes of a user, summed by step.
    pub async fn usage(&self, user: UserId, span: UsageSpan) -> Result<Vec<UsagePoint>, AdminError> {
        self.row(RowRef::User(user)).await?;
        Ok(self.store.usage(user, span).await?)
    }
}

/// The inbound that credentials join.
fn joined(change: &CatalogChange) -> Option<RowRef> {
    match change {
        CatalogChange::Join { protocol, .. } => Some(RowRef::Protocol(*protocol)),
        _ => None,
    }
}

/// `changes[3].name` in its parts.
fn in_list(field: &str) -> (Option<usize>, &str) {
    let parts = field
        .strip_prefix("changes[")
        .and_then(|rest| rest.split_once("]."))
        .and_then(|(at, field)| Some((at.parse().ok()?, field)));
    parts.map_or((None, field), |(at, field)| (Some(at), field))
}

/// Values that no row may have, whatever else is in the catalogue.
fn plausible(change: &CatalogChange) -> Result<(), AdminError> {
    let CatalogChange::Put { row, .. } = change else {
        return Ok(());
    };
    match row {
        CatalogRow::User(row) => readable("name", &row.name, 255).map(drop),
        CatalogRow::Link(row) => readable("name", &row.name, 255).map(drop),
        CatalogRow::Subscription(row) => subscription(row),
        CatalogRow::Protocol(row) => match row.public_port {
            Some(port) if !(1..=65535).contains(&port) => {
                Err(AdminError::Invalid("publicPort must be between 1 and 65535".to_owned()))
            }
            _ => Ok(()),
        },
        CatalogRow::SubscriptionLink(_) | CatalogRow::Outbound(_) | CatalogRow::Rule(_) | CatalogRow::Balancer(_) => {
            Ok(())
        }
    }
}

fn subscription(row: &Subscription) -> Result<(), AdminError> {
    let numbers = [
        ("trafficLimitBytes", row.traffic_limit_bytes, 0),
        ("maxIps", row.max_ips, 1),
        ("rateUpBps", row.rate_up_bps, 1),
        ("rateDownBps", row.rate_down_bps, 1),
    ];
    for (field, value, least) in numbers {
        if value.is_some_and(|value| value < least) {
            return Err(AdminError::Invalid(format!("{field} must be at least {least}")));
        }
    }
    if let (Some(starts), Some(expires)) = (row.starts_at, row.expires_at)
        && expires <= starts
    {
        return Err(AdminError::Invalid("expiresAt must be after startsAt".to_owned()));
    }
    Ok(())
}
