//! What subscriptions have used, their states, and their periods.

use serde_json::json;
use vpn_core::{
    model::{
        SubscriptionId, Time,
        catalog::{ResetStrategy, Subscription, SubscriptionStatus},
        quota::{Quota, StatusChange},
    },
    store::{CommitOutcome, Store},
};

use super::world::{Journal, all, by, catalog, import, on_each, second, small_import, usage};

const ID: SubscriptionId = SubscriptionId(5);

fn at(text: &str) -> Time {
    Time::parse_rfc3339(text).unwrap()
}

fn quota(period_bytes: i64, period_started_at: Option<Time>) -> Quota {
    Quota {
        subscription: ID,
        period_bytes,
        period_started_at,
    }
}

/// Takes over the piece; gives the quotas that grew.
async fn flush(store: &dyn Store, journal: &mut Journal, key: &str, up: i64, down: i64) -> Vec<Quota> {
    let piece = journal.piece(vec![usage(key, second(0), up, down)]);
    match store.commit(piece).await.unwrap() {
        CommitOutcome::Committed { quotas, .. } => quotas,
        CommitOutcome::Elsewhere { watermark } => panic!("the watermark is at {watermark}"),
    }
}

async fn status(store: &dyn Store) -> SubscriptionStatus {
    catalog(store).await.subscriptions[0].status
}

#[tokio::test]
async fn a_flush_tells_what_was_used() {
    on_each(|store| async move {
        let mut journal = Journal::new();
        assert_eq!(flush(&*store, &mut journal, "nobody's", 1, 2).await, []);
        import(&*store, &small_import()).await;
        assert_eq!(store.load_fleet().await.unwrap().quotas, [quota(0, None)]);
        assert_eq!(flush(&*store, &mut journal, "a", 1, 2).await, [quota(3, None)]);
        assert_eq!(flush(&*store, &mut journal, "b", 10, 20).await, [quota(33, None)]);
        assert_eq!(
            flush(&*store, &mut journal, "b", 10, 20).await,
            [],
            "a repeat counts nothing"
        );
        assert_eq!(store.load_fleet().await.unwrap().quotas, [quota(33, None)]);
        let ids = [SubscriptionId(404), ID];
        let done = store.reset_subscriptions(&ids, second(9), &by("admin")).await.unwrap();
        assert_eq!(done, [ID]);
        assert_eq!(store.load_fleet().await.unwrap().quotas, [quota(0, Some(second(9)))]);
        let grown = flush(&*store, &mut journal, "c", 1, 1).await;
        assert_eq!(grown, [quota(2, Some(second(9)))]);
        assert_eq!(store.totals().await.unwrap().subscriptions_up, 12);

        // Without a limit there is nothing to hold it against, but the flush still tells.
        let mut unlimited = small_import();
        unlimited.catalog.subscriptions[0].traffic_limit_bytes = None;
        import(&*store, &unlimited).await;
        assert_eq!(store.load_fleet().await.unwrap().quotas, []);
        assert_eq!(flush(&*store, &mut journal, "d", 1, 1).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_status_changes_only_from_what_it_was() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let limit = |id| StatusChange {
            subscription: SubscriptionId(id),
            from: SubscriptionStatus::Active,
            to: SubscriptionStatus::Limited,
        };
        let core = by("core");
        let seq = store.catalog_seq().await.unwrap();
        let changed = store.change_statuses(&[limit(404), limit(5)], &core).await.unwrap();
        assert_eq!(changed, [ID]);
        assert_eq!(status(&*store).await, SubscriptionStatus::Limited);
        assert!(store.catalog_seq().await.unwrap() > seq);
        assert_eq!(store.change_statuses(&[limit(5)], &core).await.unwrap(), []);
        let audit = store.audit(all()).await.unwrap();
        assert_eq!(
            (
                audit.len(),
                audit[0].action.as_str(),
                audit[0].actor.as_str(),
                audit[0].subject_id
            ),
            (2, "subscription.update", "core", Some(5))
        );
        assert_eq!(
            audit[0].details,
            json!({ "before": { "status": "active" }, "after": { "status": "limited" } })
        );
    })
    .await;
}

#[tokio::test]
async fn a_reset_revives_only_what_was_limited() {
    on_each(|store| async move {
        use SubscriptionStatus::{Active, Expired, Limited, Paused};
        for (before, after) in [
            (Active, Active),
            (Limited, Active),
            (Paused, Paused),
            (Expired, Expired),
        ] {
            let mut sent = small_import();
            sent.catalog.subscriptions[0].status = before;
            import(&*store, &sent).await;
            let seq = store.catalog_seq().await.unwrap();
            store.reset_subscriptions(&[ID], second(1), &by("admin")).await.unwrap();
            assert_eq!(status(&*store).await, after);
            assert_eq!(
                store.catalog_seq().await.unwrap() > seq,
                before != after,
                "a counter is no change"
            );
        }
        let audit = store.audit(all()).await.unwrap();
        let limited = audit
            .iter()
            .find(|it| it.details["before"]["status"] == "limited")
            .unwrap();
        assert_eq!(
            (limited.action.as_str(), limited.actor.as_str()),
            ("subscription.reset", "admin")
        );
        assert_eq!(
            limited.details["after"],
            json!({ "periodBytes": 0, "status": "active" })
        );
    })
    .await;
}

/// One subscription for each strategy, made on Tuesday 2026-11-24 at 12:00; 5 never ends by itself, 6 daily, 7 weekly, 8 monthly.
async fn one_each(store: &dyn Store) {
    let mut sent = small_import();
    let first = sent.catalog.subscriptions[0].clone();
    for (id, reset_strategy) in [
        (6, ResetStrategy::Daily),
        (7, ResetStrategy::Weekly),
        (8, ResetStrategy::Monthly),
    ] {
        sent.catalog.subscriptions.push(Subscription {
            id: SubscriptionId(id),
            reset_strategy,
            status: SubscriptionStatus::Limited,
            ..first.clone()
        });
    }
    import(store, &sent).await;
}

#[tokio::test]
async fn periods_begin_when_they_are_due_and_once() {
    on_each(|store| async move {
        one_each(&*store).await;
        for (now, due) in [
            ("2026-11-24T12:00:00Z", &[][..]),
            // Younger than the week and the month that they are in, but not than the day.
            ("2026-11-24T23:59:59Z", &[]),
            ("2026-11-25T00:00:00Z", &[6]),
            ("2026-11-25T00:00:01Z", &[]),
            ("2026-11-30T00:00:00Z", &[6, 7]),
            ("2026-11-30T12:00:00Z", &[]),
            ("2026-12-01T00:00:00Z", &[6, 8]),
            // Many were missed.
            ("2027-03-03T03:03:03Z", &[6, 7, 8]),
            ("2027-03-03T03:03:04Z", &[]),
            // A clock that went back.
            ("2026-12-24T00:00:00Z", &[]),
            ("2027-03-04T00:00:00Z", &[6]),
        ] {
            let reset = store.reset_due(at(now)).await.unwrap();
            let ids: Vec<i64> = reset.iter().map(|id| id.0).collect();
            assert_eq!(ids, due, "{now}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_due_period_begins_at_its_boundary() {
    on_each(|store| async move {
        one_each(&*store).await;
        store.reset_due(at("2026-12-02T05:00:00Z")).await.unwrap();
        let fleet = store.load_fleet().await.unwrap();
        let started: Vec<_> = fleet
            .quotas
            .iter()
            .map(|it| it.period_started_at.map(|at| at.to_string()))
            .collect();
        let expected = [
            None,
            Some("2026-12-02T00:00:00Z"),
            Some("2026-11-30T00:00:00Z"),
            Some("2026-12-01T00:00:00Z"),
        ];
        assert_eq!(started, expected.map(|it| it.map(str::to_owned)));
        assert!(
            fleet
                .catalog
                .subscriptions
                .iter()
                .all(|it| it.status == SubscriptionStatus::Active),
            "they may be used again"
        );
        let audit = store.audit(all()).await.unwrap();
        let by_core: Vec<_> = audit.iter().filter(|it| it.action == "subscription.reset").collect();
        assert_eq!(by_core.len(), 3);
        assert!(
            by_core
                .iter()
                .all(|it| it.actor == "core" && it.at == at("2026-12-02T05:00:00Z"))
        );
    })
    .await;
}

#[tokio::test]
async fn an_admins_reset_counts_as_the_periods() {
    on_each(|store| async move {
        one_each(&*store).await;
        let daily = [SubscriptionId(6)];
        store
            .reset_subscriptions(&daily, at("2026-11-25T00:00:05Z"), &by("admin"))
            .await
            .unwrap();
        assert_eq!(store.reset_due(at("2026-11-25T00:00:06Z")).await.unwrap(), []);
        assert_eq!(store.reset_due(at("2026-11-26T00:00:00Z")).await.unwrap(), daily);
    })
    .await;
}
