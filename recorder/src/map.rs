//! `SyncMap`: Go's `sync.Map`, recorded.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use mmtrace_format::EventKind;

use crate::emit;

/// A map that many threads read and write.
///
/// A write of an entry happens before every read that observes it; different keys order nothing.
/// Which calls are reads and which are writes is as Go's documentation of `sync.Map` has it: one that
/// changes an entry and returns what was there is both.
///
/// ```
/// use mmtrace_recorder::map::SyncMap;
///
/// let ages = SyncMap::new();
/// ages.store("ann", 30);
/// assert_eq!(ages.load_or_store("ann", 31), (30, true));
/// assert_eq!(ages.load_and_delete("ann"), Some(30));
/// assert_eq!(ages.load("ann"), None);
/// ```
pub struct SyncMap<K, V> {
    entries: RwLock<HashMap<K, V>>,
}

impl<K, V> SyncMap<K, V> {
    /// An empty map.
    pub fn new() -> Self {
        Self { entries: RwLock::new(HashMap::new()) }
    }

    fn address(&self) -> u64 {
        emit::address_of(self)
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<K, V>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<K, V>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what is done to an entry, while the lock keeps everybody from doing the opposite.
    #[track_caller]
    fn note<Q: Hash + ?Sized>(&self, kind: EventKind, key: &Q) {
        if emit::on() {
            // Without a seed: a key has one hash in all threads.
            let mut hasher = DefaultHasher::new();
            key.hash(&mut hasher);
            emit::note(kind, 0, self.address(), hasher.finish());
        }
    }
}

impl<K: Hash + Eq, V: Clone> SyncMap<K, V> {
    /// The value of the key, if it has one.
    #[track_caller]
    pub fn load<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entries = self.read();
        self.note(EventKind::MapRead, key);
        entries.get(key).cloned()
    }

    /// Gives the key a value.
    #[track_caller]
    pub fn store(&self, key: K, value: V) {
        let mut entries = self.write();
        self.note(EventKind::MapWrite, &key);
        let replaced = entries.insert(key, value);
        drop(entries);
        // A value's drop is the program's code: not under our lock.
        drop(replaced);
    }

    /// Gives the key a value; returns the one that it had.
    #[track_caller]
    pub fn swap(&self, key: K, value: V) -> Option<V> {
        let mut entries = self.write();
        self.note(EventKind::MapRead, &key);
        self.note(EventKind::MapWrite, &key);
        entries.insert(key, value)
    }

    /// The value of the key and true; or, if it has none, this one, which it has then, and false.
    #[track_caller]
    pub fn load_or_store(&self, key: K, value: V) -> (V, bool) {
        let mut entries = self.write();
        if let Some(value) = entries.get(&key) {
            self.note(EventKind::MapRead, &key);
            return (value.clone(), true);
        }
        self.note(EventKind::MapWrite, &key);
        entries.insert(key, value.clone());
        (value, false)
    }

    /// Takes the key's value away; returns it.
    #[track_caller]
    pub fn load_and_delete<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut entries = self.write();
        self.note(EventKind::MapRead, key);
        let value = entries.remove(key);
        if value.is_some() {
            self.note(EventKind::MapWrite, key);
        }
        value
    }

    /// Takes the key's value away.
    #[track_caller]
    pub fn delete<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        drop(self.load_and_delete(key));
    }

    /// Gives the key the value `new` if it has the value `old`; says whether.
    #[track_caller]
    pub fn compare_and_swap<Q>(&self, key: &Q, old: &V, new: V) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: PartialEq,
    {
        let mut entries = self.write();
        self.note(EventKind::MapRead, key);
        let Some(value) = entries.get_mut(key).filter(|value| *value == old) else { return false };
        self.note(EventKind::MapWrite, key);
        let replaced = std::mem::replace(value, new);
        drop(entries);
        drop(replaced);
        true
    }

    /// Takes the key's value away if it is `old`; says whether.
    #[track_caller]
    pub fn compare_and_delete<Q>(&self, key: &Q, old: &V) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: PartialEq,
    {
        let mut entries = self.write();
        self.note(EventKind::MapRead, key);
        if entries.get(key).is_none_or(|value| value != old) {
            return false;
        }
        self.note(EventKind::MapWrite, key);
        let removed = entries.remove(key);
        drop(entries);
        drop(removed);
        true
    }

    /// Takes every value away.
    #[track_caller]
    pub fn clear(&self) {
        let mut entries = self.write();
        for key in entries.keys() {
            self.note(EventKind::MapWrite, key);
        }
        let removed = std::mem::take(&mut *entries);
        drop(entries);
        drop(removed);
    }

    /// Calls `f` with every key and value, until it returns false. It may use the map: it is given
    /// what the map held at the beginning, and its own changes do not concern it.
    #[track_caller]
    pub fn range(&self, mut f: impl FnMut(&K, &V) -> bool)
    where
        K: Clone,
    {
        let entries = self.read();
        let snapshot: Vec<(K, V)> = entries
            .iter()
            .map(|(key, value)| {
                self.note(EventKind::MapRead, key);
                (key.clone(), value.clone())
            })
            .collect();
        drop(entries);
        for (key, value) in &snapshot {
            if !f(key, value) {
                return;
            }
        }
    }
}

impl<K, V> Default for SyncMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> fmt::Debug for SyncMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncMap").field("len", &self.read().len()).finish_non_exhaustive()
    }
}
