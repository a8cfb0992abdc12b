//! Bytes that count only if an admin says so.

use super::{fault::Fault, line::Line};
use crate::model::{NodeId, ProtocolId, SubscriptionId, Time, UserId, suspect::Suspicion, usage::UsageRow};

/// Keeps suspect rows, with when Core took them.
pub(super) async fn write(line: &Line, suspects: &[(NodeId, Time, UsageRow)]) -> Result<(), Fault> {
    if suspects.is_empty() {
        return Ok(());
    }
    let rows = || suspects.iter().map(|(.., row)| row);
    let nodes: Vec<NodeId> = suspects.iter().map(|(node, ..)| *node).collect();
    let users: Vec<UserId> = rows().map(|row| row.user).collect();
    let subscriptions: Vec<Option<SubscriptionId>> = rows().map(|row| row.subscription).collect();
    let protocols: Vec<ProtocolId> = rows().map(|row| row.protocol).collect();
    let minutes: Vec<Time> = rows().map(|row| row.minute).collect();
    let up: Vec<i64> = rows().map(|row| row.bytes_up).collect();
    let down: Vec<i64> = rows().map(|row| row.bytes_down).collect();
    let reasons: Vec<Option<&str>> = rows().map(|row| row.suspect.map(Suspicion::as_str)).collect();
    let times: Vec<Time> = suspects.iter().map(|(_, at, _)| *at).collect();
    line.execute(
        include_str!("../../../sql/queries/postgres/suspects_insert.sql"),
        &[
            &nodes,
            &users,
            &subscriptions,
            &protocols,
            &minutes,
            &up,
            &down,
            &reasons,
            &times,
        ],
    )
    .await?;
    Ok(())
}
