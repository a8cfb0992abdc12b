//! What nodes report besides bytes: events, items that do not count, errors, the revision that they run.

use serde_json::json;
use vpn_core::{
    model::{
        NodeId, ProtocolId, UserId,
        entry::{Entry, NodeFailure, Payload, Rejected, Report},
        node::{NodeStatus, StoredState, SyncStatus},
        node_config::ConfigHash,
        session::SessionRow,
        usage::UsageRow,
    },
    store::{Page, RejectedTable},
};

use super::world::{Journal, address, all, entry, make_node, node, on_each, report, second, settle, usage_row};

fn failure(revision: i64, message: &str) -> NodeFailure {
    NodeFailure {
        revision,
        message: message.to_owned(),
        code: None,
        details_json: None,
    }
}

fn failed(node: NodeId, at: i64, failure: NodeFailure) -> Entry {
    entry(node.0, second(at), Payload::NodeError(failure))
}

fn applied(node: NodeId, at: i64, revision: i64) -> Entry {
    entry(node.0, second(at), Payload::ConfigApplied { revision })
}

fn rejected(reason: &str, item_json: &str) -> Rejected {
    Rejected {
        reason: reason.to_owned(),
        item_json: item_json.to_owned(),
    }
}

#[tokio::test]
async fn events_are_kept_once() {
    on_each(|store| async move {
        let row = |ip| SessionRow {
            user: UserId(404),
            protocol: "Tunnel9".to_owned(),
            event_type: "online".to_owned(),
            occurred_at: second(0),
            ip,
        };
        let rows = vec![row(None), row(Some(address("2001:db8::1"))), row(None)];
        let events = entry(404, second(0), Payload::SessionEvents(report("a", rows)));
        let mut journal = Journal::new();
        assert_eq!(journal.flush(&*store, vec![events.clone(), events]).await, (1, 0));
        assert_eq!(store.totals().await.unwrap().session_events, 3);
    })
    .await;
}

#[tokio::test]
async fn items_that_do_not_count_are_put_aside() {
    on_each(|store| async move {
        let usage = Payload::Usage(Report {
            rejected: vec![rejected("entries[0]: bytesUp is negative", r#"{"bytesUp":-1}"#)],
            ..report("a", vec![usage_row(1, 1)])
        });
        let outbounds = Payload::OutboundUsage(Report {
            rejected: vec![rejected("items[0]: tag", "not json")],
            ..report("a", Vec::new())
        });
        let events = Payload::SessionEvents(Report {
            rejected: vec![rejected("events[0]: userId is negative", r#"{"userId":-1}"#)],
            ..report("a", Vec::new())
        });
        let entries = vec![
            entry(1, second(1), usage.clone()),
            entry(2, second(2), outbounds),
            entry(3, second(3), events),
            entry(1, second(4), usage),
        ];
        assert_eq!(Journal::new().flush(&*store, entries).await, (1, 0));

        let rows = store.rejected(RejectedTable::Usage, all()).await.unwrap();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.node_id, row.kind.as_str(), row.received_at))
            .collect();
        assert_eq!(
            seen,
            [
                (NodeId(2), "outbound-usage", second(2)),
                (NodeId(1), "usage", second(1))
            ]
        );
        assert_eq!(
            (&rows[0].item, &rows[1].item),
            (&json!("not json"), &json!({ "bytesUp": -1 }))
        );
        assert_eq!(rows[1].reason, "entries[0]: bytesUp is negative");
        let page = Page {
            before: Some(rows[0].id),
            limit: 5,
        };
        assert_eq!(store.rejected(RejectedTable::Usage, page).await.unwrap(), rows[1..]);

        let rows = store.rejected(RejectedTable::Events, all()).await.unwrap();
        assert_eq!(
            (rows.len(), rows[0].node_id, rows[0].kind.as_str()),
            (1, NodeId(3), "session-events")
        );
    })
    .await;
}

#[tokio::test]
async fn the_last_hundred_errors_of_a_node_are_kept() {
    on_each(|store| async move {
        let id = make_node(&*store, "edge").await.id;
        let stranger = NodeId(404);
        let mut journal = Journal::new();
        journal
            .flush(&*store, vec![failed(stranger, 0, failure(1, "alone"))])
            .await;
        let many = |from: i64, to: i64| (from..to).map(|index| failed(id, index, failure(index, "x"))).collect();
        journal.flush(&*store, many(0, 60)).await;
        journal.flush(&*store, many(60, 149)).await;
        let full = NodeFailure {
            code: Some("E1".to_owned()),
            details_json: Some(r#"{"port":443}"#.to_owned()),
            ..failure(149, "port in use")
        };
        journal.flush(&*store, vec![failed(id, 149, full)]).await;

        let errors = store.node_errors(id, all()).await.unwrap();
        assert_eq!(
            errors.iter().map(|error| error.revision).collect::<Vec<_>>(),
            (50..150).rev().collect::<Vec<_>>()
        );
        assert_eq!(
            (errors[0].message.as_str(), errors[0].code.as_deref()),
            ("port in use", Some("E1"))
        );
        assert_eq!(
            (&errors[0].details, errors[0].at),
            (&Some(json!({ "port": 443 })), second(149))
        );
        let page = Page {
            before: Some(errors[1].id),
            limit: 3,
        };
        assert_eq!(store.node_errors(id, page).await.unwrap(), errors[2..5]);
        assert_eq!(store.node_errors(stranger, all()).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_node_is_synced_when_it_runs_what_it_should() {
    on_each(|store| async move {
        let id = make_node(&*store, "edge").await.id;
        let mut journal = Journal::new();
        let state = || async { node(&*store, id).await.state };

        journal.flush(&*store, vec![applied(id, 1, 1)]).await;
        assert_eq!(
            (state().await.applied_revision, state().await.sync_status),
            (1, SyncStatus::Synced)
        );
        assert_eq!(state().await.status, NodeStatus::Pending);

        journal.flush(&*store, vec![failed(id, 2, failure(1, "x"))]).await;
        assert_eq!(
            (state().await.status, state().await.sync_status),
            (NodeStatus::Error, SyncStatus::Failed)
        );
        assert_eq!(state().await.applied_revision, 1);

        settle(&*store, id, ConfigHash([1; 32]), 4).await;
        journal
            .flush(&*store, vec![failed(id, 3, failure(1, "x")), applied(id, 4, 4)])
            .await;
        assert_eq!(
            (state().await.status, state().await.sync_status),
            (NodeStatus::Online, SyncStatus::Pending)
        );
        journal.flush(&*store, vec![applied(id, 5, 5)]).await;
        assert_eq!(
            (state().await.applied_revision, state().await.sync_status),
            (5, SyncStatus::Synced)
        );
    })
    .await;
}

#[tokio::test]
async fn an_older_report_does_not_undo_a_newer_state() {
    on_each(|store| async move {
        let id = make_node(&*store, "edge").await.id;
        let newer = StoredState {
            status: NodeStatus::Offline,
            sync_status: SyncStatus::Synced,
            applied_revision: 1,
            last_seen_at: Some(second(50)),
        };
        store.save_states(second(100), &[(id, newer)]).await.unwrap();
        let mut journal = Journal::new();
        journal.flush(&*store, vec![failed(id, 99, failure(1, "late"))]).await;
        assert_eq!(node(&*store, id).await.state, newer);
        assert_eq!(store.node_errors(id, all()).await.unwrap().len(), 1);
        journal.flush(&*store, vec![applied(id, 99, 9)]).await;
        assert_eq!(node(&*store, id).await.state, newer);

        journal.flush(&*store, vec![applied(id, 200, 7)]).await;
        store.save_states(second(150), &[(id, newer)]).await.unwrap();
        assert_eq!(node(&*store, id).await.state.applied_revision, 7);
    })
    .await;
}

#[tokio::test]
async fn equal_keys_of_a_report_come_to_one_sum() {
    on_each(|store| async move {
        let other = UsageRow {
            protocol: ProtocolId(12),
            ..usage_row(1, 1)
        };
        let rows = vec![usage_row(1, 2), other, usage_row(10, 20)];
        Journal::new()
            .flush(&*store, vec![entry(1, second(0), Payload::Usage(report("a", rows)))])
            .await;
        let totals = store.totals().await.unwrap();
        assert_eq!((totals.usage_up, totals.usage_down), (12, 23));
    })
    .await;
}
