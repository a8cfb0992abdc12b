//! How soon a month of one user is answered (goal: by day, under 50 ms at 200 million minute rows). The tables are filled by SQL as flushes and roll-ups
//! would: in the order of time, so that what belongs to one user lies far apart. Every user has 2,000 minute rows, on 30 days, 8 hours a day, 2 nodes.
//!
//! The bare control is the same question for a user of whom nothing is kept: the way there and back, and one descent of the index.
//!
//! `cargo bench --bench usage_month`. It starts a PostgreSQL of its own. `USAGE_MONTH_ROWS` says how many minute rows there are (20 million, 4 GB, unless
//! told otherwise: answers by hour and by day read no minutes); the embedded store has a tenth of that.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::time::Duration;

use rusqlite::Connection;
use vpn_core::{
    clock::{Clock, Stopwatch},
    model::{Time, UserId},
    store::{Store, UsageSpan, UsageStep, sqlite::SqliteStore},
};

use self::stage::{Postgres, percentile};

#[path = "stage/mod.rs"]
#[allow(dead_code, reason = "made for several benches")]
mod stage;

#[path = "../tests/it/harness"]
#[allow(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod harness {
    pub mod patience;
    pub mod ports;
    pub mod postgres;

    pub use self::patience::eventually;
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: i64 = 20_000_000;

/// Of one user; what the fills below come to.
const ROWS_A_USER: i64 = 2_010;
const DAYS: i64 = 30;
const READS: usize = 200;

const DAY: Duration = Duration::from_hours(24);

/// A day of `$2` users from `$1` on, in order of time: 67 minutes each, in 8 hours, over 2 nodes.
const MINUTES: &str = "INSERT INTO core.usage_minutes \
     (node_id, user_id, subscription_id, node_protocol_id, minute, bytes_up, bytes_down) \
     SELECT 1 + place % 2, id, id, 1 + place % 2, \
     $1::timestamptz + interval '1 minute' * ((id + 3 * (place / 9)) % 24 * 60 + place % 9 * 6) AS at, 1000, 50000 \
     FROM generate_series(1, $2::bigint) AS id, generate_series(0, 66) AS place ORDER BY at, id * 7919 % 1000003";

#[tokio::main]
async fn main() {
    let rows = std::env::var("USAGE_MONTH_ROWS").map_or(ROWS, |text| text.parse().expect("a number of rows"));
    let now = Clock::system().now();
    postgres(now, rows / ROWS_A_USER).await;
    sqlite(now, rows / ROWS_A_USER / 10).await;
}

/// The days of the month that ends today.
fn days(now: Time) -> impl Iterator<Item = Time> {
    (0..DAYS)
        .rev()
        .map(move |back| now.day().minus(DAY * u32::try_from(back).expect("it is small")))
}

async fn postgres(now: Time, users: i64) {
    let mut postgres = Postgres::start(now).await;
    for day in days(now) {
        let client = &postgres.client;
        let end = day.plus(DAY);
        let sql = MINUTES
            .replace("$1", &format!("'{day}'"))
            .replace("$2", &users.to_string());
        client.batch_execute(&sql).await.expect("there is room");
        for (table, step) in [("usage_hours", "hour"), ("usage_days", "day")] {
            let sql = format!(
                "INSERT INTO core.{table} SELECT node_id, user_id, subscription_id, node_protocol_id, \
                 date_trunc('{step}', minute, 'UTC') AS at, sum(bytes_up), sum(bytes_down) FROM core.usage_minutes \
                 WHERE minute >= '{day}' AND minute < '{end}' GROUP BY at, user_id, node_id, subscription_id, node_protocol_id \
                 ORDER BY at, user_id * 7919 % 1000003"
            );
            client.batch_execute(&sql).await.expect("there is room");
        }
    }
    postgres.client.batch_execute("VACUUM ANALYZE").await.expect("it can");
    // What is read comes from outside of the server's own memory.
    postgres.restart().await;
    let counting = "SELECT (SELECT count(*) FROM core.usage_minutes), (SELECT count(*) FROM core.usage_hours), \
                    (SELECT count(*) FROM core.usage_days), pg_database_size(current_database())";
    let row = postgres.client.query_one(counting, &[]).await.expect("it answers");
    let [minutes, hours, of_days, bytes] = [0, 1, 2, 3].map(|column| row.get::<_, i64>(column));
    println!(
        "PostgreSQL: {minutes} minutes, {hours} hours, {of_days} days; {} MB",
        bytes >> 20
    );
    // One connection that failed for the restart is made anew.
    while postgres.store.ping().await.is_err() {}
    read(&*postgres.store, now, users).await;
}

async fn sqlite(now: Time, users: i64) {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("core.db");
    let store = SqliteStore::open(&path).expect("there is room");
    store.migrate().await.expect("a new file takes the schema");
    let (minutes, hours, of_days) = fill_sqlite(&path, now, users).expect("there is room");
    println!("SQLite: {minutes} minutes, {hours} hours, {of_days} days");
    read(&store, now, users).await;
}

/// Gives how many rows there are of each table.
fn fill_sqlite(path: &std::path::Path, now: Time, users: i64) -> rusqlite::Result<(i64, i64, i64)> {
    let file = Connection::open(path)?;
    file.execute_batch("PRAGMA synchronous = OFF")?;
    for day in days(now).map(Time::millis) {
        file.execute_batch(&format!(
            "BEGIN; \
             INSERT INTO usage_minutes (node_id, user_id, subscription_id, node_protocol_id, minute, bytes_up, bytes_down) \
             WITH RECURSIVE people (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM people WHERE id < {users}), \
             places (place) AS (SELECT 0 UNION ALL SELECT place + 1 FROM places WHERE place < 66) \
             SELECT 1 + place % 2, id, id, 1 + place % 2, \
             {day} + 60000 * ((id + 3 * (place / 9)) % 24 * 60 + place % 9 * 6) AS at, 1000, 50000 \
             FROM people, places ORDER BY at, id * 7919 % 1000003;"
        ))?;
        let end = day + 86_400_000;
        for (table, column, step) in [("usage_hours", "hour", 3_600_000), ("usage_days", "day", 86_400_000)] {
            file.execute_batch(&format!(
                "INSERT INTO {table} (node_id, user_id, subscription_id, node_protocol_id, {column}, bytes_up, bytes_down) \
                 SELECT node_id, user_id, subscription_id, node_protocol_id, minute / {step} * {step} AS at, sum(bytes_up), \
                 sum(bytes_down) FROM usage_minutes WHERE minute >= {day} AND minute < {end} \
                 GROUP BY at, user_id, node_id, subscription_id, node_protocol_id ORDER BY at, user_id * 7919 % 1000003;"
            ))?;
        }
        file.execute_batch("COMMIT")?;
    }
    let count = |table| file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
    Ok((count("usage_minutes")?, count("usage_hours")?, count("usage_days")?))
}

/// Asks for random users, each question for others.
async fn read(store: &dyn Store, now: Time, users: i64) {
    let from = days(now).next().expect("a month has days");
    let control = times(store, (from, now.day().plus(DAY)), UsageStep::Day, |_| users + 1).await;
    say("control, a user without rows", control);
    for (what, step, points) in [
        ("a month by day", UsageStep::Day, 60),
        ("a month by hour", UsageStep::Hour, 480),
    ] {
        let random = |_| rand::random_range(1..=users);
        let took = times(store, (from, now.day().plus(DAY)), step, random).await;
        say(&format!("{what}, {points} points"), took);
    }
}

async fn times(
    store: &dyn Store,
    (from, to): (Time, Time),
    step: UsageStep,
    user: impl Fn(usize) -> i64,
) -> Vec<Duration> {
    let mut took = Vec::with_capacity(READS);
    for place in 0..READS {
        let user = UserId(user(place));
        let watch = Stopwatch::start();
        let points = store.usage(user, UsageSpan { from, to, step }).await;
        took.push(watch.elapsed());
        assert!(points.is_ok(), "{points:?}");
    }
    took
}

fn say(what: &str, mut times: Vec<Duration>) {
    println!(
        "  {what:<32} p50 {:>9.3?}  p99 {:>9.3?}  max {:>9.3?}",
        percentile(&mut times, 50),
        percentile(&mut times, 99),
        percentile(&mut times, 100)
    );
}
