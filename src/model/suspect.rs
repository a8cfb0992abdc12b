//! Bytes that are kept, but count nowhere until an admin accepts them.

use serde::Serialize;

use super::{NodeId, ProtocolId, SubscriptionId, Time, UserId, named};

named! {
    /// Why bytes of a report are not counted at once.
    Suspicion {
        /// The subscription is a client on the node, but not with this user.
        NotTheUsers = "not-the-users",
        /// The subscription is no client on the node, and lately was none.
        NoClient = "no-client",
        /// The node's machine has not carried so many bytes.
        BeyondCarried = "beyond-carried",
    }
}

named! {
    /// What an admin said of suspect bytes.
    Decision {
        /// They count.
        Accepted = "accepted",
        /// They never count.
        Voided = "voided",
    }
}

/// A row of `usage_suspect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SuspectRow {
    /// Grows with time.
    pub id: i64,
    /// Who reported it.
    pub node_id: NodeId,
    /// Whose bytes, as the node says.
    pub user_id: UserId,
    /// On which subscription, as the node says.
    pub subscription_id: Option<SubscriptionId>,
    /// Through which inbound of the node.
    pub node_protocol_id: ProtocolId,
    /// When.
    pub minute: Time,
    /// From the user.
    pub bytes_up: i64,
    /// To the user.
    pub bytes_down: i64,
    /// Why it is suspect.
    pub reason: Suspicion,
    /// When Core took it.
    pub received_at: Time,
    /// When an admin decided; none = it waits.
    pub decided_at: Option<Time>,
    /// What he decided.
    pub decision: Option<Decision>,
    /// Who decided.
    pub decided_by: Option<String>,
}
