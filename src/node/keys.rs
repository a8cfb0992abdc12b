//! The keys that live, in memory. The first use of a key is the death of its node's older ones.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use dashmap::{DashMap, mapref::multiple::RefMulti};

use crate::{
    model::{KeyId, NodeId, Time, node::NodeKey, secrets::SecretHash},
    store::{Store, StoreError},
};

/// See the module.
#[derive(Debug, Default)]
pub struct Keys {
    live: DashMap<SecretHash, Key>,
    /// Moves with every change, so that a snapshot knows whether it is old.
    edition: AtomicU64,
    /// The rare side: who has which keys, and what the store has not heard yet.
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Key {
    id: KeyId,
    node: NodeId,
    used: AtomicBool,
    /// When it was last used since Core's start, in milliseconds since 1970; 0 = not yet.
    last_use: AtomicI64,
}

#[derive(Debug, Default)]
struct Book {
    by_node: HashMap<NodeId, Vec<(KeyId, SecretHash)>>,
    first_uses: HashMap<SecretHash, Time>,
    /// Keys that died here before the store heard of it: a reload must not bring them back.
    dying: HashSet<SecretHash>,
}

impl Keys {
    /// Whose key this is.
    pub fn find(&self, hash: SecretHash, now: Time) -> Option<NodeId> {
        let key = self.live.get(&hash)?;
        let (id, node) = (key.id, key.node);
        key.last_use.store(now.millis(), Relaxed);
        if !key.used.load(Relaxed) && !key.used.swap(true, Relaxed) {
            drop(key);
            self.first_use(hash, id, node, now);
        }
        Some(node)
    }

    /// The living key that the node used last; after a start, until it calls, its newest one that was ever used.
    pub fn last_used(&self, node: NodeId) -> Option<SecretHash> {
        let book = self.book();
        let used = book.by_node.get(&node)?.iter().filter_map(|(id, hash)| {
            let key = self.live.get(hash).filter(|key| key.used.load(Relaxed))?;
            Some((key.last_use.load(Relaxed), *id, *hash))
        });
        used.max().map(|(_, _, hash)| hash)
    }

    /// Adds a key.
    pub fn insert(&self, key: &NodeKey) {
        let mut book = self.book();
        if !book.dying.contains(&key.hash) {
            self.put(&mut book, key);
        }
    }

    /// Removes a key.
    pub fn remove(&self, hash: SecretHash) {
        let mut book = self.book();
        if let Some((_, key)) = self.live.remove(&hash) {
            self.edition.fetch_add(1, Relaxed);
            book.forget(key.node, hash);
        }
    }

    /// These are all keys that live.
    pub fn replace(&self, keys: &[NodeKey]) {
        let mut book = self.book();
        let live: HashSet<SecretHash> = keys.iter().map(|key| key.hash).collect();
        self.live.retain(|hash, _| {
            let stays = live.contains(hash);
            self.edition.fetch_add(u64::from(!stays), Relaxed);
            stays
        });
        let Book {
            by_node,
            dying,
            first_uses,
        } = &mut *book;
        by_node
            .values_mut()
            .for_each(|of_node| of_node.retain(|(_, hash)| live.contains(hash)));
        by_node.retain(|_, of_node| !of_node.is_empty());
        dying.retain(|hash| live.contains(hash));
        first_uses.retain(|hash, _| live.contains(hash));
        for key in keys
            .iter()
            .filter(|key| !book.dying.contains(&key.hash))
            .collect::<Vec<_>>()
        {
            self.put(&mut book, key);
        }
    }

    /// All keys, for the snapshot: hash, id, node, and whether it was used; and their edition.
    pub fn export(&self) -> (u64, Vec<(SecretHash, KeyId, NodeId, bool)>) {
        let edition = self.edition.load(Relaxed);
        let line = |key: RefMulti<'_, SecretHash, Key>| (*key.key(), key.id, key.node, key.used.load(Relaxed));
        (edition, self.live.iter().map(line).collect())
    }

    fn first_uses(&self) -> Vec<(SecretHash, Time)> {
        self.book().first_uses.iter().map(|(hash, at)| (*hash, *at)).collect()
    }

    /// Writes down in the store which keys were used for the first time.
    pub async fn save_first_uses(&self, store: &dyn Store) -> Result<(), StoreError> {
        let used = self.first_uses();
        if used.is_empty() {
            return Ok(());
        }
        store.mark_keys_used(&used).await?;
        self.first_uses_saved(&used);
        Ok(())
    }

    fn first_uses_saved(&self, saved: &[(SecretHash, Time)]) {
        let mut book = self.book();
        for (hash, _) in saved {
            book.first_uses.remove(hash);
        }
    }

    fn put(&self, book: &mut Book, key: &NodeKey) {
        if self.live.contains_key(&key.hash) {
            return;
        }
        let used = AtomicBool::new(key.first_used_at.is_some());
        self.live.insert(
            key.hash,
            Key {
                id: key.id,
                node: key.node_id,
                used,
                last_use: AtomicI64::new(0),
            },
        );
        self.edition.fetch_add(1, Relaxed);
        let of_node = book.by_node.entry(key.node_id).or_default();
        // Nearly every node has one key: room for more would be 120 bytes a node.
        of_node.reserve_exact(1);
        of_node.push((key.id, key.hash));
    }

    fn first_use(&self, hash: SecretHash, id: KeyId, node: NodeId, now: Time) {
        self.edition.fetch_add(1, Relaxed);
        let mut book = self.book();
        book.first_uses.insert(hash, now);
        let Some(of_node) = book.by_node.get_mut(&node) else {
            return;
        };
        let older: Vec<_> = of_node
            .iter()
            .filter(|(other, _)| *other < id)
            .map(|(_, hash)| *hash)
            .collect();
        of_node.retain(|(other, _)| *other >= id);
        for hash in older {
            self.live.remove(&hash);
            book.dying.insert(hash);
            tracing::info!(node = %node, "an older key of the node died with the first use of a newer one");
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn forget(&mut self, node: NodeId, hash: SecretHash) {
        if let Some(of_node) = self.by_node.get_mut(&node) {
            of_node.retain(|(_, other)| *other != hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: i64, text: &str, used: bool) -> NodeKey {
        NodeKey {
            id: KeyId(id),
            node_id: NodeId(1),
            hash: SecretHash::of(text),
            created_at: Time::default(),
            first_used_at: used.then(Time::default),
            revoked_at: None,
        }
    }

    #[test]
    fn the_first_use_of_a_key_ends_the_older_ones() {
        let directory = Keys::default();
        directory.replace(&[key(1, "old", true), key(2, "new", false), key(3, "next", false)]);
        let find = |text: &str| directory.find(SecretHash::of(text), Time::from_millis(5));
        assert_eq!(find("old"), Some(NodeId(1)));
        assert_eq!(directory.first_uses(), []);
        assert_eq!(find("new"), Some(NodeId(1)));
        assert_eq!((find("old"), find("next")), (None, Some(NodeId(1))));
        assert_eq!(find("new"), None);
        assert_eq!(directory.first_uses().len(), 2);
    }

    #[test]
    fn a_reload_does_not_raise_the_dead() {
        let directory = Keys::default();
        let keys = [key(1, "old", true), key(2, "new", false)];
        directory.replace(&keys);
        directory.find(SecretHash::of("new"), Time::default());
        directory.replace(&keys);
        assert_eq!(directory.find(SecretHash::of("old"), Time::default()), None);
        directory.replace(&keys[1..]);
        assert_eq!(directory.export().1.len(), 1);
    }

    #[test]
    fn the_key_that_was_used_last_is_known() {
        let directory = Keys::default();
        assert_eq!(directory.last_used(NodeId(1)), None);
        directory.replace(&[key(1, "a", true), key(2, "b", true), key(3, "c", false)]);
        let hash = |text: &str| Some(SecretHash::of(text));
        assert_eq!(directory.last_used(NodeId(1)), hash("b"));
        directory.find(SecretHash::of("a"), Time::from_millis(5));
        assert_eq!(directory.last_used(NodeId(1)), hash("a"));
        directory.find(SecretHash::of("c"), Time::from_millis(5));
        assert_eq!(directory.last_used(NodeId(1)), hash("c"));
        directory.remove(SecretHash::of("c"));
        assert_eq!(directory.last_used(NodeId(1)), None);
    }

    #[test]
    fn a_removed_key_is_gone() {
        let directory = Keys::default();
        directory.insert(&key(1, "a", true));
        directory.remove(SecretHash::of("a"));
        assert_eq!(directory.find(SecretHash::of("a"), Time::default()), None);
    }
}
