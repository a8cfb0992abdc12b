//! What a backend does that knows no better: a transaction a report, and in it for every row an `INSERT` and an `UPDATE`, one after the other.

use std::time::Duration;

use tokio_postgres::{Client, Statement, types::ToSql};
use vpn_core::{clock::Stopwatch, model::entry::Entry};

use crate::rows;

/// The naive backend; its tables are Core's own in shape and indexes.
pub struct Naive {
    insert: Statement,
    update: Statement,
}

impl Naive {
    /// Makes its tables.
    pub async fn prepare(client: &Client) -> Self {
        let (from, to) = (rows::start(), rows::start().plus(Duration::from_hours(24)));
        let sql = format!(
            "CREATE SCHEMA naive; \
             CREATE TABLE naive.usage_minutes (LIKE core.usage_minutes INCLUDING ALL) PARTITION BY RANGE (minute); \
             CREATE TABLE naive.usage_minutes_day PARTITION OF naive.usage_minutes FOR VALUES FROM ('{from}') TO ('{to}'); \
             CREATE TABLE naive.subscriptions (LIKE core.subscriptions INCLUDING ALL) WITH (fillfactor = 70); \
             INSERT INTO naive.subscriptions SELECT * FROM core.subscriptions; \
             ANALYZE naive.subscriptions"
        );
        client.batch_execute(&sql).await.expect("it is a new schema");
        let insert = "INSERT INTO naive.usage_minutes \
                      (node_id, user_id, subscription_id, node_protocol_id, minute, bytes_up, bytes_down) \
                      VALUES ($1, $2, $3, $4, to_timestamp($5::float8 / 1000), $6, $7)";
        let update = "UPDATE naive.subscriptions \
                      SET traffic_bytes_up = traffic_bytes_up + $2, traffic_bytes_down = traffic_bytes_down + $3, \
                      period_bytes = period_bytes + $2 + $3 WHERE id = $1";
        Self {
            insert: client.prepare(insert).await.expect("the table is there"),
            update: client.prepare(update).await.expect("the table is there"),
        }
    }

    /// Writes these reports; gives how long it took.
    pub async fn write(&self, client: &Client, reports: &[Entry]) -> Duration {
        let watch = Stopwatch::start();
        for report in reports {
            self.report(client, report).await.expect("it takes rows");
        }
        watch.elapsed()
    }

    async fn report(&self, client: &Client, report: &Entry) -> Result<(), tokio_postgres::Error> {
        client.batch_execute("BEGIN").await?;
        for (node, row) in rows::of(std::slice::from_ref(report)) {
            let subscription = row.subscription.map(|id| id.0);
            #[expect(clippy::cast_precision_loss, reason = "milliseconds of our days are below 2^52")]
            let millis = row.minute.millis() as f64;
            let values: [&(dyn ToSql + Sync); 7] = [
                &node.0,
                &row.user.0,
                &subscription,
                &row.protocol.0,
                &millis,
                &row.bytes_up,
                &row.bytes_down,
            ];
            client.execute(&self.insert, &values).await?;
            client
                .execute(&self.update, &[&subscription, &row.bytes_up, &row.bytes_down])
                .await?;
        }
        client.batch_execute("COMMIT").await
    }
}
