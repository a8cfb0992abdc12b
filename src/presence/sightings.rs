//! From where users came: what is known of it in memory, and what the store has not heard yet.

use std::{net::IpAddr, time::Duration};

use crate::model::{Time, UserId, presence::Sighting};

use super::FORGET;

/// A known address is written again when the store is so far behind: with the write itself it stays below a minute.
const BEHIND: Duration = Duration::from_secs(50);

/// When so much waits for a store that is away, what is old goes unheard: an hour of a million users. 24 bytes each, 40 more in memory.
const QUEUE_FULL: usize = 2_000_000;

/// An address of a user.
///
/// 17 bytes of address, 2 flags, 4 + 8 + 8 bytes of times: 40 with padding.
#[derive(Debug)]
pub(super) struct Track {
    ip: IpAddr,
    is_stored: bool,
    is_queued: bool,
    /// The last report that named it, in seconds since 1970: enough until 2106.
    heard: u32,
    /// When it was seen last.
    last: Time,
    /// What the store knows of that; before it knows anything, when the address was seen first.
    mark: Time,
}

impl Track {
    fn is_due(&self, now: Time) -> bool {
        !self.is_queued && (!self.is_stored || self.last > self.mark && now.since(self.mark) >= BEHIND)
    }

    fn is_old(&self, now: Time) -> bool {
        u64::from(seconds(now).saturating_sub(self.heard)) > FORGET.as_secs()
    }

    fn sighting(&self, user: UserId) -> Sighting {
        Sighting {
            user,
            ip: self.ip,
            first_seen_at: if self.is_stored { self.last } else { self.mark },
            last_seen_at: self.last,
        }
    }
}

fn seconds(at: Time) -> u32 {
    u32::try_from(at.millis() / 1_000).unwrap_or(u32::MAX)
}

/// What the store has not heard yet: each address at most once, so it is bounded by what is remembered.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    queue: std::collections::VecDeque<(UserId, IpAddr)>,
}

impl Sightings {
    /// This user was seen there at `at`, as a report of `now` says.
    pub(super) fn see(&mut self, user: UserId, tracks: &mut Vec<Track>, (ip, at): (IpAddr, Time), now: Time) {
        let track = match tracks.iter().position(|track| track.ip == ip) {
            Some(known) => {
                let track = &mut tracks[known];
                track.last = track.last.max(at);
                track
            }
            None => {
                // Most users have one or two: no room for more.
                tracks.reserve_exact(1);
                tracks.push(Track {
                    ip,
                    is_stored: false,
                    is_queued: false,
                    heard: 0,
                    last: at,
                    mark: at,
                });
                let last = tracks.len() - 1;
                &mut tracks[last]
            }
        };
        track.heard = seconds(now);
        if track.is_due(now) {
            track.is_queued = true;
            self.queue.push_back((user, ip));
        }
    }

    /// Queues what the store should still hear, and forgets what is old and heard.
    pub(super) fn sweep(&mut self, user: UserId, tracks: &mut Vec<Track>, now: Time) {
        for track in tracks.iter_mut().filter(|track| track.is_due(now)) {
            track.is_queued = true;
            self.queue.push_back((user, track.ip));
        }
        let is_full = self.queue.len() > QUEUE_FULL;
        tracks.retain(|track| {
            let stays = !track.is_old(now) || track.is_queued && !is_full;
            if !stays && track.is_queued {
                metrics::counter!("core_sightings_lost_total").increment(1);
            }
            stays
        });
    }
}

impl super::Presence {
    /// Takes what the store should hear now, at most so much. It is asked for again if it could not be written.
    pub fn take_unsaved(&mut self, limit: usize) -> Vec<Sighting> {
        let count = limit.min(self.sightings.queue.len());
        let taken: Vec<_> = self.sightings.queue.drain(..count).collect();
        taken
            .into_iter()
            .filter_map(|(user, ip)| self.track(user, ip).map(|track| track.sighting(user)))
            .collect()
    }

    /// The store has these.
    pub fn saved(&mut self, sightings: &[Sighting]) {
        for sighting in sightings {
            if let Some(track) = self.track(sighting.user, sighting.ip) {
                track.is_queued = false;
                track.is_stored = true;
                track.mark = sighting.last_seen_at;
            }
        }
    }

    /// The store did not take these: they are next again.
    pub fn not_saved(&mut self, sightings: &[Sighting]) {
        let again = sightings.iter().map(|sighting| (sighting.user, sighting.ip));
        self.sightings.queue.extend(again);
    }

    /// How much the store should hear.
    pub fn unsaved(&self) -> usize {
        self.sightings.queue.len()
    }

    /// Has everything heard that the store does not know to the last: before a stop.
    pub fn queue_all(&mut self) {
        let queue = &mut self.sightings.queue;
        for (user, seen) in &mut self.users {
            for track in &mut seen.tracks {
                if !track.is_queued && (!track.is_stored || track.last > track.mark) {
                    track.is_queued = true;
                    queue.push_back((*user, track.ip));
                }
            }
        }
    }

    /// What is remembered of a user's addresses.
    pub fn addresses(&self, user: UserId) -> Vec<Sighting> {
        let tracks = self.users.get(&user).map(|seen| &seen.tracks);
        tracks.into_iter().flatten().map(|track| track.sighting(user)).collect()
    }

    fn track(&mut self, user: UserId, ip: IpAddr) -> Option<&mut Track> {
        let seen = self.users.get_mut(&user)?;
        seen.tracks.iter_mut().find(|track| track.ip == ip)
    }
}
