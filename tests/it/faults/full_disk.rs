//! The disk under the journal is full, or can't sync.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use reqwest::{Method, StatusCode};
use serde_json::json;
use vpn_core::{app::Parts, proto::nodeservice::HeartbeatRequest};

use super::{
    fleet::{self, Place},
    ledger::{Line, Refusal, Report},
    sums::{Sums, arrive},
};
use crate::{
    harness::{http::send, inside::Inside},
    journal::disk::{Faults, FlakyDisk},
};

async fn refuses_and_recovers(fail: impl Fn(&Faults), mend: impl Fn(&Faults)) {
    let dir = fleet::dir(1);
    let disk = Arc::new(FlakyDisk::default());
    let faults = Arc::clone(&disk.faults);
    let parts = Parts {
        disk,
        ..Parts::default()
    };
    let core = Inside::start(dir.path(), parts).await;
    let place = Place::from(core.ports);
    let line = Line::new(place, &place.enroll(1).await).await;
    let mut counted: Vec<_> = (0..6).map(|number| Report::new(1, number)).collect();
    line.send_all(&counted).await;

    fail(&faults);
    // What the open segment and the one beside it have room for may be taken: then it is over.
    let mut reports = (100..).map(|number| Report::new(1, number));
    let first_refused = loop {
        let report = reports.next().unwrap();
        match line.send(&report).await {
            Ok(()) => counted.push(report),
            Err(refused) => {
                assert_eq!(refused, Refusal::Later);
                break report;
            }
        }
    };
    let refused: Vec<_> = (1000..1006).map(|number| Report::new(1, number)).collect();
    for report in &refused {
        assert_eq!(line.send(report).await, Err(Refusal::Later));
        assert_eq!(line.send_http(report).await, Err(Refusal::Later));
    }
    for (route, body) in [
        ("/node/config/applied", json!({"revision": 1})),
        ("/node/error", json!({"message": "x"})),
    ] {
        let answer = send(line.http(Method::POST, route).json(&body)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers.contains_key("retry-after"));
    }
    let shown = place.node(1).await;
    assert_eq!(
        (&shown["appliedRevision"], &shown["syncStatus"]),
        (&json!(0), &json!("pending")),
        "what was refused did not happen"
    );
    let mut client = line.rpc.client.clone();
    client
        .heartbeat(line.rpc.request(HeartbeatRequest::default()))
        .await
        .unwrap();
    let config = send(line.http(Method::GET, "/node/config/latest")).await;
    assert_eq!(config.status, StatusCode::OK);
    let ready = reqwest::Client::new().get(format!("http://127.0.0.1:{}/readyz", place.http));
    let ready = send(ready).await;
    assert_eq!(
        (ready.status, &ready.body["journal"]),
        (StatusCode::OK, &json!("refusing"))
    );
    arrive(&dir.path().join("core.db"), &counted).await;

    mend(&faults);
    // Half of what was refused is sent again; the other half was given up by its agent, and must not appear.
    let again: Vec<_> = std::iter::once(first_refused).chain(refused[..3].to_vec()).collect();
    line.send_all(&again).await;
    counted.extend(again);
    arrive(&dir.path().join("core.db"), &counted).await;
    core.stop().await;
    let restarted = Inside::start(dir.path(), Parts::default()).await;
    restarted.stop().await;
    assert_eq!(Sums::stored(dir.path()), Sums::of(&counted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_reports_and_recovers_by_itself() {
    refuses_and_recovers(
        |faults| {
            faults.no_room.store(true, SeqCst);
            faults.failing_writes.store(u64::MAX, SeqCst);
        },
        |faults| {
            faults.no_room.store(false, SeqCst);
            faults.failing_writes.store(0, SeqCst);
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_can_not_sync_refuses_reports_and_recovers_by_itself() {
    refuses_and_recovers(
        |faults| faults.failing_syncs.store(u64::MAX, SeqCst),
        |faults| faults.failing_syncs.store(0, SeqCst),
    )
    .await;
}
