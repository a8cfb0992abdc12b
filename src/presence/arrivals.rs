//! Who has come, and who only seems to have.

use std::{net::IpAddr, time::Duration};

use crate::model::{
    NodeId, ProtocolId, Time, UserId,
    event::Arrival,
    presence::{OnlineSet, OnlineUser},
};

use super::AWAY;

/// So long after Core's start nobody has come who is not known to have been away: he may just not have been reported yet.
pub const GRACE: Duration = Duration::from_secs(20);

/// A user who may have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub user: UserId,
    /// Where he was reported.
    pub node: NodeId,
    /// Through which inbound.
    pub protocol: ProtocolId,
    /// From where.
    pub ip: Option<IpAddr>,
    /// When.
    pub at: Time,
    /// When this instance saw him last.
    pub before: Before,
}

/// When a user was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Then.
    Known(Time),
    /// Not within what is remembered.
    Unknown,
}

/// What is to be made of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// He was there all the time, or nobody can know.
    WasThere,
    /// He came; he had been there then.
    Came(Time),
    /// He came; the store knows whether he ever was there.
    AskStore,
}

impl Candidate {
    pub(super) fn of(set: &OnlineSet, user: &OnlineUser, before: Before) -> Self {
        Self {
            user: user.user_id,
            node: set.node,
            protocol: user.node_protocol_id,
            ip: user.ips.iter().max_by_key(|ip| ip.last_seen).map(|ip| ip.ip),
            at: set.at,
            before,
        }
    }

    /// Decides. `mirrored` is the report that Redis knew of him: another instance's, or one from before the start. A later one than the
    /// candidate's own says nothing about what was before.
    pub fn decide(&self, mirrored: Option<Time>, started: Time) -> Verdict {
        let mirrored = mirrored.filter(|at| *at <= self.at);
        match (self.before, mirrored) {
            (_, Some(at)) if self.at.since(at) <= AWAY => Verdict::WasThere,
            (Before::Known(before), Some(at)) => Verdict::Came(before.max(at)),
            (Before::Known(before), None) => Verdict::Came(before),
            // While Core was away nobody could report him: what is known is no gap of his.
            (Before::Unknown, _) if self.at.since(started) < GRACE => Verdict::WasThere,
            (Before::Unknown, Some(at)) => Verdict::Came(at),
            (Before::Unknown, None) => Verdict::AskStore,
        }
    }

    /// The news.
    pub const fn arrival(&self, before: Option<Time>) -> Arrival {
        Arrival {
            user: self.user,
            node: self.node,
            protocol: self.protocol,
            ip: self.ip,
            before,
        }
    }
}
