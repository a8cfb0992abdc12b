//! What PostgreSQL has counted, in the form of what was sent.

use tokio_postgres::Client;

use crate::faults::sums::Sums;

impl Sums {
    /// What is in the schema `core` of this database.
    pub async fn of_database(client: &Client) -> Self {
        let mut sums = Self::default();
        let usage = "SELECT node_id, user_id, coalesce(subscription_id, 0), node_protocol_id, \
                     (extract(epoch FROM minute) * 1000)::bigint, sum(bytes_up)::bigint, sum(bytes_down)::bigint \
                     FROM core.usage_minutes GROUP BY 1, 2, 3, 4, 5";
        for row in client.query(usage, &[]).await.unwrap() {
            let key = (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
            sums.usage.insert(key, (row.get(5), row.get(6)));
        }
        for (table, into) in [
            ("subscriptions", &mut sums.subscriptions),
            ("node_protocols", &mut sums.protocols),
        ] {
            let sql = format!(
                "SELECT id, traffic_bytes_up, traffic_bytes_down FROM core.{table} WHERE traffic_bytes_up + traffic_bytes_down > 0"
            );
            for row in client.query(&sql, &[]).await.unwrap() {
                into.insert(row.get(0), (row.get(1), row.get(2)));
            }
        }
        let outbounds = "SELECT node_id, tag, traffic_bytes_up, traffic_bytes_down FROM core.node_outbounds \
                         WHERE traffic_bytes_up + traffic_bytes_down > 0";
        for row in client.query(outbounds, &[]).await.unwrap() {
            sums.outbounds
                .insert((row.get(0), row.get(1)), (row.get(2), row.get(3)));
        }
        let sessions = "SELECT node_id, user_id, event_type, (extract(epoch FROM occurred_at) * 1000)::bigint, count(*) \
                        FROM core.session_events GROUP BY 1, 2, 3, 4";
        for row in client.query(sessions, &[]).await.unwrap() {
            sums.sessions
                .insert((row.get(0), row.get(1), row.get(2), row.get(3)), row.get(4));
        }
        sums
    }
}
