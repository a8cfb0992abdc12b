//! Every request is sent twice, on both transports, and again after Core was started anew.

use reqwest::Method;
use vpn_core::proto::nodeservice::ReportUsageRequest;

use super::{
    books::Difference,
    figures::judge,
    scene::{Scene, line},
};
use crate::faults::{
    crowd::Ledger,
    ledger::{Line, Report, What},
};

/// Sends a report without a name: it is known by what it says.
async fn send_unnamed(line: &Line, report: &Report) {
    if let What::Usage(entries) = &report.what {
        let request = ReportUsageRequest {
            entries: entries.clone(),
            ..ReportUsageRequest::default()
        };
        let sent = line.rpc.client.clone().report_usage(line.rpc.request(request)).await;
        assert!(sent.unwrap().into_inner().ok);
    }
    let (route, body) = report.route_and_body();
    let sent = line.http(Method::POST, route).json(&body).send().await.unwrap();
    assert_eq!(sent.text().await.unwrap(), r#"{"ok":true}"#);
}

async fn send_twice(line: &Line, named: &[Report], unnamed: &[Report]) {
    for report in named {
        for _ in 0..2 {
            assert_eq!(line.send(report).await, Ok(()));
            assert_eq!(line.send_http(report).await, Ok(()));
        }
    }
    for report in unnamed {
        send_unnamed(line, report).await;
        send_unnamed(line, report).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request() {
    let scene = Scene::shared().await;
    let core = scene.start().await;
    let first = line(&core).await;
    let named: Vec<_> = (0..30).map(|number| Report::new(1, number)).collect();
    // Without a name, what an outbound took may be the same twice; and events of one moment are the same in every twelfth report.
    let is_outbound = |report: &Report| matches!(report.what, What::Outbound(_));
    let unnamed = (100..112)
        .map(|number| Report::new(1, number))
        .filter(|report| !is_outbound(report));
    let unnamed: Vec<_> = unnamed.collect();
    let (early, early_unnamed) = (&named[..15], &unnamed[..4]);
    send_twice(&first, early, early_unnamed).await;
    // Some are in the store by now, and known there alone.
    let so_far: Vec<_> = early.iter().chain(early_unnamed).cloned().collect();
    assert_eq!(scene.settle(&so_far).await, Difference::default());
    send_twice(&first, early, early_unnamed).await;
    core.stop().await;

    let core = scene.start().await;
    let again = Line::new(core.ports, &first.key).await;
    send_twice(&again, &named, &unnamed).await;
    core.kill();
    let core = scene.start().await;
    send_twice(&Line::new(core.ports, &first.key).await, &named, &unnamed).await;
    let ledger = Ledger {
        reports: named.into_iter().chain(unnamed).collect(),
        failed: 0,
        strangers: 0,
    };
    let difference = scene.settle(&ledger.reports).await;
    core.stop().await;
    judge(
        "every request 8 times and more, on both transports",
        1,
        &ledger,
        &difference,
        "",
    );
}
