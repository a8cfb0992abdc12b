//! The bare control: the same rows by `COPY`, into a table that is Core's own in shape and indexes, a transaction a batch.

use std::{pin::pin, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::SinkExt as _;
use tokio_postgres::Client;
use vpn_core::{
    clock::Stopwatch,
    model::{NodeId, Time, entry::Entry, usage::UsageRow},
};

use crate::rows;

/// Makes the table, with the partition of the day.
pub async fn prepare(client: &Client) {
    let (from, to) = (rows::start(), rows::start().plus(Duration::from_hours(24)));
    let sql = format!(
        "CREATE SCHEMA plain; \
         CREATE TABLE plain.usage_minutes (LIKE core.usage_minutes INCLUDING ALL) PARTITION BY RANGE (minute); \
         CREATE TABLE plain.usage_minutes_day PARTITION OF plain.usage_minutes FOR VALUES FROM ('{from}') TO ('{to}')"
    );
    client.batch_execute(&sql).await.expect("it is a new schema");
}

/// How the rows of a batch are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they came.
    Sent,
    /// As the index has them.
    Index,
}

/// Copies these batches; gives how long it took, without the writing of the bytes.
pub async fn copy(client: &Client, batches: &[Vec<Entry>], order: Order) -> Duration {
    let mut took = Duration::ZERO;
    for (number, batch) in (0..).zip(batches) {
        let mut rows: Vec<_> = rows::of(batch).collect();
        if order == Order::Index {
            rows.sort_unstable_by_key(|(_, row)| (row.user, row.minute));
        }
        let bytes = encode(&rows, number);
        let watch = Stopwatch::start();
        send(client, bytes).await.expect("it takes rows");
        took += watch.elapsed();
    }
    took
}

async fn send(client: &Client, mut bytes: Bytes) -> Result<(), tokio_postgres::Error> {
    const MESSAGE: usize = 1 << 18;
    client.batch_execute("BEGIN").await?;
    let mut sink = pin!(
        client
            .copy_in::<_, Bytes>("COPY plain.usage_minutes FROM STDIN (FORMAT binary)")
            .await?
    );
    while !bytes.is_empty() {
        sink.feed(bytes.split_to(bytes.len().min(MESSAGE))).await?;
    }
    sink.finish().await?;
    client.batch_execute("COMMIT").await
}

/// All columns, in order.
fn encode(rows: &[(NodeId, &UsageRow)], batch: i64) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    for (node, row) in rows {
        bytes.put_i16(8);
        let subscription = row.subscription.expect("all have one").0;
        for value in [
            node.0,
            row.user.0,
            subscription,
            row.protocol.0,
            microseconds(row.minute),
            row.bytes_up,
            row.bytes_down,
            batch,
        ] {
            bytes.put_i32(8);
            bytes.put_i64(value);
        }
    }
    bytes.put_i16(-1);
    bytes.freeze()
}

/// PostgreSQL counts from 2000-01-01.
fn microseconds(at: Time) -> i64 {
    (at.millis() - 946_684_800_000) * 1_000
}
