//! Values by key, as many as fit into a number of bytes.

use std::collections::HashMap;
use std::hash::Hash;

/// What was not used for the longest goes first. Values say nothing of their size, so whoever keeps one does.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    kept: HashMap<K, Entry<V>>,
    bytes: u64,
    most_bytes: u64,
    /// Counts uses: the smaller number was used earlier.
    clock: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: u64,
    used: u64,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    /// Empty, for so many bytes.
    pub(super) fn new(most_bytes: u64) -> Self {
        Self { kept: HashMap::new(), bytes: 0, most_bytes, clock: 0 }
    }

    /// Whether so many bytes are kept when nothing else is.
    pub(super) fn takes(&self, bytes: u64) -> bool {
        bytes <= self.most_bytes
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        self.clock += 1;
        let entry = self.kept.get_mut(key)?;
        entry.used = self.clock;
        Some(&entry.value)
    }

    /// Keeps a value of so many bytes in the place of what it has by that key and of what was used least. What is larger than all of it
    /// is not kept, and nothing goes for it.
    pub(super) fn keep(&mut self, key: K, value: V, bytes: u64) {
        if !self.takes(bytes) {
            return;
        }
        self.remove(&key);
        while self.most_bytes < self.bytes + bytes {
            let oldest = self.kept.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            self.remove(&oldest);
        }
        self.bytes += bytes;
        self.clock += 1;
        self.kept.insert(key, Entry { value, bytes, used: self.clock });
    }

    fn remove(&mut self, key: &K) {
        self.bytes -= self.kept.remove(key).map_or(0, |gone| gone.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_last_stays() {
        let get = |kept: &mut Bounded<&str, u32>, key| kept.get(&key).copied();
        let mut kept = Bounded::new(80);
        kept.keep("a", 1, 40);
        kept.keep("b", 2, 40);
        assert_eq!(get(&mut kept, "a"), Some(1));
        kept.keep("c", 3, 30); // in the place of b
        assert_eq!(["b", "a"].map(|key| get(&mut kept, key)), [None, Some(1)]);
        assert_eq!(kept.bytes(), 70);
        kept.keep("large", 4, 81); // larger than the bound: nothing goes for it
        assert_eq!((get(&mut kept, "large"), kept.bytes()), (None, 70));
        kept.keep("c", 5, 35); // by the same key
        assert_eq!((get(&mut kept, "c"), kept.bytes()), (Some(5), 75));
        kept.keep("all", 6, 80);
        assert_eq!(["a", "c", "all"].map(|key| get(&mut kept, key)), [None, None, Some(6)]);
        assert_eq!(kept.bytes(), 80);
    }
}
