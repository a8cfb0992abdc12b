//! Keys: how they begin, are followed by others, and die.

use vpn_core::{
    model::{KeyId, NodeId, node::NodeKey, secrets::SecretHash},
    store::Store,
};

use super::world::{by, make_node, on_each, second};

async fn add(store: &dyn Store, node: NodeId, key: &str) -> Option<NodeKey> {
    let issue = |_: NodeId| SecretHash::of(key);
    store.add_key(node, &issue, &by("admin")).await.unwrap()
}

async fn alive(store: &dyn Store) -> Vec<SecretHash> {
    let fleet = store.load_fleet().await.unwrap();
    fleet.keys.iter().map(|key| key.hash).collect()
}

#[tokio::test]
async fn older_keys_die_at_the_first_use_of_a_newer() {
    on_each(|store| async move {
        let node = make_node(&*store, "edge").await;
        let other = make_node(&*store, "other").await;
        add(&*store, node.id, "second").await.unwrap();
        let third = add(&*store, node.id, "third").await.unwrap();
        let (first, second_key) = (SecretHash::of("key-of-edge"), SecretHash::of("second"));
        assert_eq!(alive(&*store).await.len(), 4);

        // The order of the uses does not matter, and neither do repeats and strangers.
        let used = [
            (second_key, second(10)),
            (first, second(9)),
            (second_key, second(11)),
            (SecretHash::of("stranger"), second(11)),
        ];
        store.mark_keys_used(&used).await.unwrap();
        let keys = store.node_keys(node.id).await.unwrap();
        assert_eq!(keys.iter().map(|key| key.id).max(), Some(third.id));
        assert_eq!(keys[0], third);
        assert_eq!((keys[1].first_used_at, keys[1].revoked_at), (Some(second(10)), None));
        assert_eq!(
            (keys[2].first_used_at, keys[2].revoked_at),
            (Some(second(9)), Some(second(10)))
        );
        let others = store.node_keys(other.id).await.unwrap();
        assert_eq!((others.len(), others[0].revoked_at), (1, None));
    })
    .await;
}

#[tokio::test]
async fn a_key_is_found_dead_or_alive() {
    on_each(|store| async move {
        let node = make_node(&*store, "edge").await;
        let hash = SecretHash::of("key-of-edge");
        let key = store.find_key(hash).await.unwrap().unwrap();
        assert_eq!((key.node_id, key.revoked_at), (node.id, None));

        assert_eq!(store.revoke_key(NodeId(999), key.id, &by("admin")).await.unwrap(), None);
        assert_eq!(store.revoke_key(node.id, KeyId(999), &by("admin")).await.unwrap(), None);
        let revoked = store.revoke_key(node.id, key.id, &by("admin")).await.unwrap().unwrap();
        assert_eq!((revoked.hash, revoked.revoked_at), (hash, Some(second(0))));
        assert_eq!(store.revoke_key(node.id, key.id, &by("admin")).await.unwrap(), None);
        assert_eq!(store.find_key(hash).await.unwrap(), Some(revoked));
        assert_eq!(alive(&*store).await, []);
        assert_eq!(store.find_key(SecretHash::of("stranger")).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_key_needs_a_node() {
    on_each(|store| async move {
        assert_eq!(add(&*store, NodeId(999), "k").await, None);
        assert_eq!(store.find_key(SecretHash::of("k")).await.unwrap(), None);
        assert_eq!(store.node_keys(NodeId(999)).await.unwrap(), []);
    })
    .await;
}
