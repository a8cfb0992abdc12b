//! Registration codes, and what they are turned into.

use std::sync::Arc;

use vpn_core::{
    model::{
        CodeId, NodeId,
        node::{NewCode, NodeStatus, RegisterOutcome, Registration, RegistrationCode, SyncStatus},
        secrets::SecretHash,
    },
    store::{Page, Store},
};

use super::world::{
    address, all, by, identity, make_code, make_node, new_code, node, on_each, refused, register, registered, second,
};

#[tokio::test]
async fn a_code_becomes_a_node_once() {
    on_each(|store| async move {
        let code = make_code(&*store, new_code("c")).await;
        let (made, key, died) = registered(register(&*store, "c", "edge", "k", second(5)).await);
        assert_eq!(
            (made.name.as_str(), made.ip, made.port),
            ("edge", address("198.51.100.7"), 4_443)
        );
        assert_eq!((made.revision, made.version, made.enabled), (1, 1, true));
        assert_eq!(made.state.status, NodeStatus::Pending);
        assert_eq!(made.state.sync_status, SyncStatus::Pending);
        assert_eq!((made.created_at, made.config_hash), (second(5), None));
        assert_eq!(
            (key.node_id, key.hash, key.first_used_at),
            (made.id, SecretHash::of("k"), None)
        );
        assert_eq!(died, []);
        assert_eq!(store.code(code.id).await.unwrap().unwrap().uses_left, 0);

        let fleet = store.load_fleet().await.unwrap();
        assert_eq!(fleet.nodes, std::slice::from_ref(&made));
        assert_eq!(fleet.keys, [key]);
        let outbounds: Vec<_> = fleet
            .catalog
            .node_outbounds
            .iter()
            .map(|it| (it.node_id, it.tag.as_str(), it.protocol.as_str()))
            .collect();
        assert_eq!(
            outbounds,
            [(made.id, "direct", "freedom"), (made.id, "block", "blackhole")]
        );

        assert_eq!(
            register(&*store, "c", "other", "k2", second(6)).await,
            RegisterOutcome::BadCode
        );
        assert_eq!(
            register(&*store, "unknown", "other", "k2", second(6)).await,
            RegisterOutcome::BadCode
        );
    })
    .await;
}

#[tokio::test]
async fn the_key_is_made_for_the_nodes_own_id() {
    on_each(|store| async move {
        make_node(&*store, "first").await;
        make_code(&*store, new_code("c")).await;
        let issue_key = |node: NodeId| SecretHash::of(&format!("key of {node}"));
        let registration = Registration {
            code: SecretHash::of("c"),
            identity: identity("second"),
            at: second(1),
            issue_key: &issue_key,
        };
        let (made, key, _) = registered(store.register(registration).await.unwrap());
        assert_eq!(key.hash, SecretHash::of(&format!("key of {}", made.id)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_racers_one_wins() {
    on_each(|store| async move {
        make_code(&*store, new_code("c")).await;
        let racers: Vec<_> = (0..100)
            .map(|racer| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    register(
                        &*store,
                        "c",
                        &format!("racer-{racer}"),
                        &format!("key-{racer}"),
                        second(1),
                    )
                    .await
                })
            })
            .collect();
        let mut winners = 0;
        for racer in racers {
            match racer.await.unwrap() {
                RegisterOutcome::Registered { .. } => winners += 1,
                other => assert_eq!(other, RegisterOutcome::BadCode),
            }
        }
        assert_eq!(winners, 1);
        let fleet = store.load_fleet().await.unwrap();
        assert_eq!((fleet.nodes.len(), fleet.keys.len()), (1, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racers_with_one_name_make_one_node() {
    on_each(|store| async move {
        for code in 0..8 {
            make_code(&*store, new_code(&format!("c{code}"))).await;
        }
        let racers: Vec<_> = (0..8)
            .map(|racer| {
                let store = Arc::clone(&store);
                let (code, key) = (format!("c{racer}"), format!("k{racer}"));
                tokio::spawn(async move { register(&*store, &code, "edge", &key, second(1)).await })
            })
            .collect();
        let mut taken = 0;
        for racer in racers {
            taken += u32::from(racer.await.unwrap() == RegisterOutcome::NameTaken);
        }
        assert_eq!(taken, 7);
        let codes = store.codes(all()).await.unwrap();
        assert_eq!(codes.iter().map(|code| code.uses_left).sum::<i64>(), 7);
    })
    .await;
}

#[tokio::test]
async fn a_taken_name_leaves_the_code_unused() {
    on_each(|store| async move {
        make_node(&*store, "edge").await;
        let code = make_code(&*store, new_code("c")).await;
        assert_eq!(
            register(&*store, "c", "edge", "k", second(1)).await,
            RegisterOutcome::NameTaken
        );
        assert_eq!(store.code(code.id).await.unwrap().unwrap().uses_left, 1);
        assert_eq!(store.find_key(SecretHash::of("k")).await.unwrap(), None);
        // Names differ by case.
        registered(register(&*store, "c", "Edge", "k", second(1)).await);
    })
    .await;
}

#[tokio::test]
async fn an_expired_code_is_bad() {
    on_each(|store| async move {
        make_code(&*store, new_code("c")).await;
        assert_eq!(
            register(&*store, "c", "edge", "k", second(3_600)).await,
            RegisterOutcome::BadCode
        );
        registered(register(&*store, "c", "edge", "k", second(3_599)).await);
    })
    .await;
}

#[tokio::test]
async fn a_code_with_more_uses_makes_as_many_nodes() {
    on_each(|store| async move {
        make_code(
            &*store,
            NewCode {
                uses: 2,
                ..new_code("c")
            },
        )
        .await;
        registered(register(&*store, "c", "a", "ka", second(1)).await);
        registered(register(&*store, "c", "b", "kb", second(1)).await);
        assert_eq!(
            register(&*store, "c", "d", "kd", second(1)).await,
            RegisterOutcome::BadCode
        );
    })
    .await;
}

#[tokio::test]
async fn an_id_is_never_used_again() {
    on_each(|store| async move {
        let gone = make_node(&*store, "edge").await;
        store.delete_node(gone.id, &by("admin")).await.unwrap();
        make_code(&*store, new_code("again")).await;
        let (next, ..) = registered(register(&*store, "again", "edge", "k", second(1)).await);
        assert!(next.id > gone.id);
        assert_eq!(node(&*store, next.id).await.name, "edge");
    })
    .await;
}

#[tokio::test]
async fn codes_are_listed_newest_first_and_deleted() {
    on_each(|store| async move {
        for text in ["a", "b", "c"] {
            make_code(&*store, new_code(text)).await;
        }
        let names =
            |codes: Vec<RegistrationCode>| -> Vec<String> { codes.into_iter().filter_map(|code| code.name).collect() };
        let first = store.codes(Page { before: None, limit: 2 }).await.unwrap();
        let before = first.last().map(|code| code.id.0);
        assert_eq!(names(first), ["c", "b"]);
        assert_eq!(names(store.codes(Page { before, limit: 2 }).await.unwrap()), ["a"]);

        let id = store.codes(all()).await.unwrap()[0].id;
        assert!(store.delete_code(id, &by("admin")).await.unwrap());
        assert!(!store.delete_code(id, &by("admin")).await.unwrap());
        assert_eq!(store.code(id).await.unwrap(), None);
        assert_eq!(store.code(CodeId(9_999)).await.unwrap(), None);
        assert_eq!(
            register(&*store, "c", "edge", "k", second(1)).await,
            RegisterOutcome::BadCode
        );
    })
    .await;
}

#[tokio::test]
async fn a_code_must_have_a_use() {
    on_each(|store| async move {
        let none = store
            .create_code(
                NewCode {
                    uses: 0,
                    ..new_code("c")
                },
                &by("cli"),
            )
            .await;
        assert_eq!(refused(none).0, "uses");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_leaves_leaves_nothing() {
    on_each(|store: Arc<dyn Store>| async move {
        make_code(&*store, new_code("c")).await;
        let asking = Arc::clone(&store);
        let caller = tokio::spawn(async move {
            let issue_key = |_: NodeId| -> SecretHash { panic!("no key today") };
            let registration = Registration {
                code: SecretHash::of("c"),
                identity: identity("edge"),
                at: second(1),
                issue_key: &issue_key,
            };
            asking.register(registration).await
        });
        assert!(caller.await.unwrap_err().is_panic());
        // The store goes on, and the code is still good.
        registered(register(&*store, "c", "edge", "k", second(1)).await);
    })
    .await;
}
