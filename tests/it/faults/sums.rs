//! What was sent and what is stored, in the same form, so that they can be held against each other to the byte.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, OpenFlags, Row};
use vpn_core::model::Time;

use super::ledger::{Report, What};

type Bytes = (i64, i64);

/// Bytes up and down, and numbers of events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums {
    /// By node, user, subscription, inbound and minute.
    pub usage: BTreeMap<(i64, i64, i64, i64, i64), Bytes>,
    pub subscriptions: BTreeMap<i64, Bytes>,
    pub protocols: BTreeMap<i64, Bytes>,
    pub outbounds: BTreeMap<(i64, String), Bytes>,
    /// By node, user, kind and moment.
    pub sessions: BTreeMap<(i64, i64, String, i64), i64>,
}

fn add<K: Ord>(sums: &mut BTreeMap<K, Bytes>, key: K, up: i64, down: i64) {
    let sum = sums.entry(key).or_default();
    *sum = (sum.0 + up, sum.1 + down);
}

impl Sums {
    /// What these reports come to when each counts once.
    pub fn of<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Self {
        let mut sums = Self::default();
        for report in reports {
            sums.count(report);
        }
        sums
    }

    fn count(&mut self, report: &Report) {
        let node = report.node;
        match &report.what {
            What::Usage(entries) => {
                for it in entries {
                    let (up, down) = (it.bytes_up, it.bytes_down);
                    let subscription = it.subscription_id.unwrap_or(0);
                    let minute = Time::parse_rfc3339(&it.recorded_at).unwrap().minute().millis();
                    let key = (node, it.user_id, subscription, it.node_protocol_id, minute);
                    add(&mut self.usage, key, up, down);
                    add(&mut self.subscriptions, subscription, up, down);
                    add(&mut self.protocols, it.node_protocol_id, up, down);
                }
            }
            What::Outbound(items) => {
                for it in items {
                    add(&mut self.outbounds, (node, it.tag.clone()), it.bytes_up, it.bytes_down);
                }
            }
            What::Sessions(events) => {
                for it in events {
                    let kind = if it.online { "online" } else { "offline" };
                    let key = (node, it.user, kind.to_owned(), it.at.millis());
                    *self.sessions.entry(key).or_default() += 1;
                }
            }
        }
    }

    /// What is in the store of this data folder.
    pub fn stored(dir: &Path) -> Self {
        Self::in_file(&dir.join("core.db"))
    }

    /// What is in this file.
    pub fn in_file(file: &Path) -> Self {
        let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let sums = "sum(bytes_up), sum(bytes_down) FROM usage_minutes";
        let usage = format!(
            "SELECT node_id, user_id, coalesce(subscription_id, 0), node_protocol_id, minute, {sums} GROUP BY 1, 2, 3, 4, 5"
        );
        let counted = |table: &str, key: &str| {
            format!(
                "SELECT {key}, traffic_bytes_up, traffic_bytes_down FROM {table} WHERE traffic_bytes_up + traffic_bytes_down > 0"
            )
        };
        let by_id = |row: &Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
        Self {
            usage: rows(&db, &usage, |row| {
                let key = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
                Ok((key, (row.get(5)?, row.get(6)?)))
            }),
            subscriptions: rows(&db, &counted("subscriptions", "id"), by_id),
            protocols: rows(&db, &counted("node_protocols", "id"), by_id),
            outbounds: rows(&db, &counted("node_outbounds", "node_id, tag"), |row| {
                Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?)))
            }),
            sessions: rows(
                &db,
                "SELECT node_id, user_id, event_type, occurred_at, count(*) FROM session_events GROUP BY 1, 2, 3, 4",
                |row| {
                    let key = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                    Ok((key, row.get(4)?))
                },
            ),
        }
    }

    /// All bytes and events, for a look at the size of a test.
    pub fn bytes(&self) -> i64 {
        let both = |sums: &mut dyn Iterator<Item = &Bytes>| sums.map(|(up, down)| up + down).sum::<i64>();
        both(&mut self.usage.values()) + both(&mut self.outbounds.values())
    }
}

fn rows<K: Ord, V>(
    db: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<(K, V)>,
) -> BTreeMap<K, V> {
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], read).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Waits until the store has what these reports come to.
pub async fn arrive(file: &Path, reports: &[Report]) {
    let sent = Sums::of(reports);
    crate::harness::eventually("everything in the store, once", || {
        std::future::ready((Sums::in_file(file) == sent).then_some(()))
    })
    .await;
}
