//! Where one thread writes, and how what it wrote becomes visible: the protocol that makes a log
//! survive its process.
//!
//! ```text
//! words      | record | record | record | being written |  free  |
//! published  ------------------------->|
//! ```
//!
//! A record is written behind the published length and then published whole, by one store. Whoever
//! reads the length (the sealer, a reader after a kill) finds every record below it complete.
//! tests/loom.rs checks this module as it stands.

use crate::primitive::{AtomicU64, Ordering};

/// The end of an open chunk.
///
/// The words are atomics for the compiler's sake alone: their stores are plain moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    words: &'a [AtomicU64],
    published: &'a AtomicU64,
    len: usize,
}

impl<'a> Cursor<'a> {
    /// Where the assembly of `recorder/go` finds the length, and the address of its published copy.
    #[cfg(feature = "go-runtime")]
    pub(crate) const LEN: usize = std::mem::offset_of!(Self, len);
    #[cfg(feature = "go-runtime")]
    pub(crate) const PUBLISHED: usize = std::mem::offset_of!(Self, published);

    /// The words, for the assembly.
    #[cfg(feature = "go-runtime")]
    pub(crate) fn words(&self) -> &'a [AtomicU64] {
        self.words
    }

    /// A cursor that begins behind what is published.
    pub(crate) fn new(words: &'a [AtomicU64], published: &'a AtomicU64) -> Self {
        let len = published.load(Ordering::Relaxed) as usize;
        Self { words, published, len }
    }

    /// Appends a record of one word; false if there is no room.
    #[inline]
    pub(crate) fn push(&mut self, word: u64) -> bool {
        // The bounds check is the test for a full slot.
        let Some(place) = self.words.get(self.len) else { return false };
        place.store(word, Ordering::Relaxed);
        self.publish(self.len + 1);
        true
    }

    /// Appends whole records; false if there is no room for all of them.
    #[inline]
    pub(crate) fn push_all(&mut self, records: &[u64]) -> bool {
        let Some(room) = self.words.get(self.len..self.len + records.len()) else { return false };
        for (place, &word) in room.iter().zip(records) {
            place.store(word, Ordering::Relaxed);
        }
        self.publish(self.len + records.len());
        true
    }

    /// Appends a record of `len` words, the first of `record`; false if there might be no room.
    ///
    /// Stores all of `record` and publishes its beginning: that takes no loop.
    #[inline]
    pub(crate) fn push_some<const MAX: usize>(&mut self, record: [u64; MAX], len: usize) -> bool {
        let room = self.words.get(self.len..).and_then(|room| room.first_chunk::<MAX>());
        let Some(room) = room else { return false };
        for (place, word) in room.iter().zip(record) {
            place.store(word, Ordering::Relaxed);
        }
        self.publish(self.len + len);
        true
    }

    /// Whether so many words fit.
    pub(crate) fn has_room(&self, words: usize) -> bool {
        self.words.len() - self.len >= words
    }

    #[inline]
    fn publish(&mut self, len: usize) {
        self.len = len;
        // Release: whoever sees the new length also sees the words below it.
        self.published.store(len as u64, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn records_are_published_whole_or_not_at_all() {
        let words: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
        let published = AtomicU64::new(0);
        let mut cursor = Cursor::new(&words, &published);
        assert!(cursor.push(1));
        assert!(cursor.push_all(&[2, 3]));
        assert!(cursor.push_some([4, 0, 0], 1));
        assert!(!cursor.push_all(&[5; 5]));
        assert!(!cursor.push_some([5; 6], 1));
        assert_eq!(published.load(Ordering::Relaxed), 4);
        assert!(cursor.push_all(&[5; 4]) && !cursor.push(6));
        let words: Vec<u64> = words.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        assert_eq!(words, [1, 2, 3, 4, 5, 5, 5, 5]);
        assert!(!Cursor::new(&[], &AtomicU64::new(0)).has_room(1));
    }
}
