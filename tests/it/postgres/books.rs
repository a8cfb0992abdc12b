//! What was acknowledged and what PostgreSQL holds, row by row: minutes, hours, days, counters, events.

use std::{collections::BTreeMap, fmt::Debug};

use tokio_postgres::{Client, Row};

use crate::faults::{ledger::Report, sums::Sums};

type Bytes = (i64, i64);

/// Node, user, subscription, inbound, and the begin of a span of time.
type Key = (i64, i64, i64, i64, i64);

/// So many sums that differ are shown.
const EXAMPLES: usize = 20;

const HOUR_MILLIS: i64 = 3_600_000;

/// Sums by all that Core sums by.
#[derive(Debug, PartialEq, Eq)]
pub struct Books {
    sums: Sums,
    hours: BTreeMap<Key, Bytes>,
    days: BTreeMap<Key, Bytes>,
}

/// Sums that differ, of whatever kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// Those that are less than what was acknowledged.
    pub lost: u64,
    /// Those that are more.
    pub doubled: u64,
    /// The first of them.
    pub examples: Vec<String>,
}

impl Books {
    /// What these reports come to when each counts once.
    pub fn of(reports: &[Report]) -> Self {
        let sums = Sums::of(reports);
        Self {
            hours: spans(&sums, HOUR_MILLIS),
            days: spans(&sums, 24 * HOUR_MILLIS),
            sums,
        }
    }

    /// What the database holds.
    pub async fn stored(db: &Client) -> Self {
        let spans = async |table: &str, time: &str| {
            let sql = format!(
                "SELECT node_id, user_id, coalesce(subscription_id, 0), node_protocol_id, (extract(epoch FROM {time}) * 1000)::bigint, \
                 sum(bytes_up)::bigint, sum(bytes_down)::bigint FROM core.{table} GROUP BY 1, 2, 3, 4, 5"
            );
            rows(db, &sql, |row| {
                let key = (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
                (key, (row.get(5), row.get(6)))
            })
            .await
        };
        let counted = async |table: &str| {
            let sql = format!(
                "SELECT id, traffic_bytes_up, traffic_bytes_down FROM core.{table} WHERE traffic_bytes_up + traffic_bytes_down > 0"
            );
            rows(db, &sql, |row| (row.get(0), (row.get(1), row.get(2)))).await
        };
        let outbounds = "SELECT node_id, tag, traffic_bytes_up, traffic_bytes_down FROM core.node_outbounds \
                         WHERE traffic_bytes_up + traffic_bytes_down > 0";
        let sessions = "SELECT node_id, user_id, event_type, (extract(epoch FROM occurred_at) * 1000)::bigint, count(*) \
                        FROM core.session_events GROUP BY 1, 2, 3, 4";
        Self {
            sums: Sums {
                usage: spans("usage_minutes", "minute").await,
                subscriptions: counted("subscriptions").await,
                protocols: counted("node_protocols").await,
                outbounds: rows(db, outbounds, |row| {
                    ((row.get(0), row.get(1)), (row.get(2), row.get(3)))
                })
                .await,
                sessions: rows(db, sessions, |row| {
                    ((row.get(0), row.get(1), row.get(2), row.get(3)), row.get(4))
                })
                .await,
            },
            hours: spans("usage_hours", "hour").await,
            days: spans("usage_days", "day").await,
        }
    }

    /// How these, which should be there, differ from those that are.
    pub fn compare(&self, stored: &Self) -> Difference {
        let mut difference = Difference::default();
        difference.between("usage", &self.sums.usage, &stored.sums.usage);
        difference.between("subscriptions", &self.sums.subscriptions, &stored.sums.subscriptions);
        difference.between("protocols", &self.sums.protocols, &stored.sums.protocols);
        difference.between("outbounds", &self.sums.outbounds, &stored.sums.outbounds);
        difference.between("sessions", &self.sums.sessions, &stored.sums.sessions);
        difference.between("hours", &self.hours, &stored.hours);
        difference.between("days", &self.days, &stored.days);
        difference
    }
}

impl Difference {
    fn between<K: Ord + Debug, V: Ord + Default + Debug>(
        &mut self,
        what: &str,
        sent: &BTreeMap<K, V>,
        stored: &BTreeMap<K, V>,
    ) {
        let none = V::default();
        let keys = sent.keys().chain(stored.keys().filter(|key| !sent.contains_key(key)));
        for key in keys {
            let (sent, stored) = (sent.get(key).unwrap_or(&none), stored.get(key).unwrap_or(&none));
            self.lost += u64::from(stored < sent);
            self.doubled += u64::from(stored > sent);
            if stored != sent && self.examples.len() < EXAMPLES {
                self.examples
                    .push(format!("{what} {key:?}: {sent:?} acknowledged, {stored:?} stored"));
            }
        }
    }
}

fn spans(sums: &Sums, millis: i64) -> BTreeMap<Key, Bytes> {
    let mut spans = BTreeMap::<Key, Bytes>::new();
    for ((node, user, subscription, protocol, minute), (up, down)) in &sums.usage {
        let begin = minute - minute.rem_euclid(millis);
        let sum = spans
            .entry((*node, *user, *subscription, *protocol, begin))
            .or_default();
        *sum = (sum.0 + up, sum.1 + down);
    }
    spans
}

async fn rows<K: Ord, V>(db: &Client, sql: &str, read: impl FnMut(Row) -> (K, V)) -> BTreeMap<K, V> {
    db.query(sql, &[]).await.unwrap().into_iter().map(read).collect()
}
