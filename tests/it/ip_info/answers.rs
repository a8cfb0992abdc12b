//! What becomes of answers.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    scene::{Scene, TOKEN, public},
    stand_in::{Reply, StandIn},
};
use crate::faults::store::{FaultyStore, Mood};

#[tokio::test]
async fn one_look_up_of_an_address_goes_to_all_its_rows() {
    let scene = Scene::new().await;
    let provider = StandIn::new(|asked, _| Reply::ip_api(asked, &[])).await;
    let ip = ["2a00:1450::5".to_owned()];
    for user in 1..=3 {
        scene.see(user, &ip).await;
    }
    let mut job = scene.ip_api(&provider);
    scene.pass(&mut job, 5).await;
    assert_eq!(provider.ips(), ip);
    let head = &provider.asked()[0].head;
    assert!(head.starts_with("POST /batch?fields="), "{head}");
    for user in 1..=3 {
        let mut info = scene.infos(user).await[0].clone().unwrap();
        assert_eq!(info["raw"].take()["as"], "AS64500 The Net");
        assert_eq!(
            info,
            json!({
                "provider": "ip-api", "fetchedAt": "2026-11-24T12:00:00Z", "country": "NL", "region": "North Holland", "city": "Amsterdam",
                "asn": "AS64500", "org": "The Org", "isp": "The Isp", "proxy": true, "hosting": false, "raw": null,
            })
        );
    }
}

#[tokio::test]
async fn ipinfo_takes_a_thousand_at_once_and_its_token_is_in_no_url() {
    let scene = Scene::new().await;
    let provider = StandIn::new(|asked, _| Reply::ipinfo(asked)).await;
    scene.see(1, &public(0, 1_200)).await;
    let mut job = scene.ipinfo(&provider);
    scene.pass(&mut job, 5).await;
    let sizes: Vec<_> = provider.asked().iter().map(|it| it.ips.len()).collect();
    assert_eq!(sizes, [1_000, 200]);
    for asked in provider.asked() {
        let head = asked.head.to_lowercase();
        assert!(head.starts_with("post /batch http/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("\r\nauthorization: bearer {TOKEN}")), "{head}");
        assert_eq!(head.matches(TOKEN).count(), 1);
    }
    let info = scene.infos(1).await[0].clone().unwrap();
    assert_eq!(
        (&info["provider"], &info["asn"], &info["country"]),
        (&json!("ipinfo"), &json!("AS64500"), &json!("NL"))
    );
}

#[tokio::test]
async fn a_private_address_is_never_sent() {
    let scene = Scene::new().await;
    let provider = StandIn::new(|asked, _| Reply::ip_api(asked, &[])).await;
    let private = [
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.2.1",
        "192.168.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "2001:db8::1",
        "fd00::1",
        "fe80::1",
        "ff02::1",
    ];
    let private: Vec<_> = private.into_iter().map(str::to_owned).collect();
    scene.see(1, &private).await;
    scene.see(2, &public(0, 1)).await;
    // More than the job reads at once.
    let many: Vec<_> = (0..2_500).map(|n| format!("10.1.{}.{}", n / 250, n % 250)).collect();
    scene.see(3, &many).await;
    let mut job = scene.ip_api(&provider);
    scene.pass(&mut job, 700).await;
    assert_eq!(provider.ips(), public(0, 1));
    assert!(scene.infos(1).await.iter().all(Option::is_none));
    assert!(scene.infos(2).await[0].is_some());
}

#[tokio::test]
async fn what_a_provider_knows_nothing_of_is_not_asked_for_again_that_day() {
    let scene = Scene::new().await;
    let provider = StandIn::new(|asked, _| {
        let fail = json!({"query": asked.ips[0], "status": "fail", "message": "reserved range"});
        Reply::Say(200, Vec::new(), json!([fail]).to_string())
    })
    .await;
    scene.see(1, &public(0, 3)).await;
    let mut job = scene.ip_api(&provider);
    scene.pass(&mut job, 2_000).await;
    assert_eq!(provider.calls(), 1);
    let infos = scene.infos(1).await;
    let info = |at: usize| infos[at].clone().unwrap();
    assert_eq!(
        (&info(0)["country"], &info(0)["raw"]["message"]),
        (&Value::Null, &json!("reserved range"))
    );
    assert_eq!(
        (&info(1)["provider"], &info(2)["raw"]),
        (&json!("ip-api"), &Value::Null)
    );
}

#[tokio::test]
async fn an_endless_answer_is_left_after_some_megabytes() {
    let scene = Scene::new().await;
    let provider = StandIn::new(|asked, number| match number {
        0 => Reply::Huge { told: true },
        1 => Reply::Huge { told: false },
        _ => Reply::ip_api(asked, &[]),
    })
    .await;
    scene.see(1, &public(0, 2)).await;
    let mut job = scene.ip_api(&provider);
    scene.pass(&mut job, 120).await;
    assert!(
        provider.written() < 128 << 20,
        "{} bytes were taken",
        provider.written()
    );
    assert!(provider.calls() >= 3);
    assert_eq!(scene.unknown().await, 0);
}

#[tokio::test]
async fn an_answer_of_more_objects_than_anybody_needs_is_not_read() {
    let scene = Scene::new().await;
    let provider = StandIn::new(|asked, number| match (number, Reply::ip_api(asked, &[])) {
        (0, Reply::Say(status, headers, body)) => {
            let more = vec!["{}"; 20_000].join(",");
            Reply::Say(status, headers, format!("[{more},{}", &body[1..]))
        }
        (_, reply) => reply,
    })
    .await;
    scene.see(1, &public(0, 2)).await;
    let mut job = scene.ip_api(&provider);
    job.step().await;
    assert_eq!((provider.calls(), scene.unknown().await), (1, 2));
    scene.pass(&mut job, 120).await;
    assert_eq!(scene.unknown().await, 0);
}

/// The one test that takes its time: 10 s.
#[tokio::test]
async fn a_provider_that_does_not_answer_is_left_in_10_s() {
    let scene = Scene::new().await;
    let provider = StandIn::new(|asked, number| match number {
        0 => Reply::Nothing,
        _ => Reply::ip_api(asked, &[]),
    })
    .await;
    scene.see(1, &public(0, 2)).await;
    let mut job = scene.ip_api(&provider);
    tokio::time::timeout(crate::harness::PATIENCE, job.step())
        .await
        .expect("it gives up by itself");
    assert_eq!((provider.calls(), scene.unknown().await), (1, 2));
    scene.pass(&mut job, 30).await;
    assert_eq!(scene.unknown().await, 0);
}

/// What was found out is kept when the store is back, and is not asked for again.
#[tokio::test]
async fn no_answer_is_lost_while_the_store_is_away() {
    let mut scene = Scene::new().await;
    scene.see(1, &public(0, 2)).await;
    let store = FaultyStore::open(&scene.file(), Mood::Well);
    let away = Arc::clone(&store);
    let provider = StandIn::new(move |asked, _| {
        away.feel(Mood::Away);
        Reply::ip_api(asked, &[])
    })
    .await;
    scene.store = store.clone();
    let mut job = scene.ip_api(&provider);
    scene.pass(&mut job, 5).await;
    store.feel(Mood::Well);
    assert_eq!((provider.calls(), scene.unknown().await), (1, 2));
    scene.clock.advance(Duration::from_secs(1));
    scene.pass(&mut job, 5).await;
    assert_eq!((provider.calls(), scene.unknown().await), (1, 0));
}
