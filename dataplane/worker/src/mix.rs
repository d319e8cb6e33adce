//! How the associations of a batch's packets are mixed, and what is done about it.
//!
//! The packets of one association in a row cost little: what they have in common is done once. Where the association changes from
//! one packet to the next at random, nothing is in common, and the processor foresees neither whether the next packet is of
//! the same one nor when a run ends, which costs more than either look-up. So packets of a few associations, mixed, are put into an
//! order in which those of each follow one another. Between associations the order of packets means nothing.

use std::iter;

use tables::SaSlot;

/// Sets of associations that are told apart, by the last bits of their slots.
const SETS: usize = 64;
/// Changes of the association in a batch that the processor hardly notices.
const FEW_CHANGES: usize = 8;
/// Changes in a batch that say that many associations are in use.
const MANY_CHANGES: usize = 16;
/// Associations that are too many to stay cached, with their keys.
const MANY_ASSOCIATIONS: usize = 512;
/// Packets of a set, on average, that are worth an order: fewer make runs that are too short.
const WORTH: usize = 6;

/// What is expected of the next batch of a direction, after the last one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outlook {
    /// What its packets read is to be looked up ahead: that of the last ones was not near.
    pub(crate) ahead: bool,
    /// Its packets are of another association than the one before, or of the same, and there is no foreseeing which.
    pub(crate) mixed: bool,
}

/// How the associations of a batch's packets are mixed.
#[derive(Debug, Default)]
pub(crate) struct Mix {
    changes: usize,
    /// A bit for each set that has packets.
    sets: u64,
}

impl Mix {
    /// Takes note of a packet, and whether its association is another one than that of the packet before. Packets of the same one may
    /// be left out.
    #[inline(always)]
    pub(crate) fn add(&mut self, slot: SaSlot, changed: bool) {
        self.changes += usize::from(changed);
        self.sets |= 1 << set(slot);
    }

    /// See [`Outlook::mixed`].
    #[inline(always)]
    pub(crate) fn is_mixed(&self) -> bool {
        self.changes > FEW_CHANGES
    }

    /// Whether the packets are of so many associations, out of so many that there are, that these are not cached.
    #[inline(always)]
    pub(crate) fn is_scattered(&self, associations: usize) -> bool {
        self.changes > MANY_CHANGES && associations > MANY_ASSOCIATIONS
    }

    /// The order into which to put the packets whose associations have these slots, where that is worth it.
    #[inline(always)]
    pub(crate) fn order(&self, slots: impl ExactSizeIterator<Item = SaSlot>) -> Option<Order> {
        let few = self.sets.count_ones() as usize * WORTH <= slots.len();
        (few && self.is_mixed()).then(|| Order::of(slots))
    }
}

/// An order of a batch's packets in which those of an association follow one another as they came.
pub(crate) struct Order {
    /// A bit for each packet, by set.
    packets: [u64; SETS],
    /// A bit for each set that has packets.
    sets: u64,
}

impl Order {
    #[inline(always)]
    fn of(slots: impl Iterator<Item = SaSlot>) -> Self {
        let mut order = Self { packets: [0; SETS], sets: 0 };
        for (place, slot) in slots.enumerate() {
            order.packets[set(slot)] |= 1 << place;
            order.sets |= 1 << set(slot);
        }
        order
    }

    /// The places where the packets stood.
    #[inline(always)]
    pub(crate) fn places(&self) -> impl Iterator<Item = usize> {
        bits(self.sets).flat_map(|set| bits(self.packets[set]))
    }
}

#[inline(always)]
fn set(slot: SaSlot) -> usize {
    slot.position() % SETS
}

/// The positions of the bits that are set, from the lowest on.
#[inline(always)]
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    iter::from_fn(move || {
        let position = (word != 0).then_some(word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(position)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mix(slots: &[u32]) -> Mix {
        let mut mix = Mix::default();
        let mut before = None;
        for slot in slots {
            mix.add(SaSlot::of(*slot), before != Some(slot));
            before = Some(slot);
        }
        mix
    }

    fn places(slots: &[u32]) -> Option<Vec<usize>> {
        let order = mix(slots).order(slots.iter().map(|slot| SaSlot::of(*slot)))?;
        Some(order.places().collect())
    }

    #[test]
    fn a_batch_is_put_in_order_that_is_mixed_of_few_associations() {
        let alternating: Vec<_> = (0..64).map(|place| place % 2).collect();
        let expected: Vec<_> = (0..64).step_by(2).chain((1..64).step_by(2)).collect();
        assert_eq!(places(&alternating), Some(expected));
        assert!(mix(&alternating).is_mixed());

        let halves: Vec<_> = (0..64).map(|place| place / 32).collect();
        assert_eq!(places(&halves), None, "those of each follow one another already");
        assert!(!mix(&halves).is_mixed());
        assert!(!mix(&[7; 64]).is_mixed());

        let many: Vec<_> = (0..64).collect();
        assert_eq!(places(&many), None, "nothing is gained");
        assert!(mix(&many).is_mixed());
    }

    #[test]
    fn associations_are_scattered_where_many_are_in_use_out_of_many() {
        let many: Vec<_> = (0..64).collect();
        assert!(mix(&many).is_scattered(1000));
        assert!(!mix(&many).is_scattered(256));
        assert!(!mix(&[1, 2, 3, 4, 5, 6, 7, 8]).is_scattered(1000));
    }

    proptest! {
        #[test]
        fn in_order_every_packet_has_its_place_and_those_of_an_association_stay_as_they_came(
            slots in prop::collection::vec(prop::sample::select(&[3_u32, 5, 69, 1000, 1064, 9][..]), 1..=64),
        ) {
            let Some(places) = places(&slots) else { return Ok(()) };
            let mut sorted = places.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..slots.len()).collect::<Vec<_>>());
            for slot in &slots {
                let own: Vec<_> = places.iter().filter(|place| slots[**place] == *slot).collect();
                prop_assert!(own.is_sorted());
            }
            let sets: Vec<_> = places.iter().map(|place| slots[*place] % 64).collect();
            prop_assert!(sets.is_sorted(), "{sets:?}");
        }
    }
}
