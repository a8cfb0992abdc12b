//! Writes rows of one table of the catalogue, as many as there are, in one statement. What they may say was checked before: see
//! [`crate::store::row_rules`].

use serde_json::Value;
use tokio_postgres::types::Json;

use super::{fault::Fault, line::Line};
use crate::{
    model::{
        Time,
        catalog::{
            ImportedNode, Link, NodeBalancer, NodeOutbound, NodeProtocol, NodeRoutingRule, Subscription,
            SubscriptionLink, User,
        },
        catalog_change::CatalogRow,
    },
    store::{StoreError, naming::Place},
};

/// A row on its way to its table.
#[derive(Clone)]
pub(super) enum Put {
    /// A row of `nodes`.
    Node(ImportedNode),
    /// A row of a table that admins change.
    Row(CatalogRow),
}

impl Put {
    /// PostgreSQL knows no NUL: what has one in it is refused before it is sent, because the answer would not say where it is.
    pub(super) fn must_be_storable(&self, place: Place) -> Result<(), StoreError> {
        let fields = match self {
            Self::Node(row) => serde_json::to_value(row).unwrap_or_default(),
            Self::Row(row) => row.to_json(),
        };
        let fields = fields.as_object().into_iter().flatten();
        match fields.into_iter().find(|(_, value)| has_nul(value)) {
            Some((field, _)) => Err(place.refused(field, "has the character NUL in it")),
            None => Ok(()),
        }
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Writes all of these, new or in place of what is there, a statement a table; what refers to a row comes after it.
pub(super) async fn put<'a>(line: &Line, all: impl Iterator<Item = &'a Put> + Clone, at: Time) -> Result<(), Fault> {
    macro_rules! of {
        ($($kind:pat => $row:expr),+) => {
            all.clone().filter_map(|put| match put { $($kind => Some($row),)+ _ => None }).collect::<Vec<_>>()
        };
    }
    nodes(line, &of!(Put::Node(row) => row), at).await?;
    users(line, &of!(Put::Row(CatalogRow::User(row)) => row), at).await?;
    subscriptions(line, &of!(Put::Row(CatalogRow::Subscription(row)) => row), at).await?;
    links(line, &of!(Put::Row(CatalogRow::Link(row)) => row), at).await?;
    subscription_links(line, &of!(Put::Row(CatalogRow::SubscriptionLink(row)) => row), at).await?;
    protocols(line, &of!(Put::Row(CatalogRow::Protocol(row)) => row)).await?;
    outbounds(line, &of!(Put::Row(CatalogRow::Outbound(row)) => row)).await?;
    balancers(line, &of!(Put::Row(CatalogRow::Balancer(row)) => row)).await?;
    rules(line, &of!(Put::Row(CatalogRow::Rule(row)) => row)).await
}

/// One value of each row.
fn each<'a, R, V>(rows: &[&'a R], value: impl Fn(&'a R) -> V) -> Vec<V> {
    rows.iter().map(|row| value(row)).collect()
}

async fn nodes(line: &Line, rows: &[&ImportedNode], at: Time) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    line.execute(
        include_str!("../../../sql/queries/postgres/nodes_put.sql"),
        &[
            &each(rows, |row| row.id),
            &each(rows, |row| row.name.as_str()),
            &each(rows, |row| row.ip.to_string()),
            &each(rows, |row| i32::from(row.port)),
            &each(rows, |row| row.region.as_str()),
            &each(rows, |row| row.domain.as_deref()),
            &at,
        ],
    )
    .await?;
    Ok(())
}

async fn users(line: &Line, rows: &[&User], at: Time) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    line.execute(
        include_str!("../../../sql/queries/postgres/users_put.sql"),
        &[
            &each(rows, |row| row.id),
            &each(rows, |row| row.uuid),
            &each(rows, |row| row.name.as_str()),
            &each(rows, |row| row.status.as_str()),
            &at,
        ],
    )
    .await?;
    Ok(())
}

async fn subscriptions(line: &Line, rows: &[&Subscription], at: Time) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    line.execute(
        include_str!("../../../sql/queries/postgres/subscriptions_put.sql"),
        &[
            &each(rows, |row| row.id),
            &each(rows, |row| row.user_id),
            &each(rows, |row| row.status.as_str()),
            &each(rows, |row| row.starts_at),
            &each(rows, |row| row.expires_at),
            &each(rows, |row| row.traffic_limit_bytes),
            &each(rows, |row| row.reset_strategy.as_str()),
            &each(rows, |row| row.max_ips),
            &each(rows, |row| row.rate_up_bps),
            &each(rows, |row| row.rate_down_bps),
            &at,
        ],
    )
    .await?;
    Ok(())
}

async fn links(line: &Line, rows: &[&Link], at: Time) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    line.execute(
        include_str!("../../../sql/queries/postgres/links_put.sql"),
        &[
            &each(rows, |row| row.id),
            &each(rows, |row| row.user_id),
            &each(rows, |row| row.name.as_str()),
            &each(rows, |row| row.enabled),
            &each(rows, |row| row.revoked_at),
            &at,
        ],
    )
    .await?;
    Ok(())
}

async fn subscription_links(line: &Line, rows: &[&SubscriptionLink], at: Time) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    line.execute(
        include_str!("../../../sql/queries/postgres/subscription_links_put.sql"),
        &[
            &each(rows, |row| row.id),
            &each(rows, |row| row.uuid),
            &each(rows, |row| row.link_id),
            &each(rows, |row| row.subscription_id),
            &each(rows, |row| row.enabled),
            &at,
        ],
    )
    .await?;
    Ok(())
}

async fn protocols(line: &Line, rows: &[&NodeProtocol]) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    line.execute(
        include_str!("../../../sql/queries/postgres/protocols_put.sql"),
        &[
            &each(rows, |row| row.id),
            &each(rows, |row| row.node_id),
            &each(rows, |row| row.protocol.as_str()),
            &each(rows, |row| row.tag.as_deref()),
            &each(rows, |row| row.enabled),
            &each(rows, |row| row.listen.to_string()),
            &each(rows, |row| row.port),
            &each(rows, |row| row.network.as_str()),
            &each(rows, |row| row.security.as_str()),
            &each(rows, |row| row.flow.as_str()),
            &each(rows, |row| Json(&row.settings)),
            &each(rows, |row| Json(&row.stream_settings)),
            &each(rows, |row| Json(&row.sniffing)),
            &each(rows, |row| row.public_host.as_deref()),
            &each(rows, |row| row.public_port),
            &each(rows, |row| row.position),
            &each(rows, |row| row.deleted_at),
        ],
    )
    .await?;
    Ok(())
}

async fn outbounds(line: &Line, rows: &[&NodeOutbound]) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    line.execute(
        include_str!("../../../sql/queries/postgres/outbounds_put.sql"),
        &[
            &each(rows, |row| row.id),
            &each(rows, |row| row.node_id),
            &each(rows, |row| row.tag.as_str()),
            &each(rows, |row| row.protocol.as_str()),
            &each(rows, |row| Json(&row.config)),
            &each(rows, |row| row.position),
            &each(rows, |row| row.enabled),
            &each(rows, |row| row.deleted_at),
        ],
    )
    .await?;
    Ok(())
}

async fn balancers(line: &Line, rows: &[&NodeBalancer]) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    line.execute(
        include_str!("../../../sql/queries/postgres/balancers_put.sql"),
        &[
            &each(rows, |row| row.id),
            &each(rows, |row| row.node_id),
            &each(rows, |row| row.tag.as_str()),
            &each(rows, |row| Json(&row.config)),
        ],
    )
    .await?;
    Ok(())
}

async fn rules(line: &Line, rows: &[&NodeRoutingRule]) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    line.execute(
        include_str!("../../../sql/queries/postgres/rules_put.sql"),
        &[
            &each(rows, |row| row.id),
            &each(rows, |row| row.node_id),
            &each(rows, |row| row.position),
            &each(rows, |row| Json(&row.rule)),
            &each(rows, |row| row.outbound_id),
            &each(rows, |row| row.balancer_tag.as_deref()),
            &each(rows, |row| row.enabled),
        ],
    )
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::NodeId;

    #[test]
    fn a_nul_is_found_wherever_it_is() {
        for config in [json!("\0"), json!({ "a": [{ "b\0": 1 }] }), json!([["x\0"]])] {
            let row = Put::Row(CatalogRow::Balancer(NodeBalancer {
                id: 1,
                node_id: NodeId(1),
                tag: "b".to_owned(),
                config,
            }));
            let place = Place {
                list: "changes",
                index: 3,
            };
            let refused = row.must_be_storable(place).unwrap_err();
            assert_eq!(refused.to_string(), "changes[3].config has the character NUL in it");
        }
    }
}
