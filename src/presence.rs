//! Who is online on any node, since when, and from where: what all nodes' reports come to together. Plain values; `actor` is around them.

pub mod actor;
mod arrivals;
mod sightings;

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use crate::model::{
    NodeId, ProtocolId, Time, UserId,
    presence::{ONLINE_FOR, OnlineSet, OnlineUser},
};

pub use self::arrivals::{Before, Candidate};
use self::sightings::{Sightings, Track};

/// Who was away from every node for longer has come anew.
pub const AWAY: Duration = Duration::from_secs(10);

/// Who was not seen for so long leaves memory, never the store.
const FORGET: Duration = Duration::from_hours(1);

/// See the module.
#[derive(Debug, Default)]
pub struct Presence {
    /// The last report of each node that has users.
    sets: BTreeMap<NodeId, Arc<OnlineSet>>,
    users: HashMap<UserId, Seen>,
    sightings: Sightings,
}

/// A user, as the nodes' reports name him.
#[derive(Debug)]
struct Seen {
    /// The last report that named him.
    last: Time,
    tracks: Vec<Track>,
}

/// Which users are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Those on this node.
    pub node: Option<NodeId>,
    /// Those on this inbound.
    pub protocol: Option<ProtocolId>,
    /// This user.
    pub user: Option<UserId>,
    /// Those after this place.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: usize,
}

/// A place in the list of all who are online: node, user, inbound.
pub type Place = (NodeId, UserId, ProtocolId);

impl Presence {
    /// Takes a report: gives the users who may have come with it.
    pub fn apply(&mut self, set: &Arc<OnlineSet>) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for user in &set.users {
            let seen = match self.users.entry(user.user_id) {
                Entry::Vacant(vacant) => {
                    candidates.push(Candidate::of(set, user, Before::Unknown));
                    vacant.insert(Seen {
                        last: set.at,
                        tracks: Vec::new(),
                    })
                }
                Entry::Occupied(occupied) => {
                    let seen = occupied.into_mut();
                    if set.at.since(seen.last) > AWAY {
                        candidates.push(Candidate::of(set, user, Before::Known(seen.last)));
                    }
                    seen.last = seen.last.max(set.at);
                    seen
                }
            };
            for ip in &user.ips {
                let there = (ip.ip, ip.last_seen.min(set.at));
                self.sightings.see(user.user_id, &mut seen.tracks, there, set.at);
            }
        }
        self.keep(set);
        candidates
    }

    fn keep(&mut self, set: &Arc<OnlineSet>) {
        if set.users.is_empty() {
            self.sets.remove(&set.node);
        } else {
            self.sets.insert(set.node, Arc::clone(set));
        }
    }

    /// Who is online now, in the order of their places.
    pub fn online(&self, wanted: Wanted, now: Time) -> Vec<(NodeId, OnlineUser)> {
        let from = wanted.after.map_or(NodeId(i64::MIN), |(node, ..)| node);
        let (first, last) = wanted
            .node
            .map_or((from, NodeId(i64::MAX)), |node| (node.max(from), node));
        let mut online = Vec::new();
        if first > last {
            return online;
        }
        for (node, set) in self.sets.range(first..=last) {
            if online.len() >= wanted.limit {
                break;
            }
            if now.since(set.at) >= ONLINE_FOR {
                continue;
            }
            let mut here: Vec<&OnlineUser> = set.users.iter().filter(|user| wanted.has(*node, user)).collect();
            here.sort_by_key(|user| (user.user_id, user.node_protocol_id));
            online.extend(here.into_iter().map(|user| (*node, user.clone())));
        }
        online.truncate(wanted.limit);
        online
    }

    /// Lets go of what is old; what the store has not heard yet stays until it has.
    pub fn sweep(&mut self, now: Time) {
        self.sets.retain(|_, set| now.since(set.at) < ONLINE_FOR);
        let sightings = &mut self.sightings;
        self.users.retain(|user, seen| {
            sightings.sweep(*user, &mut seen.tracks, now);
            !seen.tracks.is_empty() || now.since(seen.last) <= FORGET
        });
        if self.users.capacity() > 4 * self.users.len().max(1_024) {
            self.users.shrink_to(2 * self.users.len());
        }
    }

    /// How many users are remembered.
    pub fn remembered(&self) -> usize {
        self.users.len()
    }
}

impl Wanted {
    fn has(&self, node: NodeId, user: &OnlineUser) -> bool {
        let place = (node, user.user_id, user.node_protocol_id);
        self.user.is_none_or(|it| it == user.user_id)
            && self.protocol.is_none_or(|it| it == user.node_protocol_id)
            && self.after.is_none_or(|after| place > after)
    }
}

#[cfg(test)]
mod tests;
