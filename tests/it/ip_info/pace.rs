//! Never more calls than a provider allows. The clock stands still but for the seconds that the test lets pass.

use std::sync::{Arc, Mutex};

use vpn_core::{clock::Clock, model::Time};

use super::{
    scene::{Scene, public, set},
    stand_in::{Asked, Reply, StandIn},
};

/// When calls were made.
#[derive(Clone, Default)]
struct Times(Arc<Mutex<Vec<Time>>>);

impl Times {
    fn note(&self, clock: &Clock) {
        self.0.lock().unwrap().push(clock.now());
    }

    /// In seconds since the first.
    fn seconds(&self) -> Vec<u64> {
        let times = self.0.lock().unwrap();
        times.iter().map(|at| at.since(times[0]).as_secs()).collect()
    }
}

#[tokio::test]
async fn fifteen_calls_a_minute_of_a_hundred_addresses_each_for_both_runs_together() {
    let scene = Scene::new().await;
    let times = Times::default();
    let (noting, clock) = (times.clone(), scene.clock.clone());
    let provider = StandIn::new(move |asked, _| {
        noting.note(&clock);
        Reply::ip_api(asked, &[])
    })
    .await;
    let all = public(0, 4_000);
    scene.see(1, &all).await;
    let mut job = scene.ip_api(&provider);
    scene.pass(&mut job, 100).await;
    assert_eq!(provider.calls(), 30);
    // Others come while the first are not done yet.
    let more = public(10_000, 500);
    scene.see(2, &more).await;
    scene.pass(&mut job, 700).await;
    let seconds = times.seconds();
    for (from, first) in seconds.iter().enumerate() {
        let within = seconds[from..].iter().filter(|it| **it - first <= 60).count();
        assert!(within <= 15, "{within} calls in the minute from {first} s on");
    }
    let asked = provider.ips();
    assert_eq!(asked.len(), 4_500, "each is asked for once");
    assert_eq!(set(&asked), set(&[all, more].concat()));
    assert!(provider.asked().iter().all(|it| it.ips.len() <= 100));
    assert_eq!(provider.calls(), 45);
    assert_eq!(scene.unknown().await, 0);
}

/// How the first call is answered, with these headers.
type First = fn(&Asked, &[&str]) -> Reply;

/// Two headers, and how long they make one wait.
type Wait = (&'static str, &'static str, u64);

#[tokio::test]
async fn a_provider_that_wants_no_more_calls_gets_none_until_its_time() {
    let full: First = |_, headers| Reply::status(429, headers);
    // One second more than is said: providers count whole ones.
    let cases: [(First, Option<Wait>); 4] = [
        (Reply::ip_api, Some(("x-rl: 0", "x-ttl: 37", 38))),
        (full, Some(("x-rl: 0", "x-ttl: 17", 18))),
        (full, Some(("retry-after: 29", "x-rl: 0", 30))),
        (full, None),
    ];
    for (first, wait) in cases {
        let scene = Scene::new().await;
        let times = Times::default();
        let (noting, clock) = (times.clone(), scene.clock.clone());
        let headers: Vec<&str> = wait.iter().flat_map(|(one, other, _)| [*one, *other]).collect();
        let provider = StandIn::new(move |asked, number| {
            noting.note(&clock);
            if number == 0 {
                first(asked, &headers)
            } else {
                Reply::ip_api(asked, &["x-rl: 14", "x-ttl: 60"])
            }
        })
        .await;
        scene.see(1, &public(0, 150)).await;
        let mut job = scene.ip_api(&provider);
        scene.pass(&mut job, 120).await;
        let seconds = times.seconds();
        let wait = wait.map_or(61, |(.., wait)| wait);
        assert_eq!(seconds[..2], [0, wait]);
        assert!(seconds.len() <= 3, "{seconds:?}");
        assert_eq!(scene.unknown().await, 0);
    }
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved_until_it_fits() {
    let scene = Scene::new().await;
    let provider = StandIn::new(|asked, _| {
        if asked.ips.len() > 30 {
            Reply::status(422, &[])
        } else {
            Reply::ip_api(asked, &[])
        }
    })
    .await;
    let all = public(0, 110);
    scene.see(1, &all).await;
    let mut job = scene.ip_api(&provider);
    scene.pass(&mut job, 30).await;
    let sizes: Vec<_> = provider.asked().iter().map(|it| it.ips.len()).collect();
    assert_eq!(sizes, [100, 50, 25, 25, 25, 25, 10]);
    assert_eq!(scene.unknown().await, 0);
}

#[tokio::test]
async fn a_single_address_that_is_too_large_is_let_go() {
    let scene = Scene::new().await;
    let provider = StandIn::new(|_, _| Reply::status(422, &[])).await;
    scene.see(1, &public(0, 3)).await;
    let mut job = scene.ip_api(&provider);
    scene.pass(&mut job, 2_000).await;
    let sizes: Vec<_> = provider.asked().iter().map(|it| it.ips.len()).collect();
    assert_eq!(sizes, [3, 1, 1, 1]);
    assert_eq!(scene.unknown().await, 0);
}

/// One that fails is asked less and less often, and all is found out when it is well again.
#[tokio::test]
async fn a_provider_that_fails_is_left_alone_for_longer_and_longer() {
    let scene = Scene::new().await;
    let times = Times::default();
    let (noting, clock) = (times.clone(), scene.clock.clone());
    let provider = StandIn::new(move |asked, number| {
        noting.note(&clock);
        match number {
            0 => Reply::status(500, &[]),
            1 => Reply::status(302, &["location: http://127.0.0.1:1/"]),
            2 => Reply::status(403, &[]),
            3 => Reply::Say(200, Vec::new(), "<html>".to_owned()),
            _ => Reply::ip_api(asked, &[]),
        }
    })
    .await;
    scene.see(1, &public(0, 10)).await;
    let mut job = scene.ip_api(&provider);
    scene.pass(&mut job, 400).await;
    assert_eq!(times.seconds()[..5], [0, 15, 45, 105, 225]);
    assert_eq!(scene.unknown().await, 0);
}
