//! A table by position of which a changed copy is cheap.

use std::sync::Arc;

/// Slots of a chunk. A change among a hundred thousand slots copies one chunk of entries and one of four hundred chunk
/// pointers: about the least there is, for their product is fixed.
const CHUNK: usize = 256;

/// Values by position, each position free or taken. A clone shares everything with its original; a change copies the
/// chunk around it, unless nothing else shares that. A look-up is two array reads.
pub struct SlotTable<T> {
    /// `None` where all slots are free.
    chunks: Arc<[Option<Arc<Chunk<T>>>]>,
}

/// On cache lines of its own: an entry of 64 bytes takes one, and counting references to the chunk disturbs none.
#[derive(Clone)]
#[repr(align(64))]
struct Chunk<T>([Option<T>; CHUNK]);

impl<T> SlotTable<T> {
    /// The value at `position`.
    #[inline]
    #[must_use]
    pub fn get(&self, position: usize) -> Option<&T> {
        self.chunks.get(position / CHUNK)?.as_ref()?.0[position % CHUNK].as_ref()
    }

    /// Slots up to the last one that is or was taken, and a few more.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    /// Has the slot at `position` brought near, and does not wait for it.
    #[inline]
    pub fn prefetch(&self, position: usize) {
        if let Some(Some(chunk)) = self.chunks.get(position / CHUNK) {
            aead::prefetch(&chunk.0[position % CHUNK]);
        }
    }

    /// All values with their positions, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let values = chunk.iter().flat_map(|chunk| &chunk.0).enumerate();
            values.filter_map(move |(slot, value)| Some((number * CHUNK + slot, value.as_ref()?)))
        })
    }
}

impl<T: Clone> SlotTable<T> {
    /// Puts a value at `position`, in place of one that was there.
    pub fn insert(&mut self, position: usize, value: T) {
        let number = position / CHUNK;
        if number >= self.chunks.len() {
            let free = (self.chunks.len()..=number).map(|_| None);
            self.chunks = self.chunks.iter().cloned().chain(free).collect();
        }
        let chunk = Arc::make_mut(&mut self.chunks)[number].get_or_insert_default();
        Arc::make_mut(chunk).0[position % CHUNK] = Some(value);
    }

    /// Frees the slot at `position`.
    pub fn remove(&mut self, position: usize) {
        if self.get(position).is_none() {
            return;
        }
        let place = &mut Arc::make_mut(&mut self.chunks)[position / CHUNK];
        if let Some(chunk) = place {
            let slots = &mut Arc::make_mut(chunk).0;
            slots[position % CHUNK] = None;
            if slots.iter().all(Option::is_none) {
                *place = None;
            }
        }
    }
}

impl<T> Clone for SlotTable<T> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks) }
    }
}

impl<T> Default for SlotTable<T> {
    fn default() -> Self {
        Self { chunks: Arc::default() }
    }
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Self([const { None }; CHUNK])
    }
}

impl<T: Clone> FromIterator<(usize, T)> for SlotTable<T> {
    fn from_iter<I: IntoIterator<Item = (usize, T)>>(values: I) -> Self {
        let mut table = Self::default();
        values.into_iter().for_each(|(position, value)| table.insert(position, value));
        table
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl<T> SlotTable<T> {
        /// Whether one is a clone of the other.
        pub(crate) fn same(&self, other: &Self) -> bool {
            Arc::ptr_eq(&self.chunks, &other.chunks)
        }
    }

    /// Positions that lie in few chunks, so that changes meet.
    fn position() -> impl Strategy<Value = usize> {
        (0..6_usize, 0..4_usize).prop_map(|(chunk, slot)| chunk * CHUNK + slot * (CHUNK - 1) / 3)
    }

    fn shared<T>(one: &SlotTable<T>, other: &SlotTable<T>, chunk: usize) -> bool {
        match (one.chunks.get(chunk).cloned().flatten(), other.chunks.get(chunk).cloned().flatten()) {
            (Some(one), Some(other)) => Arc::ptr_eq(&one, &other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    proptest! {
        /// Every version stays what it was when it was made, whatever is done to those made from it, and a change
        /// leaves all chunks but its own where they are.
        #[test]
        fn versions_are_maps_that_share(changes in prop::collection::vec((position(), any::<Option<u32>>()), 1..60)) {
            let mut versions = vec![(SlotTable::default(), BTreeMap::new())];
            for (position, change) in changes {
                let (mut table, mut model) = versions.last().cloned().unwrap();
                match change {
                    Some(value) => {
                        table.insert(position, value);
                        model.insert(position, value);
                    }
                    None => {
                        table.remove(position);
                        model.remove(&position);
                    }
                }
                let before = &versions.last().unwrap().0;
                for chunk in (0..8).filter(|chunk| *chunk != position / CHUNK) {
                    prop_assert!(shared(before, &table, chunk), "chunk {chunk} after a change at {position}");
                }
                versions.push((table, model));
            }
            for (table, model) in &versions {
                prop_assert!(table.iter().map(|(position, value)| (position, *value)).eq(model.clone()));
                for position in 0..8 * CHUNK {
                    prop_assert_eq!(table.get(position), model.get(&position));
                }
            }
        }
    }

    #[test]
    fn what_nobody_shares_is_changed_in_place_and_what_is_empty_takes_no_memory() {
        let mut table: SlotTable<u32> = [(3, 30), (CHUNK, 7)].into_iter().collect();
        let chunk = Arc::as_ptr(table.chunks[0].as_ref().unwrap());
        table.insert(4, 40);
        assert_eq!(Arc::as_ptr(table.chunks[0].as_ref().unwrap()), chunk);
        table.remove(3);
        table.remove(4);
        assert!(table.chunks[0].is_none());
        assert_eq!(table.iter().collect::<Vec<_>>(), [(CHUNK, &7)]);
    }
}
