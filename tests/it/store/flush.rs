//! The exactly-once takeover of a journal: watermarks, repeats, sums.

use std::{sync::Arc, time::Duration};

use vpn_core::{
    model::{
        JournalId, NodeId, Position, ProtocolId, SubscriptionId, UserId,
        entry::{Entry, Identity, KEYLESS_OUTBOUND_WINDOW, Payload, REPEAT_WINDOW, Report},
        quota::Quota,
        usage::UsageRow,
    },
    store::{Batch, CommitOutcome, StoreError, Totals},
};

use super::world::{
    Journal, entry, import, in_each_place, on_each, outbound_usage, report, roll_up, second, small_import, usage,
    usage_row,
};

#[tokio::test]
async fn bytes_reach_every_sum() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let mut journal = Journal::new();
        let entries = vec![
            usage("a", second(0), 10, 20),
            usage("b", second(1), 1, 2),
            outbound_usage("c", second(1), "direct", 100, 200),
            outbound_usage("d", second(1), "out-21", 1_000, 2_000),
        ];
        assert_eq!(journal.flush(&*store, entries).await, (0, 0));
        let totals = Totals {
            usage_up: 11,
            usage_down: 22,
            hours_up: 11,
            hours_down: 22,
            days_up: 11,
            days_down: 22,
            subscriptions_up: 11,
            subscriptions_down: 22,
            outbounds_up: 1_100,
            outbounds_down: 2_200,
            session_events: 0,
        };
        roll_up(&*store).await;
        assert_eq!(store.totals().await.unwrap(), totals);
        assert_eq!(store.watermark(journal.id).await.unwrap(), Some(Position(4)));
    })
    .await;
}

#[tokio::test]
async fn an_unknown_owner_does_not_stop_its_bytes() {
    on_each(|store| async move {
        let stranger = UsageRow {
            user: UserId(404),
            subscription: Some(SubscriptionId(404)),
            protocol: ProtocolId(404),
            ..usage_row(3, 4)
        };
        let nobodys = UsageRow {
            subscription: None,
            ..usage_row(5, 6)
        };
        let entries = vec![
            entry(404, second(0), Payload::Usage(report("a", vec![stranger, nobodys]))),
            outbound_usage("b", second(0), "nowhere", 7, 8),
        ];
        assert_eq!(Journal::new().flush(&*store, entries).await, (0, 0));
        let totals = store.totals().await.unwrap();
        assert_eq!((totals.usage_up, totals.usage_down), (8, 10));
        assert_eq!((totals.subscriptions_up, totals.outbounds_up), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_repeat_counts_once() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let mut journal = Journal::new();
        // Inside one batch, and in a later one.
        let twice = vec![usage("a", second(0), 10, 20), usage("a", second(1), 10, 20)];
        assert_eq!(journal.flush(&*store, twice).await, (1, 0));
        assert_eq!(
            journal.flush(&*store, vec![usage("a", second(2), 10, 20)]).await,
            (1, 0)
        );
        // In the piece of another journal, too.
        assert_eq!(
            Journal::new().flush(&*store, vec![usage("a", second(3), 10, 20)]).await,
            (1, 0)
        );
        assert_eq!(store.totals().await.unwrap().usage_up, 10);
    })
    .await;
}

#[tokio::test]
async fn an_identity_belongs_to_its_node_and_its_call() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let elsewhere = Entry {
            node: NodeId(2),
            ..usage("a", second(0), 10, 20)
        };
        let entries = vec![
            usage("a", second(0), 10, 20),
            elsewhere,
            outbound_usage("a", second(0), "direct", 1, 1),
        ];
        assert_eq!(Journal::new().flush(&*store, entries).await, (0, 0));
        let totals = store.totals().await.unwrap();
        assert_eq!((totals.usage_up, totals.outbounds_up), (20, 1));
    })
    .await;
}

#[tokio::test]
async fn a_repeat_is_known_for_as_long_as_its_window() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let mut journal = Journal::new();
        let day = i64::try_from(REPEAT_WINDOW.as_secs()).unwrap();
        for (at, repeats) in [
            (0, 0),
            (day - 1, 1),
            (day, 0),
            (day + 1, 1),
            (2 * day - 1, 1),
            (2 * day, 0),
        ] {
            assert_eq!(
                journal.flush(&*store, vec![usage("a", second(at), 1, 1)]).await.0,
                repeats,
                "{at}"
            );
        }
        assert_eq!(store.totals().await.unwrap().usage_up, 3);
    })
    .await;
}

/// An outbound report without a key: known for 30 s only.
fn keyless(at: i64) -> Entry {
    let Payload::OutboundUsage(report) = outbound_usage("", second(at), "direct", 1, 2).payload else {
        unreachable!("it was just made");
    };
    let identity = Identity::of_items(KEYLESS_OUTBOUND_WINDOW, |hash| hash.text("direct"));
    entry(1, second(at), Payload::OutboundUsage(Report { identity, ..report }))
}

#[tokio::test]
async fn a_repeat_does_not_lengthen_the_window() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let mut journal = Journal::new();
        for (at, repeats) in [(0, 0), (20, 1), (29, 1), (30, 0), (59, 1), (60, 0)] {
            assert_eq!(journal.flush(&*store, vec![keyless(at)]).await.0, repeats, "{at}");
        }
        // The same inside one batch.
        assert_eq!(journal.flush(&*store, [90, 119, 120].map(keyless).to_vec()).await.0, 1);
        assert_eq!(store.totals().await.unwrap().outbounds_down, 2 * 5);
    })
    .await;
}

#[tokio::test]
async fn old_identities_are_cleared_away_and_young_ones_kept() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let mut journal = Journal::new();
        let hours = |hours: u64| second(0).plus(Duration::from_hours(hours));
        let old = (0..50)
            .map(|index| usage(&format!("old {index}"), hours(0), 1, 1))
            .collect();
        journal.flush(&*store, old).await;
        journal.flush(&*store, vec![usage("young", hours(10), 1, 1)]).await;
        // The clearing of this commit must not touch what is younger than a day.
        journal.flush(&*store, vec![usage("late", hours(30), 1, 1)]).await;
        assert_eq!(journal.flush(&*store, vec![usage("young", hours(31), 1, 1)]).await.0, 1);
        assert_eq!(journal.flush(&*store, vec![usage("old 7", hours(31), 1, 1)]).await.0, 0);
    })
    .await;
}

#[tokio::test]
async fn a_watermark_must_be_where_the_batch_begins() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let journal = JournalId::random();
        let batch = |after, upto, key: &str| Batch {
            journal,
            instance: "core-1".to_owned(),
            after: Position(after),
            upto: Position(upto),
            entries: vec![usage(key, second(0), 1, 1)],
        };
        let elsewhere = |position| CommitOutcome::Elsewhere {
            watermark: Position(position),
        };
        assert_eq!(store.watermark(journal).await.unwrap(), None);
        assert_eq!(store.commit(batch(5, 6, "a")).await.unwrap(), elsewhere(0));
        assert_eq!(store.watermark(journal).await.unwrap(), None);
        let done = |period_bytes| CommitOutcome::Committed {
            repeats: 0,
            saturated: 0,
            refused: 0,
            quotas: vec![Quota {
                subscription: SubscriptionId(5),
                period_bytes,
                period_started_at: None,
            }],
        };
        assert_eq!(store.commit(batch(0, 5, "a")).await.unwrap(), done(2));
        assert_eq!(store.commit(batch(0, 6, "b")).await.unwrap(), elsewhere(5));
        assert_eq!(store.commit(batch(4, 6, "b")).await.unwrap(), elsewhere(5));
        assert_eq!(store.commit(batch(5, 6, "b")).await.unwrap(), done(4));
        assert_eq!(store.totals().await.unwrap().usage_up, 2);

        let backwards = store.commit(batch(6, 5, "c")).await;
        assert!(matches!(backwards, Err(StoreError::Contradiction(_))), "{backwards:?}");
        assert_eq!(store.watermark(journal).await.unwrap(), Some(Position(6)));
        assert_eq!(store.totals().await.unwrap().usage_up, 2);
    })
    .await;
}

#[tokio::test]
async fn an_empty_batch_moves_the_watermark() {
    on_each(|store| async move {
        let mut journal = Journal::new();
        let damaged = Batch {
            upto: Position(9),
            ..journal.piece(Vec::new())
        };
        let outcome = store.commit(damaged).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
        assert_eq!(store.watermark(journal.id).await.unwrap(), Some(Position(9)));
        assert_eq!(store.watermark(JournalId::random()).await.unwrap(), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_committers_of_one_piece_one_is_late() {
    in_each_place(|place| async move {
        // Two doors to one store, as two processes would have.
        let stores = [place.open(), place.open()];
        stores[0].migrate().await.unwrap();
        import(&*stores[0], &small_import()).await;
        let mut journal = Journal::new();
        for round in 0..20 {
            let piece = journal.piece(vec![usage(&format!("round {round}"), second(round), 1, 2)]);
            let racers: Vec<_> = stores
                .iter()
                .map(|store| {
                    let (store, piece) = (Arc::clone(store), piece.clone());
                    tokio::spawn(async move { store.commit(piece).await.unwrap() })
                })
                .collect();
            let mut taken = 0;
            for racer in racers {
                match racer.await.unwrap() {
                    CommitOutcome::Committed { .. } => taken += 1,
                    CommitOutcome::Elsewhere { watermark } => assert_eq!(watermark, piece.upto),
                }
            }
            assert_eq!(taken, 1);
        }
        let totals = stores[1].totals().await.unwrap();
        assert_eq!((totals.usage_up, totals.subscriptions_down), (20, 40));
    })
    .await;
}

#[tokio::test]
async fn sums_are_held_where_they_do_not_fit() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let mut journal = Journal::new();
        assert_eq!(
            journal
                .flush(&*store, vec![usage("a", second(0), i64::MAX - 10, 0)])
                .await,
            (0, 0)
        );
        // The row fits; the subscription and the inbound do not.
        assert_eq!(journal.flush(&*store, vec![usage("b", second(0), 11, 5)]).await, (0, 2));
        // The sum of this batch does not fit a row, either.
        let two = vec![usage("c", second(0), 0, i64::MAX), usage("d", second(0), 0, i64::MAX)];
        assert_eq!(journal.flush(&*store, two).await, (0, 3));
        let outbounds = vec![
            outbound_usage("e", second(0), "direct", i64::MAX - 1, 1),
            outbound_usage("f", second(0), "block", i64::MAX - 1, 1),
        ];
        assert_eq!(journal.flush(&*store, outbounds).await, (0, 0));
        assert_eq!(
            journal
                .flush(&*store, vec![outbound_usage("g", second(0), "direct", 5, 1)])
                .await,
            (0, 1)
        );
        let totals = store.totals().await.unwrap();
        assert_eq!((totals.usage_up, totals.usage_down), (i64::MAX, i64::MAX));
        assert_eq!(
            (totals.subscriptions_up, totals.subscriptions_down),
            (i64::MAX, i64::MAX)
        );
        assert_eq!((totals.outbounds_up, totals.outbounds_down), (i64::MAX, 3));
        // And the store goes on.
        journal.flush(&*store, vec![usage("h", second(0), 1, 1)]).await;
    })
    .await;
}

#[tokio::test]
async fn another_opening_finds_everything() {
    in_each_place(|place| async move {
        let mut journal = Journal::new();
        let before = {
            let store = place.open();
            store.migrate().await.unwrap();
            import(&*store, &small_import()).await;
            journal.flush(&*store, vec![usage("a", second(0), 10, 20)]).await;
            (store.load_fleet().await.unwrap(), store.totals().await.unwrap())
        };
        let store = place.open();
        assert_eq!(store.migrate().await.unwrap(), Vec::<String>::new());
        assert_eq!(
            (store.load_fleet().await.unwrap(), store.totals().await.unwrap()),
            before
        );
        assert_eq!(store.watermark(journal.id).await.unwrap(), Some(Position(1)));
        assert_eq!(
            journal.flush(&*store, vec![usage("a", second(1), 10, 20)]).await,
            (1, 0)
        );
    })
    .await;
}
