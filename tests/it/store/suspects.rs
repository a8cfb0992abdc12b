//! Suspect bytes: kept, counted once if an admin accepts them, never if he voids them.

use vpn_core::{
    model::{
        entry::Payload,
        suspect::{Decision, Suspicion},
        usage::UsageRow,
    },
    store::{Judged, Totals},
};

use super::world::{Journal, all, by, entry, import, on_each, report, roll_up, second, small_import, usage, usage_row};

fn suspect(bytes_up: i64, reason: Suspicion) -> UsageRow {
    UsageRow {
        suspect: Some(reason),
        ..usage_row(bytes_up, 0)
    }
}

fn counted(up: i64) -> Totals {
    Totals {
        usage_up: up,
        hours_up: up,
        days_up: up,
        subscriptions_up: up,
        ..Totals::default()
    }
}

#[tokio::test]
async fn suspect_bytes_count_once_and_only_if_they_are_accepted() {
    on_each(|store| async move {
        import(&*store, &small_import()).await;
        let rows = vec![
            usage_row(1, 0),
            suspect(10, Suspicion::NoClient),
            suspect(100, Suspicion::NotTheUsers),
        ];
        let sent = entry(1, second(3), Payload::Usage(report("a", rows)));
        let mut journal = Journal::new();
        journal.flush(&*store, vec![sent.clone()]).await;
        assert_eq!(journal.flush(&*store, vec![sent]).await.0, 1, "a repeat is one");
        roll_up(&*store).await;
        assert_eq!(store.totals().await.unwrap(), counted(1));

        let kept = store.suspects(Some(false), all()).await.unwrap();
        let said: Vec<_> = kept
            .iter()
            .map(|row| (row.bytes_up, row.reason, row.decision))
            .collect();
        assert_eq!(
            said,
            [(100, Suspicion::NotTheUsers, None), (10, Suspicion::NoClient, None)]
        );
        assert_eq!((kept[0].received_at, kept[0].minute), (second(3), second(0).minute()));
        let (voided, accepted) = (kept[0].id, kept[1].id);

        let admin = by("admin");
        let judge = |id, decision| store.judge_suspect(id, decision, &admin);
        let both = tokio::join!(judge(accepted, Decision::Accepted), judge(accepted, Decision::Accepted));
        let grown = |judged| match judged {
            Judged::Done(row, quotas) => {
                assert_eq!(
                    (row.decision, row.decided_by.as_deref()),
                    (Some(Decision::Accepted), Some("admin"))
                );
                quotas.iter().map(|quota| quota.period_bytes).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        let grown = [grown(both.0.unwrap()), grown(both.1.unwrap())].concat();
        assert_eq!(grown, [11], "one of the two counted");
        assert_eq!(judge(accepted, Decision::Voided).await.unwrap(), Judged::Otherwise);

        for _ in 0..2 {
            let judged = judge(voided, Decision::Voided).await.unwrap();
            assert!(matches!(judged, Judged::Done(row, quotas) if row.id == voided && quotas.is_empty()));
        }
        assert_eq!(judge(voided, Decision::Accepted).await.unwrap(), Judged::Otherwise);
        assert_eq!(
            judge(voided + 1_000, Decision::Accepted).await.unwrap(),
            Judged::Missing
        );

        roll_up(&*store).await;
        assert_eq!(store.totals().await.unwrap(), counted(11));
        assert!(store.suspects(Some(false), all()).await.unwrap().is_empty());
        assert_eq!(store.suspects(Some(true), all()).await.unwrap().len(), 2);
        let told = store.audit(all()).await.unwrap();
        let told: Vec<_> = told.iter().map(|row| row.action.as_str()).take(2).collect();
        assert_eq!(told, ["suspect.void", "suspect.accept"], "each once");
        journal.flush(&*store, vec![usage("b", second(4), 5, 0)]).await;
        roll_up(&*store).await;
        assert_eq!(store.totals().await.unwrap(), counted(16));
    })
    .await;
}
