//! What the nodes' machines looked like.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::{SqliteStore, fault::Fault};
use crate::{
    model::{
        NodeId, Time,
        stats::{StatsSample, SystemStats},
    },
    store::{Samples, StoreError},
};

#[async_trait]
impl Samples for SqliteStore {
    async fn save_node_stats(&self, samples: &[StatsSample]) -> Result<(), StoreError> {
        let samples = StatsSample::fold(samples);
        self.write("save_node_stats", move |tx| save(tx, &samples)).await
    }

    async fn node_stats(&self, node: NodeId, from: Time, to: Time, limit: u32) -> Result<Vec<StatsSample>, StoreError> {
        self.read("node_stats", move |tx| {
            let sql = "SELECT * FROM node_stats WHERE node_id = ?1 AND at >= ?2 AND at < ?3 ORDER BY at LIMIT ?4";
            let mut statement = tx.prepare_cached(sql)?;
            let rows = statement.query_map(params![node, from, to, limit], sample)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn save(transaction: &Connection, samples: &[StatsSample]) -> Result<(), Fault> {
    let mut statement = transaction.prepare_cached(include_str!("../../../sql/queries/sqlite/node_stats_put.sql"))?;
    for StatsSample { node, at, system } in samples {
        statement.execute(params![
            node,
            at,
            system.uptime_seconds,
            system.cpu_percent,
            system.cpu_cores,
            system.ram_used,
            system.ram_total,
            system.disk_used,
            system.disk_total,
            system.net_rx_per_sec,
            system.net_tx_per_sec,
            system.net_rx_total,
            system.net_tx_total,
        ])?;
    }
    Ok(())
}

fn sample(row: &Row<'_>) -> rusqlite::Result<StatsSample> {
    Ok(StatsSample {
        node: row.get("node_id")?,
        at: row.get("at")?,
        system: SystemStats {
            uptime_seconds: row.get("uptime_seconds")?,
            cpu_percent: row.get("cpu_percent")?,
            cpu_cores: row.get("cpu_cores")?,
            ram_used: row.get("ram_used")?,
            ram_total: row.get("ram_total")?,
            disk_used: row.get("disk_used")?,
            disk_total: row.get("disk_total")?,
            net_rx_per_sec: row.get("net_rx_per_sec")?,
            net_tx_per_sec: row.get("net_tx_per_sec")?,
            net_rx_total: row.get("net_rx_total")?,
            net_tx_total: row.get("net_tx_total")?,
        },
    })
}
