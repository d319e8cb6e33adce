//! The slots of security associations, and the inbound indices made from them.

use std::collections::VecDeque;

use wire::Spi;

/// A security association's place in the tables and counters of all workers, inbound and outbound alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SaSlot(u32);

impl SaSlot {
    /// Low bits of an inbound index: a million slots.
    const BITS: u32 = 20;

    /// The slot that an inbound index names, whether or not it is in use.
    #[must_use]
    pub fn of(spi: u32) -> Self {
        Self(spi & ((1 << Self::BITS) - 1))
    }

    /// The position in tables and counters.
    #[must_use]
    pub fn position(self) -> usize {
        self.0 as usize
    }

    /// An inbound index that names this slot, its high bits from `random`: what was captured on a predecessor, or is
    /// guessed, most likely does not match it.
    #[must_use]
    pub fn spi(self, random: u32) -> Spi {
        let tag = random >> Self::BITS;
        // A tag of zero could make an index below 256, and those are reserved (RFC 4303 §2.1).
        let tag = if tag == 0 { 1 } else { tag };
        Spi::new(tag << Self::BITS | self.0).expect("the tag is not zero")
    }
}

/// The slots that are free, oldest first: a slot rests as long as possible before it is used again.
#[derive(Debug)]
pub struct SlotPool {
    free: VecDeque<SaSlot>,
}

impl SlotPool {
    /// A pool of `slots` slots, as many as the workers' tables have.
    ///
    /// # Panics
    /// With more slots than an index can name.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        assert!(slots <= 1 << SaSlot::BITS, "{slots} slots do not fit in {} bits", SaSlot::BITS);
        Self { free: (0..slots).map(SaSlot).collect() }
    }

    /// Takes a slot, or `None` when all are in use.
    pub fn take(&mut self) -> Option<SaSlot> {
        self.free.pop_front()
    }

    /// Gives a slot back.
    pub fn give(&mut self, slot: SaSlot) {
        self.free.push_back(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_leads_back_to_its_slot() {
        let mut pool = SlotPool::new(1000);
        for random in [0, 1, u32::MAX, 0x1234_5678] {
            let slot = pool.take().unwrap();
            let spi = slot.spi(random);
            assert_eq!(SaSlot::of(spi.value()), slot);
            assert!(spi.value() >= Spi::SMALLEST);
        }
    }

    #[test]
    fn a_slot_rests_before_it_is_used_again() {
        let mut pool = SlotPool::new(3);
        let first = pool.take().unwrap();
        pool.give(first);
        assert_ne!(pool.take(), Some(first));
        assert_ne!(pool.take(), Some(first));
        assert_eq!(pool.take(), Some(first));
        assert_eq!(pool.take(), None);
    }
}
