//! What happened, as panels hear it: on the Redis stream and as server-sent events.

use std::{fmt, str::FromStr};

use serde_json::{Value, json};

use super::{NodeId, ProtocolId, SubscriptionId, Time, UserId};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its place among the others.
    pub id: EventId,
    /// When.
    pub at: Time,
    /// What.
    pub what: Happening,
}

/// The place of an event: its millisecond, and its number in it. Later events have higher ids, also over restarts of Core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct EventId {
    /// Milliseconds since 1970.
    pub millis: i64,
    /// Counts within the millisecond.
    pub number: u32,
}

impl EventId {
    /// The id of an event at this time that follows the event with this id, whatever the clock does.
    pub fn next(self, now: Time) -> Self {
        if now.millis() > self.millis {
            Self {
                millis: now.millis(),
                number: 0,
            }
        } else {
            Self {
                number: self.number.saturating_add(1),
                ..self
            }
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl FromStr for EventId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (millis, number) = text.split_once('-').ok_or(())?;
        Ok(Self {
            millis: millis.parse().map_err(drop)?,
            number: number.parse().map_err(drop)?,
        })
    }
}

/// What can happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Happening {
    /// A user came who had been away from every node.
    UserOnline(Arrival),
    /// Something about a node.
    Node(NodeNews, NodeId, NodeFacts),
    /// Most of the fleet stopped calling at once: so many of so many.
    MassLoss {
        /// Nodes that stopped.
        lost: usize,
        /// Nodes that were online before.
        of: usize,
    },
    /// The mass loss is over: nobody is unknown any more.
    Recovered {
        /// Nodes that came back.
        back: usize,
        /// Nodes that did not.
        offline: usize,
    },
    /// Something about a subscription.
    Subscription(SubscriptionNews, SubscriptionId, UserId),
    /// Items of a report were put aside.
    Rejected {
        /// Who sent them.
        node: NodeId,
        /// How many.
        count: usize,
        /// Why the first one.
        reason: String,
    },
    /// Bytes of a report wait for an admin's word.
    Suspect {
        /// Who sent them.
        node: NodeId,
        /// On which subscription, as the node says.
        subscription: Option<SubscriptionId>,
        /// How many, both ways.
        bytes: i64,
    },
}

/// A user who came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Who.
    pub user: UserId,
    /// Where.
    pub node: NodeId,
    /// Through which inbound.
    pub protocol: ProtocolId,
    /// From where; none if the node did not say.
    pub ip: Option<std::net::IpAddr>,
    /// When he was last seen before; none = never.
    pub before: Option<Time>,
}

super::named! {
    /// What can happen to a node.
    NodeNews {
        /// It calls.
        Online = "node.online",
        /// It stopped calling.
        Offline = "node.offline",
        /// It stopped calling together with most others.
        Unknown = "node.unknown",
        /// It could not run its config.
        Error = "node.error",
        /// It runs the config that it should.
        Synced = "node.synced",
        /// The times in its reports can't be used.
        ClockSkew = "node.clock_skew",
    }
}

/// What goes with a node's news.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFacts {
    /// The revision that it is about.
    pub revision: Option<i64>,
    /// The short name of an error.
    pub code: Option<String>,
    /// What an error says.
    pub message: Option<String>,
}

super::named! {
    /// What can happen to a subscription.
    SubscriptionNews {
        /// It used up its limit.
        Limited = "subscription.limited",
        /// Its time is over.
        Expired = "subscription.expired",
        /// A new period began.
        Reset = "subscription.reset",
    }
}

impl Happening {
    /// Its type, as panels know it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::UserOnline(_) => "user.online",
            Self::Node(news, ..) => news.as_str(),
            Self::MassLoss { .. } => "fleet.mass_loss",
            Self::Recovered { .. } => "fleet.recovered",
            Self::Subscription(news, ..) => news.as_str(),
            Self::Rejected { .. } => "usage.rejected",
            Self::Suspect { .. } => "usage.suspect",
        }
    }
}

impl Event {
    /// What goes with it.
    pub fn data(&self) -> Value {
        match &self.what {
            Happening::UserOnline(arrival) => json!({
                "userId": arrival.user,
                "nodeId": arrival.node,
                "nodeProtocolId": arrival.protocol,
                "ip": arrival.ip,
                "gapSeconds": arrival.before.map(|before| self.at.since(before).as_secs()),
            }),
            Happening::Node(_, node, facts) => {
                let mut data = json!({"nodeId": node});
                if let Some(revision) = facts.revision {
                    data["revision"] = revision.into();
                }
                for (name, text) in [("code", &facts.code), ("message", &facts.message)] {
                    if let Some(text) = text {
                        data[name] = text.as_str().into();
                    }
                }
                data
            }
            Happening::MassLoss { lost, of } => json!({"lost": lost, "of": of}),
            Happening::Recovered { back, offline } => json!({"back": back, "offline": offline}),
            Happening::Subscription(_, subscription, user) => json!({"subscriptionId": subscription, "userId": user}),
            Happening::Rejected { node, count, reason } => json!({"nodeId": node, "count": count, "reason": reason}),
            Happening::Suspect {
                node,
                subscription,
                bytes,
            } => json!({"nodeId": node, "subscriptionId": subscription, "bytes": bytes}),
        }
    }

    /// The whole of it, as it is sent.
    pub fn to_json(&self) -> Value {
        json!({"id": self.id.to_string(), "type": self.what.kind(), "at": self.at, "data": self.data()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_only_grow() {
        let first = EventId::default().next(Time::from_millis(5));
        assert_eq!(first.to_string(), "5-0");
        let second = first.next(Time::from_millis(5));
        let back = second.next(Time::from_millis(3));
        assert_eq!(
            (second.to_string(), back.to_string()),
            ("5-1".to_owned(), "5-2".to_owned())
        );
        assert!(first < second && second < back && back < back.next(Time::from_millis(6)));
        assert_eq!("5-2".parse(), Ok(back));
        for bad in ["", "5", "5-", "-1", "a-1", "5-1-1"] {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_event_says_what_the_contract_names() {
        let event = |what| Event {
            id: EventId {
                millis: 20_000,
                number: 1,
            },
            at: Time::from_millis(20_000),
            what,
        };
        let came = event(Happening::UserOnline(Arrival {
            user: UserId(42),
            node: NodeId(1),
            protocol: ProtocolId(7),
            ip: Some("192.0.2.1".parse().unwrap()),
            before: Some(Time::from_millis(5_000)),
        }));
        assert_eq!(
            came.to_json(),
            json!({
                "id": "20000-1",
                "type": "user.online",
                "at": "1970-01-01T00:00:20Z",
                "data": {"userId": 42, "nodeId": 1, "nodeProtocolId": 7, "ip": "192.0.2.1", "gapSeconds": 15}
            })
        );
        let facts = NodeFacts {
            revision: Some(3),
            ..NodeFacts::default()
        };
        let synced = event(Happening::Node(NodeNews::Synced, NodeId(1), facts));
        assert_eq!(synced.what.kind(), "node.synced");
        assert_eq!(synced.data(), json!({"nodeId": 1, "revision": 3}));
    }
}
