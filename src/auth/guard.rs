//! Who stands at the door: whose call it is, and whether he may come so often.

use std::net::IpAddr;

use crate::model::NodeId;

use super::{
    address::Proxies,
    limits::{Call, Limits, TooMany},
};

/// See the module.
#[derive(Default)]
pub struct Guard {
    proxies: Proxies,
    limits: Option<Limits>,
}

impl Guard {
    /// A guard; without limits everybody may come as often as he likes.
    pub const fn new(proxies: Proxies, limits: Option<Limits>) -> Self {
        Self { proxies, limits }
    }

    /// The address that a call came from.
    pub fn caller<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        self.proxies.caller(peer, forwarded)
    }

    /// An address registers.
    pub fn register(&self, from: IpAddr) -> Result<(), TooMany> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.register(from))
    }

    /// An address has shown what lets nobody in.
    pub fn auth_failure(&self, from: IpAddr) -> Result<(), TooMany> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.auth_failure(from))
    }

    /// A node calls.
    pub fn node(&self, node: NodeId, call: Call) -> Result<(), TooMany> {
        self.limits.as_ref().map_or(Ok(()), |limits| limits.node(node, call))
    }
}
