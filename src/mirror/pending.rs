//! What Redis should hold, and what of it is still to be written. Pure: the actor around it writes.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use crate::{
    model::{
        NodeId, Time, UserId,
        presence::{ONLINE_FOR, OnlineSet},
        stats::StatsSnapshot,
    },
    redis::{Expiring, names},
};

/// So long the last snapshot of a node stays.
const STATS_TTL: Duration = Duration::from_hours(24);

/// The latest of each node, and which nodes have something that is not written yet. It grows with the fleet, not with time: what it holds is
/// shared with the nodes' actors.
#[derive(Debug, Default)]
pub struct Pending {
    nodes: HashMap<NodeId, Latest>,
    /// Nodes that have something to be written, each once.
    dirty: Vec<NodeId>,
}

#[derive(Debug, Default)]
struct Latest {
    online: Option<Arc<OnlineSet>>,
    stats: Option<Arc<StatsSnapshot>>,
    online_is_dirty: bool,
    stats_are_dirty: bool,
}

impl Latest {
    const fn is_dirty(&self) -> bool {
        self.online_is_dirty || self.stats_are_dirty
    }
}

impl Pending {
    /// A node's full set.
    pub fn online(&mut self, set: Arc<OnlineSet>) {
        self.change(set.node, |latest| {
            if latest.online.as_ref().is_none_or(|held| held.at <= set.at) {
                latest.online = Some(set);
                latest.online_is_dirty = true;
            }
        });
    }

    /// A node's machine and engines.
    pub fn stats(&mut self, node: NodeId, snapshot: Arc<StatsSnapshot>) {
        self.change(node, |latest| {
            if latest
                .stats
                .as_ref()
                .is_none_or(|held| held.received_at <= snapshot.received_at)
            {
                latest.stats = Some(snapshot);
                latest.stats_are_dirty = true;
            }
        });
    }

    fn change(&mut self, node: NodeId, change: impl FnOnce(&mut Latest)) {
        let latest = self.nodes.entry(node).or_default();
        let was_dirty = latest.is_dirty();
        change(latest);
        if latest.is_dirty() && !was_dirty {
            self.dirty.push(node);
        }
    }

    /// There is no such node any more.
    pub fn forget(&mut self, node: NodeId) {
        if let Entry::Occupied(held) = self.nodes.entry(node)
            && held.remove().is_dirty()
        {
            self.dirty.retain(|dirty| *dirty != node);
        }
    }

    /// Nobody knows what is in Redis: all that still holds is to be written again.
    pub fn doubt(&mut self, now: Time) {
        self.dirty.clear();
        for (node, latest) in &mut self.nodes {
            // What holds no longer need not be held either.
            latest.online.take_if(|set| now.since(set.at) >= ONLINE_FOR);
            latest.stats.take_if(|stats| now.since(stats.received_at) >= STATS_TTL);
            latest.online_is_dirty = latest.online.is_some();
            latest.stats_are_dirty = latest.stats.is_some();
            if latest.is_dirty() {
                self.dirty.push(*node);
            }
        }
    }

    /// Takes all that is to be written; none if there is nothing.
    pub fn take(&mut self) -> Option<Pass> {
        if self.dirty.is_empty() {
            return None;
        }
        let mut pass = Pass::default();
        for node in std::mem::take(&mut self.dirty) {
            let Some(latest) = self.nodes.get_mut(&node) else {
                continue;
            };
            if std::mem::take(&mut latest.online_is_dirty) {
                pass.online.extend(latest.online.clone());
            }
            if std::mem::take(&mut latest.stats_are_dirty) {
                pass.stats.extend(latest.stats.clone().map(|stats| (node, stats)));
            }
        }
        // A user of two nodes is as his later report says: that is written last.
        pass.online.sort_by_key(|set| set.at);
        Some(pass)
    }
}

/// What is written at one go, in portions, each with the time that remains when its turn comes: so a pass over a large fleet needs no memory of its own.
#[derive(Debug, Default)]
pub struct Pass {
    online: Vec<Arc<OnlineSet>>,
    stats: Vec<(NodeId, Arc<StatsSnapshot>)>,
    /// Sets that are done, users of the next that are done, snapshots that are done.
    sets: usize,
    users: usize,
    snapshots: usize,
}

impl Pass {
    /// The next keys, `most` or one more; empty when all is done.
    pub fn portion(&mut self, now: Time, most: usize) -> Vec<Expiring> {
        let mut keys = Vec::new();
        while keys.len() < most {
            if let Some(set) = self.online.get(self.sets) {
                let remains = ONLINE_FOR.saturating_sub(now.since(set.at));
                let next = (!remains.is_zero()).then(|| write_users(set, self.users, remains, most, &mut keys));
                match next.filter(|next| *next < set.users.len()) {
                    Some(next) => self.users = next,
                    None => (self.sets, self.users) = (self.sets + 1, 0),
                }
            } else if let Some((node, stats)) = self.stats.get(self.snapshots) {
                let remains = STATS_TTL.saturating_sub(now.since(stats.received_at));
                if !remains.is_zero() {
                    let json = stats.to_json(*node).to_string();
                    keys.push(Expiring::new(names::node_stats(*node), json, remains));
                }
                self.snapshots += 1;
            } else {
                break;
            }
        }
        keys
    }
}

/// Adds the keys of a set's users from this one on until there are enough; gives the user whose turn is next.
fn write_users(set: &OnlineSet, from: usize, ttl: Duration, most: usize, keys: &mut Vec<Expiring>) -> usize {
    let at = Bytes::from(set.at.millis().to_string());
    keys.reserve(2 * (set.users.len() - from).min(most));
    let mut before: Option<UserId> = from.checked_sub(1).map(|before| set.users[before].user_id);
    for (next, user) in set.users.iter().enumerate().skip(from) {
        if keys.len() >= most {
            return next;
        }
        // One who is on several inbounds comes several times in a row.
        if before.replace(user.user_id) != Some(user.user_id) {
            keys.push(Expiring::new(names::online_user(user.user_id), at.clone(), ttl));
        }
        let name = names::online_inbound(user.node_protocol_id, user.user_id);
        keys.push(Expiring::new(name, at.clone(), ttl));
    }
    set.users.len()
}

#[cfg(test)]
mod tests;
