//! What the keys are called. No braces, and every command works on one key: so a Redis Cluster spreads them by itself.

use crate::model::{NodeId, ProtocolId, UserId};

/// The stream of what happens.
pub const EVENTS: &str = "core:events";

/// When a user was last reported by any node.
pub fn online_user(user: UserId) -> String {
    format!("online:user:{user}")
}

/// When a user was last reported on this inbound.
pub fn online_inbound(protocol: ProtocolId, user: UserId) -> String {
    format!("online:inbound:{protocol}:user:{user}")
}

/// What a node's machine and engines looked like.
pub fn node_stats(node: NodeId) -> String {
    format!("node:stats:{node}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        assert_eq!(online_user(UserId(42)), "online:user:42");
        assert_eq!(online_inbound(ProtocolId(7), UserId(42)), "online:inbound:7:user:42");
        assert_eq!(node_stats(NodeId(3)), "node:stats:3");
    }
}
