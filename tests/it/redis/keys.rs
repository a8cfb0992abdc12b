//! What one report sets, and when it goes.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use vpn_core::proto::nodeservice::{ReportNodeStatsRequest, SystemStats, XrayStats};

use super::{
    crew::{Crew, EVERYWHERE, TTL_MS, agent, folder, names, now, report, start, users},
    look::{Held, Look},
};
use crate::{
    harness::{
        eventually,
        redis::{Server, ask},
    },
    postgres::figures::figure,
};

const DAY_MS: i64 = 24 * 3_600_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_report_sets_exactly_these_keys() {
    let (redis, dir) = (Server::start().await, folder(3));
    let core = start(dir.path(), &redis.url()).await;
    let agent = agent(&core, 3).await;
    let mut client = agent.client.clone();
    let before = now();
    client
        .report_online_users(agent.request(report(3, &[42, 43])))
        .await
        .unwrap();
    let stats = ReportNodeStatsRequest {
        system: Some(SystemStats {
            cpu_cores: 2,
            cpu_percent: 12.5,
            ram_total: 1 << 40,
            ..SystemStats::default()
        }),
        xray: Some(XrayStats {
            running: true,
            uptime_seconds: Some(9),
        }),
        mtproto_json: r#"{"tag":{"users":1}}"#.to_owned(),
        ..ReportNodeStatsRequest::default()
    };
    client.report_node_stats(agent.request(stats)).await.unwrap();
    let after = now();
    let look = Look::new(&redis.url()).await;
    let held: Held = eventually("the snapshot", || look.one("node:stats:3")).await;
    // Events go their own way, so they may come later.
    let names = [
        "core:events",
        "node:stats:3",
        "online:inbound:31:user:42",
        "online:inbound:31:user:43",
        "online:user:42",
        "online:user:43",
    ];
    eventually("these keys and no others", || async {
        let keys = ask(redis.port(), &["KEYS", "*"]).await.unwrap();
        let mut keys: Vec<_> = keys.lines().collect();
        keys.sort_unstable();
        (keys == names).then_some(())
    })
    .await;
    for name in &names[2..] {
        let held = look.one(name).await.unwrap();
        assert!((before..=after).contains(&held.number()), "{name}: {held:?}");
        let end = held.number() + TTL_MS - now();
        assert!(
            held.ttl > 0 && held.ttl <= TTL_MS && held.ttl <= end + 1_000,
            "{name}: {held:?}"
        );
        assert!(held.ttl >= end - 10_000, "{name}: {held:?}");
    }
    assert!(held.ttl > DAY_MS - 60_000 && held.ttl <= DAY_MS, "{held:?}");
    let snapshot: Value = serde_json::from_str(&held.value).unwrap();
    let place = core.admin().get("/admin/nodes/3/runtime-status").await;
    for field in ["nodeId", "receivedAt", "system", "xray", "mtproto"] {
        assert_eq!(snapshot[field], place[field], "{field}");
    }
    assert_eq!(snapshot.as_object().unwrap().len(), 5);
    assert_eq!(snapshot["mtproto"], json!({"tag": {"users": 1}}));
    let kept = vpn_core::model::stats::parse_stats(&held.value).unwrap();
    assert_eq!((kept.system.cpu_cores, kept.xray.unwrap().uptime_seconds), (2, Some(9)));
    core.stop().await;
    // A stop deletes nothing.
    assert!(look.one("online:user:42").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_gone_while_reports_come_and_all_are_gone_after_the_last() {
    let seconds = figure("CORE_TEST_REDIS_FLAP_SECONDS", 25, 600);
    let (redis, dir) = (Server::start().await, folder(2));
    let core = start(dir.path(), &redis.url()).await;
    let mut crew = Crew::new(&core, 2, Duration::from_secs(5)).await;
    let look = Look::new(&redis.url()).await;
    let all: Vec<String> = (1..=2)
        .flat_map(|node| users(node).into_iter().flat_map(move |user| names(node, user)))
        .collect();
    let missing = async || {
        let held = look.held(&all).await.unwrap();
        held.iter().filter(|it| it.is_none()).count()
    };
    eventually("all keys", || async { (missing().await == 0).then_some(()) }).await;
    let mut ticks = interval(Duration::from_millis(200));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..seconds * 5 {
        ticks.tick().await;
        assert_eq!(missing().await, 0, "keys were gone between two reports");
    }
    let last = crew.leave(1).await.last;
    let alone: Vec<String> = users(1)
        .into_iter()
        .flat_map(|user| names(1, user))
        .filter(|name| *name != names(1, EVERYWHERE)[0])
        .collect();
    let both = names(2, EVERYWHERE);
    loop {
        ticks.tick().await;
        let left = look.held(&alone).await.unwrap().iter().flatten().count();
        let age = now() - last;
        assert!(
            left == alone.len() || age >= TTL_MS - 1_000,
            "{left} are left after {age} ms"
        );
        assert!(
            look.held(&both).await.unwrap().iter().all(Option::is_some),
            "after {age} ms"
        );
        if left == 0 {
            break;
        }
        assert!(age <= TTL_MS + 1_000, "{left} are left after {age} ms");
    }
    assert_eq!(crew.failed(), 0);
    core.stop().await;
}
