//! Registering a node that is there already: because the answer was lost, or because its key was.

use vpn_core::model::{
    NodeId,
    node::{NewCode, NodeIdentity, RegisterOutcome, Registration},
    secrets::SecretHash,
};

use super::world::{address, by, make_code, make_node, new_code, on_each, register, registered, second};

#[tokio::test]
async fn a_lost_answer_is_given_again_with_a_fresh_key() {
    on_each(|store| async move {
        let code = NewCode {
            expires_at: second(60),
            ..new_code("c")
        };
        make_code(&*store, code).await;
        let (first, _, _) = registered(register(&*store, "c", "edge", "k1", second(0)).await);
        // The code is used up and over by now.
        let (again, key, died) = registered(register(&*store, "c", "edge", "k2", second(300)).await);
        assert_eq!((again.id, died), (first.id, vec![SecretHash::of("k1")]));
        assert_eq!(key.hash, SecretHash::of("k2"));
        let dead = store.find_key(SecretHash::of("k1")).await.unwrap().unwrap();
        assert_eq!(dead.revoked_at, Some(second(300)));
        assert_eq!(store.load_fleet().await.unwrap().keys, [key]);
        // Once more, up to ten minutes after the first.
        let (_, _, died) = registered(register(&*store, "c", "edge", "k3", second(600)).await);
        assert_eq!(died, [SecretHash::of("k2")]);
        assert_eq!(
            register(&*store, "c", "edge", "k4", second(601)).await,
            RegisterOutcome::BadCode
        );
        assert_eq!(store.load_fleet().await.unwrap().nodes.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_arrived_is_not_given_again() {
    on_each(|store| async move {
        for (code, name) in [("c1", "used"), ("c2", "revoked"), ("c3", "renamed")] {
            make_code(&*store, new_code(code)).await;
            registered(register(&*store, code, name, name, second(0)).await);
        }
        store
            .mark_keys_used(&[(SecretHash::of("used"), second(1))])
            .await
            .unwrap();
        assert_eq!(
            register(&*store, "c1", "used", "x", second(2)).await,
            RegisterOutcome::BadCode
        );

        let dead = store.find_key(SecretHash::of("revoked")).await.unwrap().unwrap();
        store
            .revoke_key(dead.node_id, dead.id, &by("admin"))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            register(&*store, "c2", "revoked", "x", second(2)).await,
            RegisterOutcome::BadCode
        );

        assert_eq!(
            register(&*store, "c3", "other name", "x", second(2)).await,
            RegisterOutcome::BadCode
        );
    })
    .await;
}

#[tokio::test]
async fn a_code_for_a_node_gives_it_a_new_key() {
    on_each(|store| async move {
        let before = make_node(&*store, "edge").await;
        make_code(
            &*store,
            NewCode {
                node_id: Some(before.id),
                ..new_code("c")
            },
        )
        .await;
        let moved = NodeIdentity {
            name: "anything".to_owned(),
            ip: address("2001:db8::5"),
            port: 5_555,
            region: "us".to_owned(),
            domain: None,
        };
        let issue_key = |_: NodeId| SecretHash::of("new");
        let registration = Registration {
            code: SecretHash::of("c"),
            identity: moved,
            at: second(9),
            issue_key: &issue_key,
        };
        let (after, _, died) = registered(store.register(registration).await.unwrap());
        assert_eq!((after.id, after.name.as_str(), died), (before.id, "edge", vec![]));
        assert_eq!(
            (after.ip, after.port, after.region.as_str()),
            (address("2001:db8::5"), 5_555, "us")
        );
        assert_eq!(after.domain, before.domain);
        // The old key lives until the new one is used.
        assert_eq!(store.load_fleet().await.unwrap().keys.len(), 2);
        store
            .mark_keys_used(&[(SecretHash::of("new"), second(10))])
            .await
            .unwrap();
        let alive = store.load_fleet().await.unwrap().keys;
        assert_eq!(
            alive.iter().map(|key| key.hash).collect::<Vec<_>>(),
            [SecretHash::of("new")]
        );
    })
    .await;
}

#[tokio::test]
async fn the_code_of_a_deleted_node_is_bad() {
    on_each(|store| async move {
        let gone = make_node(&*store, "edge").await;
        make_code(
            &*store,
            NewCode {
                node_id: Some(gone.id),
                ..new_code("c")
            },
        )
        .await;
        assert!(store.delete_node(gone.id, &by("admin")).await.unwrap());
        assert_eq!(
            register(&*store, "c", "edge", "k", second(1)).await,
            RegisterOutcome::BadCode
        );
        assert_eq!(
            register(&*store, "code-for-edge", "edge", "k", second(1)).await,
            RegisterOutcome::BadCode
        );
        assert_eq!(
            store
                .create_code(
                    NewCode {
                        node_id: Some(gone.id),
                        ..new_code("d")
                    },
                    &by("cli")
                )
                .await
                .unwrap(),
            None
        );
        assert!(store.load_fleet().await.unwrap().nodes.is_empty());
    })
    .await;
}
