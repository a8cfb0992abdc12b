//! Where users were seen, and what is known of the addresses.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;
use vpn_core::{
    model::{
        Time, UserId,
        catalog_change::RowRef,
        presence::{LookUp, Sighting, UserIp},
    },
    store::Store,
};

use super::{
    place::Place,
    world::{address, change, delete, import, in_each_place, on_each, second, small_import},
};

fn seen(user: i64, ip: &str, first: i64, last: i64) -> Sighting {
    Sighting {
        user: UserId(user),
        ip: address(ip),
        first_seen_at: second(first),
        last_seen_at: second(last),
    }
}

/// The rows of a user: address, first, last (in seconds), and the country that is known.
async fn rows(store: &dyn Store, user: i64) -> Vec<(String, i64, i64, Option<String>)> {
    let rows = store.user_ips(UserId(user), None, 1_000).await.unwrap();
    let seconds = |at: Time| (at.millis() - second(0).millis()) / 1_000;
    rows.into_iter()
        .map(|row| {
            assert_eq!(row.user_id, UserId(user));
            let country = row.info.map(|info| info["country"].as_str().unwrap().to_owned());
            (
                row.ip.to_string(),
                seconds(row.first_seen_at),
                seconds(row.last_seen_at),
                country,
            )
        })
        .collect()
}

fn row(ip: &str, first: i64, last: i64) -> (String, i64, i64, Option<String>) {
    (ip.to_owned(), first, last, None)
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| address(text)).collect()
}

#[tokio::test]
async fn a_pair_is_inserted_once_and_its_last_sight_only_moves_on() {
    on_each(|store| async move {
        let store = &*store;
        store.see_ips(&[]).await.unwrap();
        let first = [seen(1, "192.0.2.1", 10, 20), seen(2, "192.0.2.1", 5, 5)];
        store.see_ips(&first).await.unwrap();
        store.see_ips(&first).await.unwrap();
        assert_eq!(rows(store, 1).await, [row("192.0.2.1", 10, 20)]);
        assert_eq!(rows(store, 2).await, [row("192.0.2.1", 5, 5)]);
        store.see_ips(&[seen(1, "192.0.2.1", 1, 30)]).await.unwrap();
        assert_eq!(
            rows(store, 1).await,
            [row("192.0.2.1", 10, 30)],
            "when it was first seen stays"
        );
        store.see_ips(&[seen(1, "192.0.2.1", 25, 25)]).await.unwrap();
        assert_eq!(rows(store, 1).await, [row("192.0.2.1", 10, 30)]);
        assert_eq!(rows(store, 2).await, [row("192.0.2.1", 5, 5)]);
        assert_eq!(rows(store, 3).await, []);
    })
    .await;
}

#[tokio::test]
async fn a_call_that_names_a_pair_twice_is_one_sighting() {
    on_each(|store| async move {
        let twice = [
            seen(1, "2001:db8::1", 7, 8),
            seen(1, "::ffff:192.0.2.1", 3, 4),
            seen(1, "192.0.2.1", 2, 3),
            seen(1, "2001:db8::1", 6, 9),
        ];
        store.see_ips(&twice).await.unwrap();
        assert_eq!(
            rows(&*store, 1).await,
            [row("192.0.2.1", 2, 4), row("2001:db8::1", 6, 9)]
        );
    })
    .await;
}

#[tokio::test]
async fn addresses_have_one_order_and_pages_keep_to_it() {
    on_each(|store| async move {
        let mut all = ips(&[
            "0.0.0.0",
            "1.2.3.4",
            "9.0.0.0",
            "10.0.0.0",
            "192.0.2.9",
            "192.0.2.10",
            "255.255.255.255",
            "::",
            "::1",
            "2001:db8::9",
            "2001:db8::10",
            "2001:db8:1::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ]);
        let sightings: Vec<_> = all.iter().rev().map(|ip| seen(1, &ip.to_string(), 1, 1)).collect();
        store.see_ips(&sightings).await.unwrap();
        all.sort_unstable();
        for size in [1, 2, 5, 100] {
            let (mut users, mut unlooked) = (Vec::new(), Vec::new());
            loop {
                let page = store.user_ips(UserId(1), users.last().copied(), size).await.unwrap();
                if page.is_empty() {
                    break;
                }
                users.extend(page.iter().map(|row| row.ip));
            }
            assert_eq!(users, all);
            loop {
                let after = unlooked.last().copied();
                let page = store.unlooked_ips(everything(), after, size).await.unwrap();
                if page.is_empty() {
                    break;
                }
                unlooked.extend(page);
            }
            assert_eq!(unlooked, all);
        }
        let after = Some(address("::ffff:9.0.0.0"));
        let page = store.user_ips(UserId(1), after, 1).await.unwrap();
        assert_eq!(page[0].ip, address("10.0.0.0"));
        assert_eq!(store.user_ips(UserId(1), None, 0).await.unwrap(), []);
    })
    .await;
}

const fn everything() -> LookUp {
    LookUp::All {
        fetched_before: Time::MAX,
    }
}

#[tokio::test]
async fn a_user_was_last_seen_at_the_latest_of_his_addresses() {
    on_each(|store| async move {
        let sightings = [
            seen(1, "192.0.2.1", 1, 50),
            seen(1, "192.0.2.2", 1, 40),
            seen(2, "192.0.2.1", 1, 60),
        ];
        store.see_ips(&sightings).await.unwrap();
        let users = [UserId(3), UserId(2), UserId(1), UserId(-1)];
        let mut last = store.last_seen(&users).await.unwrap();
        last.sort_unstable();
        assert_eq!(last, [(UserId(1), second(50)), (UserId(2), second(60))]);
        assert_eq!(store.last_seen(&[]).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn what_is_found_out_of_an_address_goes_to_all_its_rows() {
    on_each(|store| async move {
        let store = &*store;
        let sightings = [
            seen(1, "192.0.2.1", 1, 1),
            seen(2, "192.0.2.1", 2, 2),
            seen(2, "192.0.2.2", 2, 2),
        ];
        store.see_ips(&sightings).await.unwrap();
        let infos = [
            (address("192.0.2.1"), json!({ "country": "XX" })),
            (address("::ffff:192.0.2.1"), json!({ "country": "NL", "nul": "a\0b" })),
            (address("203.0.113.1"), json!({ "country": "nobody was seen there" })),
        ];
        store.save_ip_infos(&infos, second(100)).await.unwrap();
        let known = |ip: &str, at| (ip.to_owned(), at, at, Some("NL".to_owned()));
        assert_eq!(rows(store, 1).await, [known("192.0.2.1", 1)]);
        assert_eq!(rows(store, 2).await, [known("192.0.2.1", 2), row("192.0.2.2", 2, 2)]);

        // Who comes later takes it over, and with it when it was fetched; a sighting of a pair that is there leaves it alone.
        let later = [seen(3, "192.0.2.1", 200, 200), seen(1, "192.0.2.1", 200, 200)];
        store.see_ips(&later).await.unwrap();
        assert_eq!(rows(store, 3).await, [known("192.0.2.1", 200)]);
        let country = Some("NL".to_owned());
        assert_eq!(rows(store, 1).await, [("192.0.2.1".to_owned(), 1, 200, country)]);
        let since = |seconds| LookUp::All {
            fetched_before: second(seconds),
        };
        let ask = async |what| store.unlooked_ips(what, None, 10).await.unwrap();
        assert_eq!(ask(since(100)).await, ips(&["192.0.2.2"]));
        assert_eq!(ask(since(101)).await, ips(&["192.0.2.1", "192.0.2.2"]));
        store.save_ip_infos(&[], second(300)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn fresh_are_those_without_info_and_those_first_seen_since_nobody_asked() {
    on_each(|store| async move {
        let store = &*store;
        let old = [seen(1, "192.0.2.1", 1, 1), seen(1, "192.0.2.2", 2, 900)];
        store.see_ips(&old).await.unwrap();
        let fresh = async |after| {
            let what = LookUp::Fresh {
                first_seen_after: second(after),
            };
            let found = store.unlooked_ips(what, None, 10).await.unwrap();
            assert_eq!(store.count_unlooked(what).await.unwrap(), found.len() as u64);
            found
        };
        assert_eq!(fresh(400).await, ips(&["192.0.2.1", "192.0.2.2"]), "nothing is known");
        let info = |ip| (address(ip), json!({ "country": "NL" }));
        store
            .save_ip_infos(&[info("192.0.2.1"), info("192.0.2.2")], second(300))
            .await
            .unwrap();
        assert_eq!(fresh(400).await, [] as [IpAddr; 0]);
        // Somebody else at a known address, somebody at a new one.
        let new = [
            seen(2, "192.0.2.1", 500, 500),
            seen(3, "192.0.2.1", 501, 501),
            seen(2, "2001:db8::1", 400, 400),
        ];
        store.see_ips(&new).await.unwrap();
        assert_eq!(fresh(400).await, ips(&["192.0.2.1", "2001:db8::1"]));
        assert_eq!(
            fresh(501).await,
            ips(&["2001:db8::1"]),
            "what is not known is always asked for"
        );
        store.save_ip_infos(&[info("192.0.2.1")], second(600)).await.unwrap();
        assert_eq!(fresh(400).await, ips(&["2001:db8::1"]));
        let all = LookUp::All {
            fetched_before: second(600),
        };
        assert_eq!(store.count_unlooked(all).await.unwrap(), 2);
    })
    .await;
}

/// Address `n` of many.
fn nth(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + n).into()
}

#[tokio::test]
async fn twenty_thousand_pairs_go_in_one_call() {
    on_each(|store| async move {
        let pairs = |last| -> Vec<Sighting> {
            let pair = |n: u32| Sighting {
                user: UserId(i64::from(n % 5_000)),
                ip: nth(n),
                first_seen_at: second(0),
                last_seen_at: second(last),
            };
            (0..20_000).map(pair).collect()
        };
        store.see_ips(&pairs(1)).await.unwrap();
        store.see_ips(&pairs(2)).await.unwrap();
        assert_eq!(store.count_unlooked(everything()).await.unwrap(), 20_000);
        let users: Vec<_> = (0..5_000).map(UserId).collect();
        let last = store.last_seen(&users).await.unwrap();
        assert_eq!(last.len(), 5_000);
        assert!(last.iter().all(|(_, at)| *at == second(2)));
        let infos: Vec<_> = (0..1_000).map(|n| (nth(n), json!({ "country": "NL" }))).collect();
        store.save_ip_infos(&infos, second(5)).await.unwrap();
        let of = LookUp::All {
            fetched_before: second(5),
        };
        assert_eq!(store.count_unlooked(of).await.unwrap(), 19_000);
        assert_eq!(store.unlooked_ips(of, None, 1).await.unwrap(), [nth(1_000)]);
    })
    .await;
}

/// Two instances note the same pairs, each in another order, while infos of the same addresses are saved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_meet_crosswise_all_succeed() {
    in_each_place(|place| async move {
        place.open().migrate().await.unwrap();
        let pairs: Vec<_> = (0..2_000)
            .map(|n: u32| (UserId(i64::from(n * 7_919 % 2_000)), nth(n % 50)))
            .collect();
        let note = |backwards: bool| {
            let (store, mut pairs) = (place.open(), pairs.clone());
            if backwards {
                pairs.reverse();
            }
            async move {
                for round in 0..10 {
                    let seen: Vec<_> = pairs
                        .iter()
                        .map(|(user, ip)| Sighting {
                            user: *user,
                            ip: *ip,
                            first_seen_at: second(0),
                            last_seen_at: second(round),
                        })
                        .collect();
                    store.see_ips(&seen).await.unwrap();
                }
            }
        };
        let save = async {
            let store = place.open();
            for round in 0..10 {
                let infos: Vec<_> = (0..50).rev().map(|n| (nth(n), json!({ "country": "NL" }))).collect();
                store.save_ip_infos(&infos, second(round)).await.unwrap();
            }
        };
        let before = deadlocks(&place).await;
        tokio::join!(note(false), note(true), save);
        assert_eq!(deadlocks(&place).await, before);
        let store = place.open();
        let users: Vec<_> = (0..2_000).map(UserId).collect();
        let last = store.last_seen(&users).await.unwrap();
        assert_eq!(last.len(), 2_000);
        assert!(last.iter().all(|(_, at)| *at == second(9)));
    })
    .await;
}

/// Transactions of this database that ended because they waited for each other.
async fn deadlocks(place: &Place) -> i64 {
    match place {
        Place::Sqlite(_) => 0,
        Place::Postgres(database) => {
            let client = crate::harness::postgres::connect(&database.url()).await;
            let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
            client.query_one(sql, &[]).await.unwrap().get(0)
        }
    }
}

#[tokio::test]
async fn a_user_who_is_deleted_leaves_his_addresses() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        store.see_ips(&[seen(1, "192.0.2.1", 1, 1)]).await.unwrap();
        change(&*store, vec![delete(RowRef::User(UserId(1)))]).await;
        assert_eq!(rows(&*store, 1).await, [row("192.0.2.1", 1, 1)]);
    })
    .await;
}

#[test]
fn an_address_is_shown_in_camel_case() {
    let row = UserIp {
        user_id: UserId(1),
        ip: address("2001:db8::1"),
        first_seen_at: second(0),
        last_seen_at: second(1),
        info: None,
    };
    assert_eq!(
        serde_json::to_value(row).unwrap(),
        json!({
            "userId": 1, "ip": "2001:db8::1", "firstSeenAt": "2026-11-24T12:00:00Z",
            "lastSeenAt": "2026-11-24T12:00:01Z", "info": null,
        })
    );
}
