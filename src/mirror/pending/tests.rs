//! What is written when, and for how long.

use std::collections::BTreeMap;

use super::*;
use crate::model::{ProtocolId, presence::OnlineUser, stats::SystemStats};

const NOW: i64 = 1_000_000_000;

fn now() -> Time {
    Time::from_millis(NOW)
}

/// So many milliseconds ago this node reported these users, each on an inbound.
fn set(node: i64, ago: u64, users: &[(i64, i64)]) -> Arc<OnlineSet> {
    let user = |&(user, protocol): &(i64, i64)| OnlineUser {
        user_id: UserId(user),
        node_protocol_id: ProtocolId(protocol),
        ips: Vec::new(),
    };
    Arc::new(OnlineSet {
        node: NodeId(node),
        at: now().minus(Duration::from_millis(ago)),
        users: users.iter().map(user).collect(),
    })
}

fn stats(ago: Duration) -> Arc<StatsSnapshot> {
    Arc::new(StatsSnapshot {
        received_at: now().minus(ago),
        system: SystemStats::default(),
        xray: None,
        mtproto: None,
    })
}

/// Everything that is to be written now, as the server would hold it in the end: name, value, milliseconds.
fn written(pending: &mut Pending) -> BTreeMap<String, (String, u128)> {
    let Some(mut pass) = pending.take() else {
        return BTreeMap::new();
    };
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let mut keys = BTreeMap::new();
    loop {
        let portion = pass.portion(now(), 3);
        if portion.is_empty() {
            return keys;
        }
        assert!(portion.len() <= 4);
        keys.extend(
            portion
                .iter()
                .map(|it| (text(&it.key), (text(&it.value), it.ttl.as_millis()))),
        );
    }
}

fn names(keys: &BTreeMap<String, (String, u128)>) -> Vec<&str> {
    keys.keys().map(String::as_str).collect()
}

#[test]
fn a_report_sets_two_keys_a_user_for_the_time_that_remains() {
    let mut pending = Pending::default();
    pending.online(set(1, 1_500, &[(42, 7), (42, 8), (43, 7)]));
    let keys = written(&mut pending);
    let expected = ("999998500".to_owned(), 18_500);
    for name in [
        "online:user:42",
        "online:user:43",
        "online:inbound:7:user:42",
        "online:inbound:8:user:42",
        "online:inbound:7:user:43",
    ] {
        assert_eq!(keys.get(name), Some(&expected), "{name}");
    }
    assert_eq!(keys.len(), 5);
    assert!(pending.take().is_none(), "it is written once");
}

#[test]
fn what_came_too_late_is_not_written() {
    let mut pending = Pending::default();
    pending.online(set(1, 20_000, &[(1, 1)]));
    pending.online(set(2, 19_999, &[(2, 1)]));
    pending.stats(NodeId(3), stats(STATS_TTL));
    let keys = written(&mut pending);
    assert_eq!(names(&keys), ["online:inbound:1:user:2", "online:user:2"]);
    assert_eq!(keys["online:user:2"].1, 1);
}

#[test]
fn a_clock_that_was_set_back_gives_no_longer_life() {
    let mut pending = Pending::default();
    let mut late = Arc::unwrap_or_clone(set(1, 0, &[(1, 1)]));
    late.at = now().plus(Duration::from_mins(1));
    pending.online(Arc::new(late));
    assert_eq!(written(&mut pending)["online:user:1"].1, 20_000);
}

#[test]
fn the_later_report_wins_whichever_node_made_it() {
    for (one, two) in [(100, 900), (900, 100)] {
        let mut pending = Pending::default();
        pending.online(set(1, one, &[(42, 1)]));
        pending.online(set(2, two, &[(42, 2)]));
        let keys = written(&mut pending);
        assert_eq!(keys["online:user:42"], ("999999900".to_owned(), 19_900));
        assert_eq!(keys["online:inbound:2:user:42"].1, 20_000 - u128::from(two));
    }
}

#[test]
fn only_the_latest_of_a_node_is_held() {
    let mut pending = Pending::default();
    pending.online(set(1, 900, &[(1, 1)]));
    pending.online(set(1, 100, &[(2, 1)]));
    pending.online(set(1, 500, &[(3, 1)]));
    pending.stats(NodeId(1), stats(Duration::from_secs(1)));
    pending.stats(NodeId(1), stats(Duration::from_secs(2)));
    let keys = written(&mut pending);
    assert_eq!(
        names(&keys),
        ["node:stats:1", "online:inbound:1:user:2", "online:user:2"]
    );
    assert_eq!(keys["node:stats:1"].1, STATS_TTL.as_millis() - 1_000);
}

#[test]
fn after_a_doubt_all_that_still_holds_is_written_again() {
    let mut pending = Pending::default();
    pending.online(set(1, 19_000, &[(1, 1)]));
    pending.online(set(2, 20_000, &[(2, 1)]));
    pending.online(set(3, 0, &[(3, 1)]));
    pending.stats(NodeId(4), stats(Duration::from_hours(1)));
    assert_eq!(written(&mut pending).len(), 5);
    pending.forget(NodeId(3));
    pending.doubt(now());
    // A set that comes meanwhile is written once.
    pending.online(set(1, 18_000, &[(5, 1)]));
    let keys = written(&mut pending);
    assert_eq!(
        names(&keys),
        ["node:stats:4", "online:inbound:1:user:5", "online:user:5"]
    );
    assert!(written(&mut pending).is_empty());
}

#[test]
fn a_node_that_is_forgotten_is_not_written() {
    let mut pending = Pending::default();
    pending.online(set(1, 0, &[(1, 1)]));
    pending.stats(NodeId(1), stats(Duration::ZERO));
    pending.online(set(2, 0, &[]));
    pending.forget(NodeId(1));
    assert!(written(&mut pending).is_empty());
    assert!(pending.take().is_none());
}

#[test]
fn portions_together_are_the_whole() {
    let users: Vec<_> = (0..100).flat_map(|user| [(user, 1), (user, 2)]).collect();
    let mut pending = Pending::default();
    for node in 1..=3 {
        pending.online(set(node, node.unsigned_abs(), &users));
    }
    pending.stats(NodeId(9), stats(Duration::ZERO));
    let mut pass = pending.take().unwrap();
    let mut keys = Vec::new();
    for most in [1, 2, 7, 250, 1_000, 1_000] {
        let portion = pass.portion(now(), most);
        assert!(portion.len() <= most + 1);
        keys.extend(portion);
    }
    assert_eq!(keys.len(), 3 * 300 + 1);
    let mut whole = pass_of_all(&mut pending);
    assert_eq!(whole.portion(now(), usize::MAX), keys);
}

fn pass_of_all(pending: &mut Pending) -> Pass {
    pending.doubt(now());
    pending.take().unwrap()
}
