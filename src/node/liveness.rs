//! Who is there: the watchdog's judgement, as plain values.

use std::time::Duration;

use crate::model::{NodeId, Time};

use super::vitals::Life;

/// No node is offline so soon after Core's own start: it may just not have found its way back.
pub const GRACE: Duration = Duration::from_mins(1);

/// The smallest fleet whose loss can be a mass loss.
const MASS_LEAST: usize = 10;

/// Losses within this time belong together.
const MASS_WINDOW: Duration = Duration::from_secs(30);

/// More than so many of a hundred online nodes are a mass loss.
const MASS_PERCENT: usize = 55;

/// After a mass loss, whoever does not come back within this time is offline.
const UNKNOWN_MAX: Duration = Duration::from_mins(5);

/// What the watchdog knows of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// Which.
    pub node: NodeId,
    /// Its life by the last judgement.
    pub life: Life,
    /// Its last call.
    pub last_seen: Option<Time>,
    /// The usual gap between its heartbeats; zero = not known.
    pub beat_interval: Duration,
}

/// The watchdog's memory from one look to the next.
#[derive(Debug)]
pub struct Watch {
    started: Time,
    offline_after: Duration,
    /// Nodes that went within the last [`MASS_WINDOW`], and when that was seen.
    recent: Vec<(NodeId, Time)>,
    /// Nodes that are unknown, and since when.
    unknown: Vec<(NodeId, Time)>,
    /// Of the mass loss that goes on: how many became unknown in it, and how many of those were given up.
    loss: Option<Loss>,
}

#[derive(Debug, Clone, Copy)]
struct Loss {
    marked: usize,
    offline: usize,
}

/// What a look came to.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Judgement {
    /// Nodes whose life changes, from what to what.
    pub changes: Vec<(NodeId, Life, Life)>,
    /// So many nodes of so many went at once: set once a loss.
    pub mass_loss: Option<(usize, usize)>,
    /// The loss is over: so many nodes came back, so many did not.
    pub recovered: Option<(usize, usize)>,
}

impl Watch {
    /// A watch that begins now.
    pub const fn new(started: Time, offline_after: Duration) -> Self {
        Self {
            started,
            offline_after,
            recent: Vec::new(),
            unknown: Vec::new(),
            loss: None,
        }
    }

    /// Looks at the whole fleet.
    pub fn look(&mut self, fleet: &[Pulse], now: Time) -> Judgement {
        let mut judgement = Judgement::default();
        if now.since(self.started) < GRACE {
            return judgement;
        }
        self.recent.retain(|(_, at)| now.since(*at) < MASS_WINDOW);
        let online = fleet.iter().filter(|pulse| pulse.life == Life::Online).count();
        let gone: Vec<NodeId> = fleet
            .iter()
            .filter(|pulse| self.is_gone(pulse, now))
            .map(|pulse| pulse.node)
            .collect();
        let before = online + self.recent.len();
        let lost = gone.len() + self.recent.len();
        let mass = !self.unknown.is_empty() || (before >= MASS_LEAST && lost * 100 > before * MASS_PERCENT);
        if mass && !gone.is_empty() {
            if self.unknown.is_empty() {
                judgement.mass_loss = Some((lost, before));
                let together = std::mem::take(&mut self.recent);
                self.mark_unknown(
                    together.iter().map(|(node, _)| *node),
                    Life::Offline,
                    now,
                    &mut judgement,
                );
            }
            self.mark_unknown(gone.iter().copied(), Life::Online, now, &mut judgement);
        } else {
            self.recent.extend(gone.iter().map(|node| (*node, now)));
            judgement
                .changes
                .extend(gone.into_iter().map(|node| (node, Life::Online, Life::Offline)));
        }
        self.give_up(fleet, now, &mut judgement);
        if self.unknown.is_empty()
            && let Some(loss) = self.loss.take()
        {
            judgement.recovered = Some((loss.marked - loss.offline, loss.offline));
        }
        judgement
    }

    fn is_gone(&self, pulse: &Pulse, now: Time) -> bool {
        let patience = self.offline_after.max(pulse.beat_interval * 3);
        pulse.life == Life::Online && pulse.last_seen.is_none_or(|last| now.since(last) > patience)
    }

    fn mark_unknown(&mut self, nodes: impl Iterator<Item = NodeId>, from: Life, now: Time, judgement: &mut Judgement) {
        let loss = self.loss.get_or_insert(Loss { marked: 0, offline: 0 });
        for node in nodes {
            loss.marked += 1;
            self.unknown.push((node, now));
            judgement.changes.push((node, from, Life::Unknown));
        }
    }

    /// Forgets the unknown that came back, and calls those offline that stayed away for too long. Unknown nodes of an earlier run of Core
    /// begin to count now.
    fn give_up(&mut self, fleet: &[Pulse], now: Time, judgement: &mut Judgement) {
        let just_marked = judgement.changes.len();
        let since: std::collections::HashMap<NodeId, Time> = self.unknown.drain(..).collect();
        let marked: std::collections::HashSet<NodeId> = judgement.changes[..just_marked]
            .iter()
            .filter(|(_, _, to)| *to == Life::Unknown)
            .map(|(node, ..)| *node)
            .collect();
        for pulse in fleet
            .iter()
            .filter(|pulse| pulse.life == Life::Unknown || marked.contains(&pulse.node))
        {
            let at = since.get(&pulse.node).copied().unwrap_or(now);
            if now.since(at) >= UNKNOWN_MAX {
                judgement.changes.push((pulse.node, Life::Unknown, Life::Offline));
                if let Some(loss) = &mut self.loss {
                    loss.offline = loss.marked.min(loss.offline + 1);
                }
            } else {
                self.unknown.push((pulse.node, at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(1_700_000_000_000).plus(Duration::from_secs(seconds))
    }

    fn pulse(node: i64, life: Life, seen: u64) -> Pulse {
        Pulse {
            node: NodeId(node),
            life,
            last_seen: Some(at(seen)),
            beat_interval: Duration::from_secs(10),
        }
    }

    fn watch() -> Watch {
        Watch::new(at(0), Duration::from_secs(30))
    }

    #[test]
    fn nobody_is_offline_in_the_first_minute() {
        assert_eq!(watch().look(&[pulse(1, Life::Online, 0)], at(59)), Judgement::default());
        assert_eq!(watch().look(&[pulse(1, Life::Online, 0)], at(60)).changes.len(), 1);
    }

    #[test]
    fn a_silent_node_is_offline_after_its_own_time() {
        let mut watch = watch();
        assert!(watch.look(&[pulse(1, Life::Online, 100)], at(130)).changes.is_empty());
        assert_eq!(
            watch.look(&[pulse(1, Life::Online, 100)], at(131)).changes,
            [(NodeId(1), Life::Online, Life::Offline)]
        );
        let slow = Pulse {
            beat_interval: Duration::from_mins(1),
            ..pulse(2, Life::Online, 100)
        };
        assert!(watch.look(&[slow], at(280)).changes.is_empty());
        assert_eq!(watch.look(&[slow], at(281)).changes.len(), 1);
    }

    #[test]
    fn a_mass_loss_is_unknown_then_offline() {
        let mut watch = watch();
        let fleet = |life: Life| -> Vec<Pulse> {
            (0..20)
                .map(|n| {
                    pulse(
                        n,
                        if n < 12 { life } else { Life::Online },
                        if n < 12 { 100 } else { 1000 },
                    )
                })
                .collect()
        };
        let judgement = watch.look(&fleet(Life::Online), at(140));
        assert_eq!(judgement.mass_loss, Some((12, 20)));
        assert!(judgement.changes.iter().all(|(_, _, to)| *to == Life::Unknown));
        assert_eq!(judgement.changes.len(), 12);
        assert_eq!(watch.look(&fleet(Life::Unknown), at(439)), Judgement::default());
        let end = watch.look(&fleet(Life::Unknown), at(440));
        assert_eq!((end.changes.len(), end.mass_loss), (12, None));
        assert_eq!(end.recovered, Some((0, 12)));
        assert!(
            end.changes
                .iter()
                .all(|(_, from, to)| (*from, *to) == (Life::Unknown, Life::Offline))
        );
    }

    #[test]
    fn a_loss_is_over_when_all_are_back() {
        let mut watch = watch();
        let mut fleet: Vec<Pulse> = (0..20)
            .map(|n| pulse(n, Life::Online, if n < 12 { 100 } else { 1000 }))
            .collect();
        assert!(watch.look(&fleet, at(140)).mass_loss.is_some());
        fleet[..12].iter_mut().for_each(|pulse| pulse.life = Life::Unknown);
        fleet[..11].iter_mut().for_each(|pulse| pulse.life = Life::Online);
        fleet.iter_mut().for_each(|pulse| pulse.last_seen = Some(at(1000)));
        assert_eq!(watch.look(&fleet, at(150)), Judgement::default());
        fleet[11].life = Life::Online;
        assert_eq!(watch.look(&fleet, at(160)).recovered, Some((12, 0)));
        assert_eq!(watch.look(&fleet, at(161)), Judgement::default());
    }

    #[test]
    fn losses_that_trickle_in_belong_together() {
        let mut watch = watch();
        let mut fleet: Vec<Pulse> = (0..20).map(|n| pulse(n, Life::Online, 1000)).collect();
        for pulse in &mut fleet[..6] {
            pulse.last_seen = Some(at(100));
        }
        assert_eq!(watch.look(&fleet, at(140)).changes.len(), 6);
        for pulse in &mut fleet[..6] {
            pulse.life = Life::Offline;
        }
        for pulse in &mut fleet[6..12] {
            pulse.last_seen = Some(at(110));
        }
        let judgement = watch.look(&fleet, at(150));
        assert_eq!(judgement.mass_loss, Some((12, 20)));
        assert_eq!(
            judgement
                .changes
                .iter()
                .filter(|(_, _, to)| *to == Life::Unknown)
                .count(),
            12
        );
    }

    #[test]
    fn just_over_half_is_not_a_mass_loss() {
        let mut watch = watch();
        let fleet: Vec<Pulse> = (0..20)
            .map(|n| pulse(n, Life::Online, if n < 11 { 100 } else { 1000 }))
            .collect();
        let judgement = watch.look(&fleet, at(140));
        assert_eq!((judgement.mass_loss, judgement.changes.len()), (None, 11));
    }
}
