//! Core has one schema and touches nothing else.

use super::{store_in, unmade};
use crate::harness::postgres::{Database, connect};

#[tokio::test]
async fn nothing_is_made_outside_of_the_schema() {
    let database = Database::fresh().await;
    let db = connect(&database.url()).await;
    let others = async || {
        let sql = "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace <> coalesce(to_regnamespace('core'), 0::oid) \
                   AND relnamespace <> 'pg_toast'::regnamespace) + (SELECT count(*) FROM pg_proc \
                   WHERE pronamespace <> coalesce(to_regnamespace('core'), 0::oid)) \
                   + (SELECT count(*) FROM pg_extension) + (SELECT count(*) FROM pg_namespace WHERE nspname <> 'core')";
        db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    let before = others().await;
    store_in(&database).await;
    assert_eq!(others().await, before);
}

#[tokio::test]
async fn a_role_that_owns_only_the_schema_is_enough() {
    let database = Database::fresh().await;
    let db = connect(&database.url()).await;
    let role = format!("only_{}", std::process::id());
    db.batch_execute(&format!(
        "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN; CREATE SCHEMA core AUTHORIZATION {role}"
    ))
    .await
    .unwrap();
    let store = unmade(&database.url().replacen("core@", &format!("{role}@"), 1));
    assert!(!store.migrate().await.unwrap().is_empty());
    store.ping().await.unwrap();
    assert!(store.migrate().await.unwrap().is_empty());
    db.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_panel_needs_rights_on_its_own_tables_only() {
    let database = Database::fresh().await;
    let store = store_in(&database).await;
    let db = connect(&database.url()).await;
    let role = format!("panel_{}", std::process::id());
    db.batch_execute(&format!(
        "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA core TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON core.users TO {role}"
    ))
    .await
    .unwrap();
    let panel = connect(&database.url().replacen("core@", &format!("{role}@"), 1)).await;
    let before = store.catalog_seq().await.unwrap();
    panel
        .batch_execute("INSERT INTO core.users (name) VALUES ('Ann')")
        .await
        .unwrap();
    assert!(store.catalog_seq().await.unwrap() > before);
    drop(panel);
    db.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await
        .unwrap();
}
