//! Where users were seen, and what is known of the addresses.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use async_trait::async_trait;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params, types::ToSqlOutput};
use serde_json::Value;

use super::{
    SqliteStore,
    fault::Fault,
    values::{Json, Text},
};
use crate::{
    model::{
        Time, UserId,
        presence::{LookUp, Sighting, UserIp},
    },
    store::{Sightings, StoreError},
};

/// An address as the file sorts it: 4 or 6, then its bytes.
struct Key(IpAddr);

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let (family, bytes) = match self.0 {
            IpAddr::V4(ip) => (4, ip.octets().to_vec()),
            IpAddr::V6(ip) => (6, ip.octets().to_vec()),
        };
        Ok([vec![family], bytes].concat().into())
    }
}

impl FromSql for Key {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_blob()? {
            [4, bytes @ ..] => <[u8; 4]>::try_from(bytes).map(|bytes| Self(Ipv4Addr::from(bytes).into())),
            [6, bytes @ ..] => <[u8; 16]>::try_from(bytes).map(|bytes| Self(Ipv6Addr::from(bytes).into())),
            _ => return Err(FromSqlError::InvalidType),
        }
        .map_err(FromSqlError::other)
    }
}

/// The key behind which a page begins; that of no address is before all.
fn behind(after: Option<IpAddr>) -> Option<Key> {
    after.map(|ip| Key(ip.to_canonical()))
}

#[async_trait]
impl Sightings for SqliteStore {
    async fn see_ips(&self, seen: &[Sighting]) -> Result<(), StoreError> {
        let seen = Sighting::fold(seen);
        self.write("see_ips", move |tx| see(tx, &seen)).await
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<(UserId, Time)>, StoreError> {
        let users = users.to_vec();
        self.read("last_seen", move |tx| last_seen(tx, &users)).await
    }

    async fn user_ips(&self, user: UserId, after: Option<IpAddr>, limit: u32) -> Result<Vec<UserIp>, StoreError> {
        self.read("user_ips", move |tx| {
            let sql =
                "SELECT * FROM user_ips WHERE user_id = ?1 AND ip_key > coalesce(?2, x'') ORDER BY ip_key LIMIT ?3";
            let mut statement = tx.prepare_cached(sql)?;
            let rows = statement.query_map(params![user, behind(after), limit], user_ip)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn unlooked_ips(&self, what: LookUp, after: Option<IpAddr>, limit: u32) -> Result<Vec<IpAddr>, StoreError> {
        self.read("unlooked_ips", move |tx| unlooked(tx, what, after, limit))
            .await
    }

    async fn count_unlooked(&self, what: LookUp) -> Result<u64, StoreError> {
        self.read("count_unlooked", move |tx| {
            let (sql, since) = match what {
                LookUp::All { fetched_before } => (
                    "SELECT count(DISTINCT ip_key) FROM user_ips \
                     WHERE info IS NULL OR info_fetched_at IS NULL OR info_fetched_at < ?1",
                    fetched_before,
                ),
                LookUp::Fresh { first_seen_after } => (
                    "SELECT count(*) FROM (SELECT ip_key FROM user_ips WHERE info IS NULL UNION \
                     SELECT ip_key FROM user_ips \
                     WHERE first_seen_at > ?1 AND (info_fetched_at IS NULL OR info_fetched_at <= ?1))",
                    first_seen_after,
                ),
            };
            let count: i64 = tx.prepare_cached(sql)?.query_row([since], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        })
        .await
    }

    async fn save_ip_infos(&self, infos: &[(IpAddr, Value)], fetched_at: Time) -> Result<(), StoreError> {
        let infos: BTreeMap<IpAddr, String> = infos
            .iter()
            .map(|(ip, info)| (ip.to_canonical(), info.to_string()))
            .collect();
        self.write("save_ip_infos", move |tx| {
            let sql = "UPDATE user_ips SET info = ?2, info_fetched_at = ?3 WHERE ip_key = ?1";
            let mut statement = tx.prepare_cached(sql)?;
            for (ip, info) in infos {
                statement.execute(params![Key(ip), info, fetched_at])?;
            }
            Ok(())
        })
        .await
    }
}

/// Nearly all pairs are there: only where nothing moved is it asked whether the pair is new.
fn see(transaction: &Connection, seen: &[Sighting]) -> Result<(), Fault> {
    let mut moving = transaction.prepare_cached(
        "UPDATE user_ips SET last_seen_at = ?3 WHERE user_id = ?1 AND ip_key = ?2 AND last_seen_at < ?3",
    )?;
    let mut inserting = transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/user_ip_insert.sql"))?;
    for Sighting {
        user,
        ip,
        first_seen_at,
        last_seen_at,
    } in seen
    {
        if moving.execute(params![user, Key(*ip), last_seen_at])? == 0 {
            inserting.execute(params![user, Text(ip), Key(*ip), first_seen_at, last_seen_at])?;
        }
    }
    Ok(())
}

fn last_seen(connection: &Connection, users: &[UserId]) -> Result<Vec<(UserId, Time)>, Fault> {
    let mut statement = connection.prepare_cached("SELECT max(last_seen_at) FROM user_ips WHERE user_id = ?1")?;
    let mut found = Vec::with_capacity(users.len());
    for user in users {
        let last: Option<Time> = statement.query_row([user], |row| row.get(0)).optional()?.flatten();
        found.extend(last.map(|last| (*user, last)));
    }
    Ok(found)
}

fn unlooked(connection: &Connection, what: LookUp, after: Option<IpAddr>, limit: u32) -> Result<Vec<IpAddr>, Fault> {
    let (sql, since) = match what {
        LookUp::All { fetched_before } => (
            include_str!("../../../sql/queries/sqlite/unlooked_all.sql"),
            fetched_before,
        ),
        LookUp::Fresh { first_seen_after } => (
            include_str!("../../../sql/queries/sqlite/unlooked_fresh.sql"),
            first_seen_after,
        ),
    };
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![behind(after), since, limit], |row| row.get(0).map(|Key(ip)| ip))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn user_ip(row: &Row<'_>) -> rusqlite::Result<UserIp> {
    Ok(UserIp {
        user_id: row.get("user_id")?,
        ip: row.get::<_, Key>("ip_key")?.0,
        first_seen_at: row.get("first_seen_at")?,
        last_seen_at: row.get("last_seen_at")?,
        info: row.get::<_, Option<Json>>("info")?.map(|Json(info)| info),
    })
}
