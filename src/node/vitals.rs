//! The few facts of a node that others read all the time (lists, the watchdog, the state saver): one cache line that nobody has to ask
//! an actor for. Each has one writer: the registry writes the last call, the watchdog the life, the actor the rest.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, Ordering::Relaxed};

use crate::model::{
    Time,
    node::{NodeStatus, StoredState, SyncStatus},
    presence::ONLINE_FOR,
};

/// Whether a node calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Life {
    /// It never called.
    Pending,
    /// It does.
    Online,
    /// It did.
    Offline,
    /// It vanished with most of the others.
    Unknown,
}

impl Life {
    const ALL: [Self; 4] = [Self::Pending, Self::Online, Self::Offline, Self::Unknown];
}

/// See the module.
#[derive(Debug)]
pub struct Vitals {
    last_seen: AtomicI64,
    beat_interval: AtomicI64,
    applied_revision: AtomicI64,
    online_users: AtomicU32,
    /// The last report of connected users.
    online_at: AtomicI64,
    life: AtomicU8,
    sync: AtomicU8,
    clock_skew: AtomicBool,
    /// The address in the store is being changed to one that the node sent.
    moving: AtomicBool,
}

impl Vitals {
    /// What the store knows of the node.
    pub fn new(state: StoredState) -> Self {
        let life = match state.status {
            NodeStatus::Pending => Life::Pending,
            NodeStatus::Online | NodeStatus::Error => Life::Online,
            NodeStatus::Offline => Life::Offline,
            NodeStatus::Unknown => Life::Unknown,
        };
        Self {
            last_seen: AtomicI64::new(state.last_seen_at.map_or(0, Time::millis)),
            beat_interval: AtomicI64::new(0),
            applied_revision: AtomicI64::new(state.applied_revision),
            online_users: AtomicU32::new(0),
            online_at: AtomicI64::new(0),
            life: AtomicU8::new(life as u8),
            sync: AtomicU8::new(state.sync_status as u8),
            clock_skew: AtomicBool::new(false),
            moving: AtomicBool::new(false),
        }
    }

    /// A sign of life. True if the node was not online before.
    pub fn seen(&self, now: Time) -> bool {
        self.last_seen.fetch_max(now.millis(), Relaxed);
        self.life.swap(Life::Online as u8, Relaxed) != Life::Online as u8
    }

    /// The last authenticated call.
    pub fn last_seen(&self) -> Option<Time> {
        match self.last_seen.load(Relaxed) {
            0 => None,
            millis => Some(Time::from_millis(millis)),
        }
    }

    /// Whether it calls.
    pub fn life(&self) -> Life {
        Life::ALL[usize::from(self.life.load(Relaxed)) % Life::ALL.len()]
    }

    /// The watchdog's word, unless the node has called meanwhile or is no longer what the watchdog saw.
    pub fn judge(&self, from: Life, to: Life) -> bool {
        self.life
            .compare_exchange(from as u8, to as u8, Relaxed, Relaxed)
            .is_ok()
    }

    /// What the actor knows.
    pub fn publish(&self, applied_revision: i64, sync: SyncStatus, clock_skew: bool) {
        self.applied_revision.store(applied_revision, Relaxed);
        self.sync.store(sync as u8, Relaxed);
        self.clock_skew.store(clock_skew, Relaxed);
    }

    /// The usual gap between two heartbeats, in milliseconds; 0 = not known yet.
    pub fn beat_interval(&self) -> i64 {
        self.beat_interval.load(Relaxed)
    }

    /// The actor's measure of that gap.
    pub fn set_beat_interval(&self, millis: i64) {
        self.beat_interval.store(millis, Relaxed);
    }

    /// How many users are connected, as far as the last report goes.
    pub fn online_users(&self, now: Time) -> u32 {
        if now.since(Time::from_millis(self.online_at.load(Relaxed))) >= ONLINE_FOR {
            return 0;
        }
        self.online_users.load(Relaxed)
    }

    /// The actor's count of connected users, by a report of `at`.
    pub fn set_online_users(&self, count: usize, at: Time) {
        self.online_users
            .store(u32::try_from(count).unwrap_or(u32::MAX), Relaxed);
        self.online_at.store(at.millis(), Relaxed);
    }

    /// Whether the node's clock is off.
    pub fn clock_skew(&self) -> bool {
        self.clock_skew.load(Relaxed)
    }

    /// Takes the task of moving the node's address; false if somebody has it.
    pub fn start_moving(&self) -> bool {
        !self.moving.swap(true, Relaxed)
    }

    /// The task is over.
    pub fn stop_moving(&self) {
        self.moving.store(false, Relaxed);
    }

    /// Whether it runs what it should.
    pub fn sync(&self) -> SyncStatus {
        let sync = usize::from(self.sync.load(Relaxed));
        SyncStatus::ALL.get(sync).copied().unwrap_or(SyncStatus::Pending)
    }

    /// What the store should know of the node.
    pub fn state(&self) -> StoredState {
        let status = match self.life() {
            Life::Pending => NodeStatus::Pending,
            Life::Online if self.sync() == SyncStatus::Failed => NodeStatus::Error,
            Life::Online => NodeStatus::Online,
            Life::Offline => NodeStatus::Offline,
            Life::Unknown => NodeStatus::Unknown,
        };
        StoredState {
            status,
            sync_status: self.sync(),
            applied_revision: self.applied_revision.load(Relaxed),
            last_seen_at: self.last_seen(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_the_way_through_the_store() {
        for status in NodeStatus::ALL.iter().copied() {
            let sync_status = if status == NodeStatus::Error {
                SyncStatus::Failed
            } else {
                SyncStatus::Synced
            };
            let state = StoredState {
                status,
                sync_status,
                applied_revision: 7,
                last_seen_at: Some(Time::from_millis(5)),
            };
            assert_eq!(Vitals::new(state).state(), state);
        }
        assert_eq!(Vitals::new(StoredState::NEW).state(), StoredState::NEW);
    }

    #[test]
    fn a_call_beats_the_watchdog() {
        let vitals = Vitals::new(StoredState::NEW);
        assert!(vitals.seen(Time::from_millis(10)));
        assert!(!vitals.seen(Time::from_millis(11)));
        assert!(vitals.judge(Life::Online, Life::Offline));
        assert!(!vitals.judge(Life::Online, Life::Offline));
        assert!(vitals.seen(Time::from_millis(9)));
        assert_eq!(vitals.last_seen(), Some(Time::from_millis(11)));
    }
}
