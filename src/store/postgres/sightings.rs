//! Where users were seen, and what is known of the addresses.

use std::{collections::BTreeMap, net::IpAddr};

use async_trait::async_trait;
use serde_json::Value;
use tokio_postgres::Row;

use super::{
    PostgresStore,
    fault::Fault,
    line::Line,
    values::{Json, storable_json},
};
use crate::{
    model::{
        Time, UserId,
        presence::{LookUp, Sighting, UserIp},
    },
    store::{Sightings, StoreError},
};

#[async_trait]
impl Sightings for PostgresStore {
    async fn see_ips(&self, seen: &[Sighting]) -> Result<(), StoreError> {
        let seen = &Sighting::fold(seen);
        self.door
            .write("see_ips", |line| async move { see(&line, seen).await })
            .await
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<(UserId, Time)>, StoreError> {
        self.door
            .glance("last_seen", |line| async move {
                let sql = "SELECT user_id, max(last_seen_at) FROM user_ips WHERE user_id = ANY($1) GROUP BY user_id";
                let rows = line.query(sql, &[&users]).await?;
                rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
            })
            .await
    }

    async fn user_ips(&self, user: UserId, after: Option<IpAddr>, limit: u32) -> Result<Vec<UserIp>, StoreError> {
        let after = after.map(|ip| ip.to_canonical());
        self.door
            .glance("user_ips", |line| async move {
                // A network sorts before its addresses: 0.0.0.0/0 is before all.
                let sql = "SELECT * FROM user_ips WHERE user_id = $1 AND ip > coalesce($2, inet '0.0.0.0/0') \
                           ORDER BY ip LIMIT $3";
                let rows = line.query(sql, &[&user, &after, &i64::from(limit)]).await?;
                rows.iter().map(user_ip).collect()
            })
            .await
    }

    async fn unlooked_ips(&self, what: LookUp, after: Option<IpAddr>, limit: u32) -> Result<Vec<IpAddr>, StoreError> {
        let after = after.map(|ip| ip.to_canonical());
        let (sql, since) = match what {
            LookUp::All { fetched_before } => (
                include_str!("../../../sql/queries/postgres/unlooked_all.sql"),
                fetched_before,
            ),
            LookUp::Fresh { first_seen_after } => (
                include_str!("../../../sql/queries/postgres/unlooked_fresh.sql"),
                first_seen_after,
            ),
        };
        self.door
            .glance("unlooked_ips", |line| async move {
                let rows = line.query(sql, &[&after, &since, &i64::from(limit)]).await?;
                rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
            })
            .await
    }

    async fn count_unlooked(&self, what: LookUp) -> Result<u64, StoreError> {
        let (sql, since) = match what {
            LookUp::All { fetched_before } => (
                "SELECT count(DISTINCT ip) FROM user_ips \
                 WHERE info IS NULL OR info_fetched_at IS NULL OR info_fetched_at < $1",
                fetched_before,
            ),
            LookUp::Fresh { first_seen_after } => (
                "SELECT count(*) FROM (SELECT ip FROM user_ips WHERE info IS NULL UNION SELECT ip FROM user_ips \
                 WHERE first_seen_at > $1 AND (info_fetched_at IS NULL OR info_fetched_at <= $1)) AS it",
                first_seen_after,
            ),
        };
        self.door
            .glance("count_unlooked", |line| async move {
                let count: i64 = line.query_one(sql, &[&since]).await?.try_get(0)?;
                Ok(count.unsigned_abs())
            })
            .await
    }

    async fn save_ip_infos(&self, infos: &[(IpAddr, Value)], fetched_at: Time) -> Result<(), StoreError> {
        let infos: BTreeMap<IpAddr, Value> = infos
            .iter()
            .map(|(ip, info)| (ip.to_canonical(), storable_json(info.clone())))
            .collect();
        let (ips, infos): (Vec<IpAddr>, Vec<Value>) = infos.into_iter().unzip();
        let (ips, infos) = (&ips, &infos);
        self.door
            .write("save_ip_infos", |line| async move {
                let sql = include_str!("../../../sql/queries/postgres/ip_infos_save.sql");
                line.execute(sql, &[ips, infos, &fetched_at]).await?;
                Ok(())
            })
            .await
    }
}

async fn see(line: &Line, seen: &[Sighting]) -> Result<(), Fault> {
    let users: Vec<UserId> = seen.iter().map(|it| it.user).collect();
    let ips: Vec<IpAddr> = seen.iter().map(|it| it.ip).collect();
    let first: Vec<Time> = seen.iter().map(|it| it.first_seen_at).collect();
    let last: Vec<Time> = seen.iter().map(|it| it.last_seen_at).collect();
    let sql = include_str!("../../../sql/queries/postgres/user_ips_see.sql");
    line.execute(sql, &[&users, &ips, &first, &last]).await?;
    Ok(())
}

fn user_ip(row: &Row) -> Result<UserIp, Fault> {
    Ok(UserIp {
        user_id: row.try_get("user_id")?,
        ip: row.try_get("ip")?,
        first_seen_at: row.try_get("first_seen_at")?,
        last_seen_at: row.try_get("last_seen_at")?,
        info: row.try_get::<_, Option<Json>>("info")?.map(|Json(info)| info),
    })
}
