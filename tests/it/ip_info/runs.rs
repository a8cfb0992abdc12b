//! Every day all, every 10 minutes the new ones, and one instance of all.

use std::{sync::Arc, time::Duration};

use vpn_core::providers::ip_api::IpApi;

use super::{
    scene::{Scene, public, set},
    stand_in::{Reply, StandIn},
};

async fn well() -> StandIn {
    StandIn::new(|asked, _| Reply::ip_api(asked, &[])).await
}

#[tokio::test]
async fn a_run_that_is_cut_goes_on_where_it_was() {
    let scene = Scene::new().await;
    let provider = well().await;
    let all = public(0, 1_050);
    scene.see(1, &all).await;
    let mut cut = scene.ip_api(&provider);
    scene.pass(&mut cut, 4).await;
    drop(cut);
    assert_eq!(provider.ips().len(), 400);
    let mut next = scene.ip_api(&provider);
    scene.pass(&mut next, 60).await;
    let asked = provider.ips();
    assert_eq!((asked.len(), set(&asked)), (1_050, set(&all)), "each once");

    // The next day, by UTC, all are asked for again; here too a run is cut.
    scene.clock.advance(Duration::from_hours(12));
    scene.pass(&mut next, 5).await;
    drop(next);
    let mut last = scene.ip_api(&provider);
    scene.pass(&mut last, 600).await;
    let asked = provider.ips();
    assert_eq!((asked.len(), set(&asked[1_050..])), (2_100, set(&all)));
}

#[tokio::test]
async fn new_addresses_are_looked_up_within_10_minutes_and_old_ones_the_next_day() {
    let scene = Scene::new().await;
    let provider = well().await;
    scene.see(1, &public(0, 2)).await;
    let mut job = scene.ip_api(&provider);
    scene.pass(&mut job, 30).await;
    assert_eq!(provider.ips(), public(0, 2));
    scene.see(1, &public(5, 1)).await;
    scene.pass(&mut job, 601).await;
    assert_eq!(provider.ips()[2..], public(5, 1));
    // Somebody else at a known address: it is new to him, and nobody asked for it in the last minutes.
    scene.see(2, &public(0, 1)).await;
    assert!(scene.infos(2).await[0].is_some(), "what is known is there at once");
    scene.pass(&mut job, 1_300).await;
    assert_eq!(provider.ips()[3..], public(0, 1));
    scene.clock.advance(Duration::from_hours(12));
    scene.pass(&mut job, 30).await;
    assert_eq!(provider.ips().len(), 7, "all three of them");
}

/// More than 10 minutes of work wait: who comes meanwhile does not wait for all of it, wherever his address stands in the order.
#[tokio::test]
async fn new_addresses_do_not_wait_for_an_old_backlog() {
    let scene = Scene::new().await;
    let provider = well().await;
    scene.see(1, &public(1_000, 18_000)).await;
    let mut job = scene.ip_api(&provider);
    scene.pass(&mut job, 100).await;
    scene.see(2, &public(0, 1)).await;
    scene.pass(&mut job, 570).await;
    assert!(scene.infos(2).await[0].is_some());
    assert!(scene.unknown().await > 0, "the backlog is not done yet");
    scene.pass(&mut job, 200).await;
    assert_eq!(scene.unknown().await, 0);
    assert_eq!(provider.ips().len(), 18_001, "each once");
}

#[tokio::test]
async fn one_instance_of_all_asks() {
    let scene = Scene::new().await;
    let (here, there) = (well().await, well().await);
    let job = |provider: &StandIn, owner| {
        let provider = IpApi::new(&provider.url.parse().unwrap()).unwrap();
        scene.job(Arc::new(provider), owner)
    };
    let (mut one, mut other) = (job(&here, "one"), job(&there, "other"));
    scene.see(1, &public(0, 5)).await;
    for _ in 0..1_000 {
        one.step().await;
        other.step().await;
        scene.clock.advance(Duration::from_secs(1));
    }
    assert_eq!((here.calls(), there.calls()), (1, 0));
    // The owner falls: the other follows when the lease is over.
    drop(one);
    scene.see(1, &public(7, 1)).await;
    scene.pass(&mut other, 90).await;
    assert_eq!(there.calls(), 0);
    scene.pass(&mut other, 60).await;
    assert_eq!(there.ips(), public(7, 1));
}

/// A stop gives the lease back, whatever is being asked.
#[tokio::test]
async fn who_stops_lets_the_next_go_on_at_once() {
    let scene = Scene::new().await;
    let provider = StandIn::new(|asked, number| match number {
        0 => Reply::Nothing,
        _ => Reply::ip_api(asked, &[]),
    })
    .await;
    scene.see(1, &public(0, 1)).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(scene.ip_api(&provider).run(stopped));
    crate::harness::eventually("the call", || std::future::ready((provider.calls() == 1).then_some(()))).await;
    stop.send_replace(true);
    tokio::time::timeout(Duration::from_secs(8), running)
        .await
        .expect("a stop does not wait for the answer")
        .unwrap();
    let address = IpApi::new(&provider.url.parse().unwrap()).unwrap();
    let mut other = scene.job(Arc::new(address), "other");
    scene.pass(&mut other, 1).await;
    assert_eq!((provider.calls(), scene.unknown().await), (2, 0));
}
