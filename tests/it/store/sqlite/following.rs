//! Following what a panel writes by itself.

use vpn_core::{
    model::{LsId, ProtocolId, UserId, catalog_change::RowRef},
    store::{CatalogDelta, Store as _},
};

use super::{
    super::world::{import, second, small_import},
    File,
};

async fn followed(sql: &str) -> CatalogDelta {
    let file = File::new().await;
    let mut sent = small_import();
    let mut other = sent.catalog.node_protocols[0].clone();
    (other.id, other.port) = (ProtocolId(12), 444);
    sent.catalog.node_protocols.push(other);
    import(&file.store, &sent).await;
    let seq = file.store.catalog_seq().await.unwrap();
    file.raw().execute_batch(sql).unwrap();
    file.store.load_changes(seq).await.unwrap()
}

#[tokio::test]
async fn a_member_that_moves_changes_two_inbounds() {
    let delta = followed("UPDATE node_protocol_links SET proto_id = 12").await;
    assert_eq!(delta.memberships, [ProtocolId(11), ProtocolId(12)]);
    let members = delta.rows.node_protocol_links;
    assert_eq!((members.len(), members[0].proto_id), (1, ProtocolId(12)));
}

#[tokio::test]
async fn a_row_that_gets_another_id_is_gone_and_new() {
    let delta = followed("PRAGMA foreign_keys = OFF; UPDATE subscription_links SET id = 77").await;
    assert_eq!(delta.gone, [RowRef::SubscriptionLink(LsId(9))]);
    assert_eq!(delta.rows.subscription_links[0].id, LsId(77));
}

#[tokio::test]
async fn a_row_that_can_not_be_read_any_more_is_gone() {
    let delta = followed("UPDATE users SET uuid = 'not a uuid'").await;
    assert_eq!(delta.gone, [RowRef::User(UserId(1))]);
}

#[tokio::test]
async fn tables_that_are_not_ours_are_passed_over() {
    let delta = followed("INSERT INTO catalog_changes (table_name, row_id) VALUES ('invoices', 1)").await;
    let nothing = CatalogDelta {
        seq: delta.seq,
        ..CatalogDelta::default()
    };
    assert_eq!(delta, nothing);
}

#[tokio::test]
async fn changes_that_were_pruned_are_too_much() {
    for (sql, too_much) in [
        ("UPDATE users SET name = 'Bob'", false),
        (
            "UPDATE users SET name = 'Bob'; DELETE FROM catalog_changes WHERE seq < (SELECT max(seq) FROM catalog_changes)",
            false,
        ),
        (
            "UPDATE users SET name = 'Bob'; UPDATE users SET name = 'Cid'; DELETE FROM catalog_changes WHERE seq < (SELECT max(seq) FROM catalog_changes)",
            true,
        ),
        ("UPDATE users SET name = 'Bob'; DELETE FROM catalog_changes", true),
    ] {
        let delta = followed(sql).await;
        assert_eq!(delta.too_much, too_much, "{sql}");
        assert_eq!(delta.rows.users.is_empty(), too_much, "{sql}");
    }
}

#[tokio::test]
async fn a_panels_own_period_is_not_reset_again() {
    let file = File::new().await;
    import(&file.store, &small_import()).await;
    let noon_tomorrow = second(86_400);
    let half_past = second(88_200);
    let sql = "UPDATE subscriptions SET reset_strategy = 'daily', period_bytes = 0, period_started_at = ?1";
    file.raw().execute(sql, [noon_tomorrow.millis()]).unwrap();
    assert_eq!(file.store.reset_due(half_past).await.unwrap(), []);
}
