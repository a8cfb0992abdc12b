//! What the nodes' machines looked like, a sample a minute.

use vpn_core::model::{
    NodeId, Time,
    stats::{StatsSample, SystemStats},
};

use super::world::{on_each, second};

/// A sample of a minute whose every value is another.
fn sample(node: i64, minute: i64, value: i64) -> StatsSample {
    StatsSample {
        node: NodeId(node),
        at: second(minute * 60),
        system: SystemStats {
            uptime_seconds: value,
            cpu_percent: 12.5,
            cpu_cores: 4,
            ram_used: value + 1,
            ram_total: value + 2,
            disk_used: value + 3,
            disk_total: value + 4,
            net_rx_per_sec: value + 5,
            net_tx_per_sec: value + 6,
            net_rx_total: value + 7,
            net_tx_total: value + 8,
        },
    }
}

#[tokio::test]
async fn the_last_word_of_a_minute_wins() {
    on_each(|store| async move {
        store.save_node_stats(&[]).await.unwrap();
        let first = [sample(2, 0, 1), sample(1, 1, 2), sample(1, 0, 3), sample(1, 0, 4)];
        store.save_node_stats(&first).await.unwrap();
        store.save_node_stats(&first).await.unwrap();
        let read = async |node, from, to, limit| {
            store
                .node_stats(NodeId(node), second(from), second(to), limit)
                .await
                .unwrap()
        };
        assert_eq!(read(1, 0, 61, 10).await, [sample(1, 0, 4), sample(1, 1, 2)]);
        store.save_node_stats(&[sample(1, 0, 100)]).await.unwrap();
        assert_eq!(read(1, 0, 60, 10).await, [sample(1, 0, 100)], "the end is not in");
        assert_eq!(read(1, 1, 61, 10).await, [sample(1, 1, 2)]);
        assert_eq!(read(1, 0, 61, 1).await, [sample(1, 0, 100)], "oldest first");
        assert_eq!(read(2, 0, 61, 10).await, [sample(2, 0, 1)]);
        assert_eq!(read(3, 0, 61, 10).await, []);
        assert_eq!(read(1, 61, 0, 10).await, []);
    })
    .await;
}

#[tokio::test]
async fn odd_values_do_not_cost_the_others() {
    on_each(|store| async move {
        let mut odd = sample(1, 0, i64::MAX - 8);
        odd.system.cpu_percent = f64::NAN;
        odd.system.cpu_cores = i32::MIN;
        odd.system.ram_used = i64::MIN;
        let mut huge = sample(1, 1, 1);
        huge.system.cpu_percent = f64::INFINITY;
        store.save_node_stats(&[odd, huge, sample(1, 2, 5)]).await.unwrap();
        let found = store.node_stats(NodeId(1), second(0), Time::MAX, 10).await.unwrap();
        odd.system.cpu_percent = 0.0;
        huge.system.cpu_percent = 0.0;
        assert_eq!(found, [odd, huge, sample(1, 2, 5)]);
    })
    .await;
}

/// A fleet's minute, and minutes of many days: those without a partition of their own too.
#[tokio::test]
async fn a_fleet_and_a_year_go_in_one_call() {
    on_each(|store| async move {
        let fleet: Vec<_> = (0..10_000).map(|node| sample(node, 0, node)).collect();
        store.save_node_stats(&fleet).await.unwrap();
        let year: Vec<_> = (0..365).map(|day| sample(1, -day * 24 * 60, day)).collect();
        store.save_node_stats(&year).await.unwrap();
        store.save_node_stats(&year).await.unwrap();
        let found = store.node_stats(NodeId(1), Time::default(), Time::MAX, 1_000).await;
        let expected: Vec<_> = year.into_iter().rev().collect();
        assert_eq!(found.unwrap(), expected);
        let last = store.node_stats(NodeId(9_999), second(0), second(1), 5).await.unwrap();
        assert_eq!(last, [sample(9_999, 0, 9_999)]);
    })
    .await;
}
