//! What the store refuses for what is in it goes alone, and holds up nothing.

use std::sync::Arc;

use serde_json::json;
use vpn_core::{
    model::{
        NodeId, Position, UserId,
        entry::{Entry, NodeFailure, Payload, Rejected, Report},
        session::SessionRow,
        usage::UsageRow,
    },
    store::{CommitOutcome, RejectedTable, Store},
};

use super::world::{
    Journal, all, by, entry, import, in_each_place, node, outbound_usage, report, second, small_import, usage,
    usage_row,
};

/// Takes over the next piece; gives the repeats and what was refused.
async fn sift(journal: &mut Journal, store: &Arc<dyn Store>, entries: Vec<Entry>) -> (u64, u64) {
    match store.commit(journal.piece(entries)).await.unwrap() {
        CommitOutcome::Committed { repeats, refused, .. } => (repeats, refused),
        CommitOutcome::Elsewhere { watermark } => panic!("the watermark is at {watermark}"),
    }
}

fn of_user(user: i64) -> UsageRow {
    UsageRow {
        user: UserId(user),
        ..usage_row(1, 2)
    }
}

fn event(user: i64) -> Entry {
    let row = SessionRow {
        user: UserId(user),
        protocol: "vless".to_owned(),
        event_type: "online".to_owned(),
        occurred_at: second(0),
        ip: None,
    };
    entry(
        1,
        second(0),
        Payload::SessionEvents(report(&format!("event {user}"), vec![row])),
    )
}

fn failure(message: &str) -> Entry {
    let failure = NodeFailure {
        revision: 1,
        message: message.to_owned(),
        code: None,
        details_json: None,
    };
    entry(1, second(0), Payload::NodeError(failure))
}

fn applied(at: i64, revision: i64) -> Entry {
    entry(1, second(at), Payload::ConfigApplied { revision })
}

fn rejected(key: &str, reason: &str) -> Entry {
    let item = Rejected {
        reason: reason.to_owned(),
        item_json: r#"{"bytesUp":-1}"#.to_owned(),
    };
    let report = Report {
        rejected: vec![item],
        ..report(key, Vec::new())
    };
    entry(1, second(0), Payload::Usage(report))
}

#[tokio::test]
async fn a_row_that_the_store_refuses_goes_alone() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        import(&*store, &small_import()).await;
        place.trap("INSERT", "usage_minutes", "new.user_id = 666").await;
        let mut journal = Journal::new();
        let mixed = entry(
            1,
            second(7),
            Payload::Usage(report("a", vec![of_user(1), of_user(666), of_user(2)])),
        );
        let entries = vec![
            usage("b", second(8), 10, 20),
            mixed.clone(),
            usage("c", second(9), 100, 200),
        ];
        assert_eq!(sift(&mut journal, &store, entries).await, (0, 1));
        assert_eq!(store.watermark(journal.id).await.unwrap(), Some(Position(3)));

        let totals = store.totals().await.unwrap();
        assert_eq!((totals.usage_up, totals.usage_down), (112, 224));
        assert_eq!((totals.subscriptions_up, totals.subscriptions_down), (112, 224));
        let aside = store.rejected(RejectedTable::Usage, all()).await.unwrap();
        assert_eq!(aside.len(), 1);
        assert!(aside[0].reason.contains("the panel says no"), "{}", aside[0].reason);
        assert_eq!(
            (aside[0].node_id, aside[0].kind.as_str(), aside[0].received_at),
            (NodeId(1), "usage", second(7))
        );
        let item = json!({
            "userId": 666, "subscriptionId": 5, "nodeProtocolId": 11, "bytesUp": 1, "bytesDown": 2,
            "recordedAt": "2026-11-24T12:00:00Z",
        });
        assert_eq!(aside[0].item, item);
        // What was put aside is a part of a report that is known now.
        assert_eq!(sift(&mut journal, &store, vec![mixed]).await, (1, 0));
    })
    .await;
}

#[tokio::test]
async fn the_quotas_of_a_sifted_batch_are_the_last_ones() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        import(&*store, &small_import()).await;
        place.trap("INSERT", "usage_minutes", "new.user_id = 666").await;
        let rows = (0..100)
            .map(|index| of_user(if index == 50 { 666 } else { index }))
            .collect();
        let batch = Journal::new().piece(vec![entry(1, second(0), Payload::Usage(report("a", rows)))]);
        let CommitOutcome::Committed { quotas, refused, .. } = store.commit(batch).await.unwrap() else {
            panic!("it was not taken over");
        };
        assert_eq!((refused, quotas.len(), quotas[0].period_bytes), (1, 1, 99 * 3));
    })
    .await;
}

#[tokio::test]
async fn many_bad_rows_among_many_good_ones() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        place.trap("INSERT", "usage_minutes", "new.user_id % 1000 = 666").await;
        let entries = (0..50).map(|report_of: i64| {
            let rows = (0..100).map(|row| of_user(report_of * 100 + row)).collect();
            entry(
                1,
                second(0),
                Payload::Usage(report(&format!("report {report_of}"), rows)),
            )
        });
        assert_eq!(sift(&mut Journal::new(), &store, entries.collect()).await, (0, 5));
        assert_eq!(store.totals().await.unwrap().usage_down, 2 * 4_995);
        let aside = store.rejected(RejectedTable::Usage, all()).await.unwrap();
        let users: Vec<_> = aside.iter().map(|row| row.item["userId"].clone()).collect();
        assert_eq!(users, [4_666, 3_666, 2_666, 1_666, 666]);
    })
    .await;
}

#[tokio::test]
async fn a_bad_piece_of_any_kind_goes_alone() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        import(&*store, &small_import()).await;
        place.trap("INSERT", "session_events", "new.user_id = 666").await;
        place.trap("INSERT", "node_errors", "new.message = 'poison'").await;
        place.trap("UPDATE", "nodes", "new.applied_revision = 666").await;
        place
            .trap("UPDATE", "node_outbounds", "new.traffic_bytes_up = 666")
            .await;
        place
            .trap("UPDATE", "subscriptions", "new.traffic_bytes_up = 666")
            .await;
        place.trap("INSERT", "usage_rejected", "new.reason = 'poison'").await;
        let entries = vec![
            usage("a", second(0), 666, 0),
            event(1),
            event(666),
            event(2),
            failure("poison"),
            failure("port in use"),
            outbound_usage("b", second(0), "direct", 666, 0),
            outbound_usage("c", second(0), "direct", 1, 0),
            rejected("d", "poison"),
            rejected("e", "entries[0]: bytesUp is negative"),
            applied(1, 666),
            applied(2, 3),
            usage("f", second(0), 5, 0),
        ];
        let mut journal = Journal::new();
        // The sums of the whole batch pass the traps; its parts are refused where they stand alone.
        assert_eq!(sift(&mut journal, &store, entries).await, (0, 6));
        assert_eq!(store.watermark(journal.id).await.unwrap(), Some(Position(13)));

        let totals = store.totals().await.unwrap();
        assert_eq!(
            (totals.session_events, totals.usage_up, totals.subscriptions_up),
            (2, 5, 5)
        );
        assert_eq!(totals.outbounds_up, 1);
        assert_eq!(store.node_errors(NodeId(1), all()).await.unwrap().len(), 1);
        assert_eq!(node(&*store, NodeId(1)).await.state.applied_revision, 3);
        let kinds = async |table| -> Vec<String> {
            let rows = store.rejected(table, all()).await.unwrap();
            rows.into_iter().map(|row| row.kind).rev().collect()
        };
        assert_eq!(
            kinds(RejectedTable::Usage).await,
            ["usage", "outbound-usage", "usage", "usage"]
        );
        assert_eq!(
            kinds(RejectedTable::Events).await,
            ["session-events", "error", "config-applied"]
        );
    })
    .await;
}

#[tokio::test]
async fn what_can_not_even_be_put_aside_holds_up_nothing() {
    in_each_place(|place| async move {
        let store = place.open();
        store.migrate().await.unwrap();
        import(&*store, &small_import()).await;
        for (table, when) in [
            ("usage_minutes", "new.user_id = 666"),
            ("session_events", "new.user_id = 666"),
            ("usage_rejected", "1 = 1"),
            ("events_rejected", "1 = 1"),
        ] {
            place.trap("INSERT", table, when).await;
        }
        let bad = entry(1, second(0), Payload::Usage(report("a", vec![of_user(666)])));
        let entries = vec![bad, event(666), usage("b", second(0), 1, 2)];
        let mut journal = Journal::new();
        assert_eq!(sift(&mut journal, &store, entries).await, (0, 2));
        assert_eq!(store.totals().await.unwrap().usage_down, 2);
        assert_eq!(store.rejected(RejectedTable::Usage, all()).await.unwrap(), []);
        // And the store goes on.
        assert!(store.delete_node(NodeId(1), &by("admin")).await.unwrap());
    })
    .await;
}
