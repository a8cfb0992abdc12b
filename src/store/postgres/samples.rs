//! What the nodes' machines looked like.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::{PostgresStore, fault::Fault, line::Line};
use crate::{
    model::{
        NodeId, Time,
        stats::{StatsSample, SystemStats},
    },
    store::{Samples, StoreError},
};

#[async_trait]
impl Samples for PostgresStore {
    async fn save_node_stats(&self, samples: &[StatsSample]) -> Result<(), StoreError> {
        let samples = &StatsSample::fold(samples);
        self.door
            .write("save_node_stats", |line| async move { save(&line, samples).await })
            .await
    }

    async fn node_stats(&self, node: NodeId, from: Time, to: Time, limit: u32) -> Result<Vec<StatsSample>, StoreError> {
        self.door
            .glance("node_stats", |line| async move {
                let sql = "SELECT * FROM node_stats WHERE node_id = $1 AND at >= $2 AND at < $3 ORDER BY at LIMIT $4";
                let rows = line.query(sql, &[&node, &from, &to, &i64::from(limit)]).await?;
                rows.iter().map(sample).collect()
            })
            .await
    }
}

async fn save(line: &Line, samples: &[StatsSample]) -> Result<(), Fault> {
    let column = |value: fn(&SystemStats) -> i64| samples.iter().map(|it| value(&it.system)).collect::<Vec<i64>>();
    let nodes: Vec<NodeId> = samples.iter().map(|it| it.node).collect();
    let minutes: Vec<Time> = samples.iter().map(|it| it.at).collect();
    let shares: Vec<f64> = samples.iter().map(|it| it.system.cpu_percent).collect();
    let cores: Vec<i32> = samples.iter().map(|it| it.system.cpu_cores).collect();
    line.execute(
        include_str!("../../../sql/queries/postgres/node_stats_put.sql"),
        &[
            &nodes,
            &minutes,
            &column(|it| it.uptime_seconds),
            &shares,
            &cores,
            &column(|it| it.ram_used),
            &column(|it| it.ram_total),
            &column(|it| it.disk_used),
            &column(|it| it.disk_total),
            &column(|it| it.net_rx_per_sec),
            &column(|it| it.net_tx_per_sec),
            &column(|it| it.net_rx_total),
            &column(|it| it.net_tx_total),
        ],
    )
    .await?;
    Ok(())
}

fn sample(row: &Row) -> Result<StatsSample, Fault> {
    Ok(StatsSample {
        node: row.try_get("node_id")?,
        at: row.try_get("at")?,
        system: SystemStats {
            uptime_seconds: row.try_get("uptime_seconds")?,
            cpu_percent: row.try_get("cpu_percent")?,
            cpu_cores: row.try_get("cpu_cores")?,
            ram_used: row.try_get("ram_used")?,
            ram_total: row.try_get("ram_total")?,
            disk_used: row.try_get("disk_used")?,
            disk_total: row.try_get("disk_total")?,
            net_rx_per_sec: row.try_get("net_rx_per_sec")?,
            net_tx_per_sec: row.try_get("net_tx_per_sec")?,
            net_rx_total: row.try_get("net_rx_total")?,
            net_tx_total: row.try_get("net_tx_total")?,
        },
    })
}
