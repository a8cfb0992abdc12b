//! The schema, admin tokens, and the audit log.

use std::sync::Arc;

use serde_json::json;
use vpn_core::{
    model::{
        NodeId, TokenId,
        catalog::CatalogImport,
        node::{NewCode, NodePatch},
        secrets::{NewToken, Role, SecretHash},
    },
    store::{Change, Fleet, Page, Totals},
};

use super::world::{all, by, import, in_each_place, make_node, new_code, on_each, second, small_import};

#[tokio::test]
async fn the_schema_is_made_once() {
    in_each_place(|place| async move {
        let store = place.open();
        store.ping().await.unwrap();
        let pending = store.pending_migrations().await.unwrap();
        assert!(!pending.is_empty());
        assert_eq!(
            store.pending_migrations().await.unwrap(),
            pending,
            "looking changes nothing"
        );
        assert_eq!(store.migrate().await.unwrap(), pending);
        assert_eq!(store.pending_migrations().await.unwrap(), Vec::<String>::new());
        assert_eq!(store.migrate().await.unwrap(), Vec::<String>::new());
        store.ping().await.unwrap();
        assert_eq!(store.load_fleet().await.unwrap(), Fleet::default());
        assert_eq!(store.totals().await.unwrap(), Totals::default());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_make_the_schema_both_find_it() {
    in_each_place(|place| async move {
        let stores: Vec<_> = (0..4).map(|_| place.open()).collect();
        let migrations: Vec<_> = stores
            .iter()
            .map(|store| {
                let store = Arc::clone(store);
                tokio::spawn(async move { store.migrate().await.unwrap().len() })
            })
            .collect();
        let mut run = Vec::new();
        for migration in migrations {
            run.push(migration.await.unwrap());
        }
        assert_eq!(run.iter().filter(|count| **count > 0).count(), 1, "{run:?}");
        for store in stores {
            import(&*store, &small_import()).await;
        }
    })
    .await;
}

fn new_token(text: &str) -> NewToken {
    NewToken {
        hash: SecretHash::of(text),
        name: text.to_owned(),
        role: Role::Viewer,
        created_at: second(0),
        expires_at: Some(second(100)),
    }
}

#[tokio::test]
async fn a_token_is_good_until_it_ends() {
    on_each(|store| async move {
        let made = store.create_token(new_token("t"), &by("cli")).await.unwrap();
        assert_eq!(
            (made.name.as_str(), made.role, made.last_used_at),
            ("t", Role::Viewer, None)
        );
        let for_ever = NewToken {
            expires_at: None,
            role: Role::Admin,
            ..new_token("u")
        };
        store.create_token(for_ever, &by("cli")).await.unwrap();

        let used = |text: &str, at| {
            let (store, hash) = (&store, SecretHash::of(text));
            async move { store.use_token(hash, second(at)).await.unwrap() }
        };
        assert_eq!(used("t", 99).await.map(|token| token.id), Some(made.id));
        assert_eq!(used("t", 100).await, None);
        assert_eq!(used("stranger", 1).await, None);
        assert_eq!(used("u", 1_000_000).await.map(|token| token.role), Some(Role::Admin));

        assert!(store.delete_token(made.id, &by("cli")).await.unwrap());
        assert!(!store.delete_token(made.id, &by("cli")).await.unwrap());
        assert!(!store.delete_token(TokenId(999), &by("cli")).await.unwrap());
        assert_eq!(used("t", 1).await, None);
    })
    .await;
}

#[tokio::test]
async fn the_use_of_a_token_is_noted_to_the_minute() {
    on_each(|store| async move {
        let hash = SecretHash::of("t");
        store.create_token(new_token("t"), &by("cli")).await.unwrap();
        for (at, noted) in [(10, 0), (59, 0), (60, 60), (30, 60)] {
            let token = store.use_token(hash, second(at)).await.unwrap().unwrap();
            assert_eq!(token.last_used_at, Some(second(noted)), "{at}");
            let listed = store.tokens(all()).await.unwrap();
            assert_eq!(listed, [token]);
        }
    })
    .await;
}

#[tokio::test]
async fn tokens_are_listed_newest_first() {
    on_each(|store| async move {
        for text in ["a", "b", "c"] {
            store.create_token(new_token(text), &by("cli")).await.unwrap();
        }
        let page = store.tokens(Page { before: None, limit: 2 }).await.unwrap();
        assert_eq!(
            page.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(),
            ["c", "b"]
        );
        let before = Some(page[1].id.0);
        let page = store.tokens(Page { before, limit: 2 }).await.unwrap();
        assert_eq!(page.iter().map(|token| token.name.as_str()).collect::<Vec<_>>(), ["a"]);
    })
    .await;
}

#[tokio::test]
async fn every_change_is_audited_without_its_secret() {
    on_each(|store| async move {
        let node = make_node(&*store, "edge").await.id;
        let by = Change {
            at: second(5),
            ..by("root")
        };
        let patch = NodePatch {
            domain: Some(None),
            enabled: Some(false),
            ..NodePatch::default()
        };
        store.patch_node(node, patch, None, &by).await.unwrap();
        let issue = |_: NodeId| SecretHash::of("k");
        let key = store.add_key(node, &issue, &by).await.unwrap().unwrap();
        store.revoke_key(node, key.id, &by).await.unwrap();
        let code = NewCode {
            node_id: Some(node),
            ..new_code("c")
        };
        let code = store.create_code(code, &by).await.unwrap().unwrap();
        store.delete_code(code.id, &by).await.unwrap();
        let token = store.create_token(new_token("t"), &by).await.unwrap();
        store.delete_token(token.id, &by).await.unwrap();
        store.import(&small_import_of_users(), &by).await.unwrap();
        store.delete_node(node, &by).await.unwrap();

        let mut audit = store.audit(all()).await.unwrap();
        audit.reverse();
        let lines: Vec<_> = audit[1..]
            .iter()
            .map(|row| (row.action.as_str(), row.subject_id))
            .collect();
        let expected = [
            ("node.patch", Some(node.0)),
            ("key.create", Some(key.id.0)),
            ("key.revoke", Some(key.id.0)),
            ("code.create", Some(code.id.0)),
            ("code.delete", Some(code.id.0)),
            ("token.create", Some(token.id.0)),
            ("token.delete", Some(token.id.0)),
            ("catalog.import", None),
            ("node.delete", Some(node.0)),
        ];
        assert_eq!(lines, expected);
        let patch = &audit[1];
        assert_eq!(patch.details, json!({ "domain": null, "enabled": false }));
        assert_eq!((patch.actor.as_str(), patch.at), ("root", second(5)));
        assert_eq!(
            (patch.address.as_deref(), patch.request_id.as_deref()),
            (Some("192.0.2.9"), Some("r-1"))
        );
        assert_eq!(audit[2].details, json!({ "nodeId": node }));

        let page = Page {
            before: Some(audit[2].id),
            limit: 1,
        };
        assert_eq!(store.audit(page).await.unwrap(), audit[1..2]);
    })
    .await;
}

fn small_import_of_users() -> CatalogImport {
    let mut users = CatalogImport::default();
    users.catalog.users = small_import().catalog.users;
    users
}
