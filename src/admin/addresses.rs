//! Where users were seen: what is kept, and over it what memory knows since.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    model::{
        UserId,
        catalog_change::RowRef,
        presence::{Sighting, UserIp},
    },
    node::NodeError,
    presence::actor::AddressesOf,
};

use super::{AdminError, Desk, VISIBLE_WAIT};

impl Desk {
    /// The addresses of a user behind `after`, in their order.
    pub async fn user_ips(&self, user: UserId, after: Option<IpAddr>, limit: u32) -> Result<Vec<UserIp>, AdminError> {
        self.row(RowRef::User(user)).await?;
        let page = self.store.user_ips(user, after, limit).await?;
        let memory = self.presence.send(AddressesOf(user)).timeout(VISIBLE_WAIT).await;
        let memory = memory.map_err(|_| NodeError::Busy)?;
        Ok(merge(page, &memory, after, limit))
    }
}

/// A page of a user's addresses as they are now: the store's, with the sightings of the same user that memory holds. The later sight wins, and a
/// pair that only memory knows stands in its place. `page` is what the store has behind `after`, up to `limit`: where it is full, all that the store
/// has besides is behind its last, so the first `limit` of both are those of the whole.
pub fn merge(page: Vec<UserIp>, memory: &[Sighting], after: Option<IpAddr>, limit: u32) -> Vec<UserIp> {
    let mut rows: BTreeMap<IpAddr, UserIp> = page.into_iter().map(|row| (row.ip, row)).collect();
    for seen in Sighting::fold(memory) {
        if after.is_some_and(|after| seen.ip <= after) {
            continue;
        }
        let row = rows.entry(seen.ip).or_insert(UserIp {
            user_id: seen.user,
            ip: seen.ip,
            first_seen_at: seen.first_seen_at,
            last_seen_at: seen.last_seen_at,
            info: None,
        });
        row.last_seen_at = row.last_seen_at.max(seen.last_seen_at);
    }
    rows.into_values().take(limit as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn row(address: &str, first: i64, last: i64) -> UserIp {
        UserIp {
            user_id: UserId(1),
            ip: ip(address),
            first_seen_at: Time::from_millis(first),
            last_seen_at: Time::from_millis(last),
            info: None,
        }
    }

    fn seen(address: &str, first: i64, last: i64) -> Sighting {
        Sighting {
            user: UserId(1),
            ip: ip(address),
            first_seen_at: Time::from_millis(first),
            last_seen_at: Time::from_millis(last),
        }
    }

    #[test]
    fn the_later_sight_wins_and_the_rest_of_the_row_stays() {
        let known = UserIp {
            info: Some(serde_json::json!({ "country": "NL" })),
            ..row("192.0.2.1", 5, 10)
        };
        let newer = merge(vec![known.clone()], &[seen("192.0.2.1", 7, 20)], None, 10);
        let expected = UserIp {
            last_seen_at: Time::from_millis(20),
            ..known.clone()
        };
        assert_eq!(newer, [expected]);
        let older = merge(vec![known.clone()], &[seen("192.0.2.1", 1, 9)], None, 10);
        assert_eq!(older, [known]);
    }

    #[test]
    fn what_only_memory_knows_stands_in_its_place() {
        let page = vec![
            row("192.0.2.1", 1, 1),
            row("192.0.2.20", 1, 1),
            row("2001:db8::1", 1, 1),
        ];
        let memory = [
            seen("2001:db8::", 2, 3),
            seen("192.0.2.3", 2, 4),
            seen("::ffff:192.0.2.3", 3, 5),
        ];
        let expected = [
            row("192.0.2.1", 1, 1),
            row("192.0.2.3", 2, 5),
            row("192.0.2.20", 1, 1),
            row("2001:db8::", 2, 3),
            row("2001:db8::1", 1, 1),
        ];
        assert_eq!(merge(page, &memory, None, 10), expected);
        assert_eq!(merge(Vec::new(), &[], None, 10), []);
    }

    /// Every way to deal addresses to the two sides, by pages of every size: together the pages are the whole, each address once and in order.
    #[test]
    fn pages_are_exact() {
        let all = [
            "192.0.2.1",
            "192.0.2.9",
            "192.0.2.10",
            "192.0.2.77",
            "2001:db8::1",
            "2001:db8::2",
        ];
        for sides in 0..3_u32.pow(6) {
            let side = |at: usize| sides / 3_u32.pow(u32::try_from(at).unwrap()) % 3;
            let stored: Vec<_> = (0..6)
                .filter(|at| side(*at) != 1)
                .map(|at| row(all[at], 1, 1))
                .collect();
            let memory: Vec<_> = (0..6)
                .filter(|at| side(*at) != 0)
                .map(|at| seen(all[at], 1, 2))
                .collect();
            let whole: Vec<_> = (0..6)
                .map(|at| row(all[at], 1, if side(at) == 0 { 1 } else { 2 }))
                .collect();
            for limit in 1..=7_u32 {
                let (mut pages, mut after) = (Vec::new(), None);
                loop {
                    let behind = stored.iter().filter(|row| after.is_none_or(|after| row.ip > after));
                    let page: Vec<_> = behind.take(limit as usize).cloned().collect();
                    let merged = merge(page, &memory, after, limit);
                    let is_full = merged.len() == limit as usize;
                    after = merged.last().map(|row| row.ip);
                    pages.extend(merged);
                    if !is_full {
                        break;
                    }
                }
                assert_eq!(pages, whole, "sides {sides}, pages of {limit}");
            }
        }
    }
}
