//! The sums by hour and day hang or fail: the flush goes on, and they are tried again.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use vpn_core::app::Parts;

use super::{
    fleet::{self, Place},
    ledger::{Line, Report},
    store::{FaultyStore, Mood},
    sums::arrive,
};
use crate::harness::{eventually, inside::Inside};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_and_days_do_not_hold_up_the_flush() {
    let dir = fleet::dir(1);
    let file = dir.path().join("core.db");
    let store = FaultyStore::open(&file, Mood::Well);
    store.rolling.send_replace(Mood::Hanging);
    let parts = Parts {
        store: Some(Arc::clone(&store) as Arc<_>),
        ..Parts::default()
    };
    let core = Inside::start(dir.path(), parts).await;
    let place = Place::from(core.ports);
    let key = place.enroll(1).await;
    let line = Line::new(place, &key).await;
    let mut reports = Vec::new();
    for mood in [Mood::Hanging, Mood::Away, Mood::Well] {
        store.rolling.send_replace(mood);
        let first = i64::try_from(reports.len()).unwrap();
        let more: Vec<_> = (first..first + 6).map(|number| Report::new(1, number)).collect();
        line.send_all(&more).await;
        reports.extend(more);
        arrive(&file, &reports).await;
        if mood == Mood::Away {
            let tried = store.rolls.load(SeqCst);
            eventually("it is tried again", || {
                std::future::ready((store.rolls.load(SeqCst) >= tried + 2).then_some(()))
            })
            .await;
        }
    }
    core.stop().await;
}
