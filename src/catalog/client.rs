//! Somebody who may connect through an inbound.

use uuid::Uuid;

use crate::model::{LinkId, LsId, ProtocolId, SubscriptionId, Time, UserId, catalog::Subscription};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Who.
    pub user: UserId,
    /// The link.
    pub link: LinkId,
    /// The credentials' id.
    pub ls: LsId,
    /// What all credentials come from.
    pub uuid: Uuid,
    /// What pays.
    pub subscription: Option<SubscriptionId>,
    /// Its place in a WireGuard inbound's network.
    pub slot: Option<i64>,
    /// What the subscription allows.
    pub limits: Limits,
}

/// What a subscription allows a client; none = anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the columns of their names")]
pub struct Limits {
    pub max_ips: Option<i64>,
    pub rate_up_bps: Option<i64>,
    pub rate_down_bps: Option<i64>,
    pub expires_at: Option<Time>,
}

impl Client {
    /// The name under which both engines count this client on an inbound.
    pub fn email(&self, protocol: ProtocolId) -> String {
        format!("u{}.l{}.s{}.i{}", self.user, self.link, self.ls, protocol)
    }
}

impl Limits {
    /// What this subscription allows.
    pub const fn of(subscription: &Subscription) -> Self {
        Self {
            max_ips: subscription.max_ips,
            rate_up_bps: subscription.rate_up_bps,
            rate_down_bps: subscription.rate_down_bps,
            expires_at: subscription.expires_at,
        }
    }
}
