use super::{
    arrivals::{GRACE, Verdict},
    *,
};
use crate::model::presence::{OnlineIp, Sighting};

fn at(seconds: u64) -> Time {
    Time::from_millis(1_700_000_000_000).plus(Duration::from_secs(seconds))
}

/// A report of a node: users with the inbound 7 and one address each.
fn set(node: i64, seconds: u64, users: &[i64]) -> Arc<OnlineSet> {
    let user = |id: &i64| OnlineUser {
        user_id: UserId(*id),
        node_protocol_id: ProtocolId(7),
        ips: vec![OnlineIp {
            ip: "192.0.2.1".parse().unwrap(),
            last_seen: at(seconds),
        }],
    };
    Arc::new(OnlineSet {
        node: NodeId(node),
        at: at(seconds),
        users: users.iter().map(user).collect(),
    })
}

fn places(presence: &Presence, wanted: Wanted, seconds: u64) -> Vec<(i64, i64)> {
    let online = presence.online(wanted, at(seconds));
    online
        .into_iter()
        .map(|(node, user)| (node.0, user.user_id.0))
        .collect()
}

const ALL: Wanted = Wanted {
    node: None,
    protocol: None,
    user: None,
    after: None,
    limit: usize::MAX,
};

#[test]
fn a_gap_of_more_than_ten_seconds_on_every_node_makes_a_candidate() {
    let mut presence = Presence::default();
    assert_eq!(presence.apply(&set(1, 0, &[42]))[0].before, Before::Unknown);
    assert_eq!(presence.apply(&set(1, 10, &[42])), []);
    assert_eq!(presence.apply(&set(2, 15, &[42])), []);
    assert_eq!(presence.apply(&set(1, 20, &[])), []);
    assert_eq!(presence.apply(&set(1, 25, &[42])), []);
    let back = presence.apply(&set(1, 36, &[42]));
    assert_eq!((back.len(), back[0].before), (1, Before::Known(at(25))));
}

#[test]
fn a_user_on_two_inbounds_comes_once() {
    let mut presence = Presence::default();
    let mut twice = OnlineSet::clone(&set(1, 0, &[42, 42]));
    twice.users[1].node_protocol_id = ProtocolId(8);
    assert_eq!(presence.apply(&Arc::new(twice)).len(), 1);
}

#[test]
fn a_report_that_comes_late_takes_nothing_back() {
    let mut presence = Presence::default();
    presence.apply(&set(1, 20, &[42]));
    assert_eq!(presence.apply(&set(2, 5, &[42])), []);
    assert_eq!(presence.apply(&set(1, 30, &[42])), []);
}

#[test]
fn the_mirror_decides_where_memory_does_not_know() {
    let started = at(0);
    let candidate = |seconds: u64, before| {
        let mut candidate = Presence::default().apply(&set(1, seconds, &[42]))[0];
        candidate.before = before;
        candidate
    };
    let grace = GRACE.as_secs();
    let stranger = |seconds| candidate(seconds, Before::Unknown);
    // Soon after the start nobody comes of whom nothing is known, and what Redis has of him is from before.
    assert_eq!(stranger(grace - 1).decide(None, started), Verdict::WasThere);
    assert_eq!(stranger(5).decide(Some(at(0)), started), Verdict::WasThere);
    assert_eq!(stranger(grace).decide(None, started), Verdict::AskStore);
    // Another instance has him.
    assert_eq!(stranger(100).decide(Some(at(95)), started), Verdict::WasThere);
    assert_eq!(stranger(100).decide(Some(at(85)), started), Verdict::Came(at(85)));
    // A later report says nothing of before.
    assert_eq!(stranger(100).decide(Some(at(101)), started), Verdict::AskStore);
    let known = |before| candidate(15, Before::Known(at(before)));
    assert_eq!(known(2).decide(None, started), Verdict::Came(at(2)));
    assert_eq!(known(2).decide(Some(at(4)), started), Verdict::Came(at(4)));
    assert_eq!(known(2).decide(Some(at(9)), started), Verdict::WasThere);
}

#[test]
fn the_list_goes_by_places_and_ends_with_its_page() {
    let mut presence = Presence::default();
    presence.apply(&set(2, 0, &[5, 4]));
    presence.apply(&set(1, 0, &[9]));
    presence.apply(&set(3, 0, &[4]));
    assert_eq!(places(&presence, ALL, 1), [(1, 9), (2, 4), (2, 5), (3, 4)]);
    let page = Wanted { limit: 2, ..ALL };
    assert_eq!(places(&presence, page, 1), [(1, 9), (2, 4)]);
    let after = Some((NodeId(2), UserId(4), ProtocolId(7)));
    assert_eq!(places(&presence, Wanted { after, ..page }, 1), [(2, 5), (3, 4)]);
    let node = Some(NodeId(1));
    assert_eq!(places(&presence, Wanted { node, after, ..ALL }, 1), []);
    let user = Some(UserId(4));
    assert_eq!(places(&presence, Wanted { user, ..ALL }, 1), [(2, 4), (3, 4)]);
    let protocol = Some(ProtocolId(8));
    assert_eq!(places(&presence, Wanted { protocol, ..ALL }, 1), []);
}

#[test]
fn nobody_is_online_20_s_after_the_last_report() {
    let mut presence = Presence::default();
    presence.apply(&set(1, 0, &[42]));
    assert_eq!(places(&presence, ALL, 19), [(1, 42)]);
    assert_eq!(places(&presence, ALL, 20), []);
    presence.apply(&set(1, 20, &[]));
    assert_eq!(places(&presence, ALL, 20), []);
}

fn saved(presence: &mut Presence) -> Vec<(u64, u64)> {
    let sightings = presence.take_unsaved(usize::MAX);
    presence.saved(&sightings);
    let seconds = |time: Time| time.since(at(0)).as_secs();
    sightings
        .iter()
        .map(|it| (seconds(it.first_seen_at), seconds(it.last_seen_at)))
        .collect()
}

#[test]
fn a_missing_pair_is_written_at_once_a_known_one_within_a_minute() {
    let mut presence = Presence::default();
    presence.apply(&set(1, 100, &[42]));
    assert_eq!(saved(&mut presence), [(100, 100)]);
    for seconds in (105..150).step_by(5) {
        presence.apply(&set(1, seconds, &[42]));
        assert_eq!(saved(&mut presence), [], "{seconds}");
    }
    presence.apply(&set(1, 150, &[42]));
    assert_eq!(saved(&mut presence), [(150, 150)]);
    // He left before the store was far behind: it hears of it all the same.
    presence.apply(&set(1, 170, &[42]));
    presence.sweep(at(195));
    assert_eq!(saved(&mut presence), []);
    presence.sweep(at(200));
    assert_eq!(saved(&mut presence), [(170, 170)]);
    presence.sweep(at(300));
    assert_eq!(saved(&mut presence), []);
}

#[test]
fn what_the_store_did_not_take_is_next_again() {
    let mut presence = Presence::default();
    presence.apply(&set(1, 0, &[1, 2, 3]));
    let taken = presence.take_unsaved(2);
    assert_eq!((taken.len(), presence.unsaved()), (2, 1));
    presence.apply(&set(1, 5, &[1, 2, 3]));
    presence.not_saved(&taken);
    let again = presence.take_unsaved(usize::MAX);
    assert_eq!(again.len(), 3);
    // First and last time of an address that the store does not have yet.
    let first = |it: &&Sighting| it.user == UserId(1);
    let sighting = again.iter().find(first).unwrap();
    assert_eq!((sighting.first_seen_at, sighting.last_seen_at), (at(0), at(5)));
}

#[test]
fn an_agents_clock_moves_nothing_beyond_the_report() {
    let mut presence = Presence::default();
    let mut early = OnlineSet::clone(&set(1, 0, &[42]));
    early.users[0].ips[0].last_seen = at(500);
    presence.apply(&Arc::new(early));
    assert_eq!(saved(&mut presence), [(0, 0)]);
}

#[test]
fn who_is_unseen_for_an_hour_leaves_memory_when_the_store_has_him() {
    let mut presence = Presence::default();
    presence.apply(&set(1, 0, &[1]));
    presence.sweep(at(3_601));
    assert_eq!(presence.remembered(), 1, "the store has not heard of him");
    saved(&mut presence);
    presence.sweep(at(3_600));
    assert_eq!(presence.remembered(), 1);
    presence.sweep(at(3_601));
    assert_eq!(presence.remembered(), 0);
}

#[test]
fn an_address_that_an_agent_calls_old_is_written_once() {
    let mut presence = Presence::default();
    for seconds in (7_200..7_300).step_by(5) {
        let mut old = OnlineSet::clone(&set(1, seconds, &[42]));
        old.users[0].ips[0].last_seen = at(1);
        presence.apply(&Arc::new(old));
        presence.sweep(at(seconds));
        let expected: &[(u64, u64)] = if seconds == 7_200 { &[(1, 1)] } else { &[] };
        assert_eq!(saved(&mut presence), expected, "{seconds}");
    }
}

#[test]
fn a_track_is_small() {
    assert_eq!(size_of::<Track>(), 40);
}
