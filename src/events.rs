//! What happened lately: kept in memory for whoever reads along, a stream in Redis or an admin's browser. Readers have cursors of their own, so a
//! slow one holds nobody up; one that is too slow misses the oldest and is told so.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{
    clock::Clock,
    model::event::{Event, EventId, Happening},
};

/// So many can be read again. An event takes some 200 bytes: 2 MB.
pub const KEPT: usize = 10_000;

/// The events, cheap to clone.
#[derive(Clone)]
pub struct Events {
    ring: Arc<Mutex<Ring>>,
    last: watch::Sender<EventId>,
    clock: Clock,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    last: EventId,
    /// The newest event that was let go.
    gone: EventId,
    /// How many were let go.
    let_go: u64,
}

/// What came after a cursor.
#[derive(Debug, Default)]
pub struct Later {
    /// The events, oldest first.
    pub events: Vec<Arc<Event>>,
    /// Older ones came after the cursor too, but are no longer kept.
    pub missed: bool,
    /// How many happened before the first of these since Core started.
    pub before: u64,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Events(up to {})", self.last())
    }
}

impl Events {
    /// A world in which nothing has happened yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            ring: Arc::default(),
            last: watch::Sender::new(EventId::default()),
            clock,
        }
    }

    /// This happened, now.
    pub fn publish(&self, what: Happening) {
        metrics::counter!("core_events_total", "type" => what.kind()).increment(1);
        let at = self.clock.now();
        let mut ring = self.ring();
        let id = ring.last.next(at);
        ring.last = id;
        if ring.events.len() == KEPT {
            ring.gone = ring.events.pop_front().map_or(ring.gone, |event| event.id);
            ring.let_go += 1;
        }
        ring.events.push_back(Arc::new(Event { id, at, what }));
        self.last.send_replace(id);
    }

    /// What came after this event, at most `limit` of it. An id of an earlier life of Core is as good as any.
    pub fn after(&self, cursor: EventId, limit: usize) -> Later {
        let ring = self.ring();
        let from = ring.events.partition_point(|event| event.id <= cursor);
        Later {
            events: ring.events.range(from..).take(limit).cloned().collect(),
            missed: cursor < ring.gone,
            before: ring.let_go + from as u64,
        }
    }

    /// The newest event.
    pub fn last(&self) -> EventId {
        self.ring().last
    }

    /// Moves with every event.
    pub fn watch(&self) -> watch::Receiver<EventId> {
        self.last.subscribe()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        NodeId, Time,
        event::{NodeFacts, NodeNews},
    };

    fn online(node: usize) -> Happening {
        let node = NodeId(i64::try_from(node).unwrap());
        Happening::Node(NodeNews::Online, node, NodeFacts::default())
    }

    #[test]
    fn a_reader_goes_on_where_he_was() {
        let events = Events::new(Clock::manual(Time::from_millis(1_000)));
        (1..=3).for_each(|node| events.publish(online(node)));
        let first = events.after(EventId::default(), 2);
        assert_eq!(first.events.len(), 2);
        let rest = events.after(first.events[1].id, 10);
        assert_eq!((rest.events.len(), rest.missed, rest.before), (1, false, 2));
        assert_eq!(rest.events[0].what, online(3));
        assert!(events.after(events.last(), 10).events.is_empty());
    }

    #[test]
    fn who_is_too_slow_is_told_so() {
        let events = Events::new(Clock::manual(Time::from_millis(1_000)));
        (0..KEPT + 2).for_each(|node| events.publish(online(node)));
        let all = events.after(EventId::default(), usize::MAX);
        assert_eq!((all.events.len(), all.missed, all.before), (KEPT, true, 2));
        assert_eq!(all.events[0].what, online(2));
        assert!(!events.after(all.events[0].id, 1).missed);
    }
}
