//! Ways found lately.

use std::mem;

use tables::GatewayIndex;
use wire::Address;

/// A power of two; an entry is a cache line.
const ENTRIES: usize = 1024;
/// Look-ups of a batch that are as well made one by one.
const FEW: u32 = 8;

/// Remembers what was found for a destination in a snapshot, so that the packets of a flow, and of the flows to one
/// destination, are looked up once and not one by one. Each destination has one place, which it shares with others: who
/// came last is remembered. A new snapshot makes all of it void.
pub(crate) struct Recent<T> {
    entries: Box<[Entry<T>]>,
    version: u32,
    /// Look-ups since [`Recent::is_short`] was asked.
    missed: u32,
}

#[derive(Clone)]
#[repr(align(64))]
struct Entry<T> {
    key: Key,
    value: Option<T>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    high: u64,
    low: u64,
    /// The gateway, doubled, and whether the address is of IPv6.
    table: u32,
    version: u32,
}

impl<T: Clone> Recent<T> {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        let key = Key { high: 0, low: 0, table: 0, version: 0 };
        Self { entries: vec![Entry { key, value: None }; ENTRIES].into(), version: 0, missed: 0 }
    }

    /// From now on what is found is found in the snapshot of this version.
    #[inline(always)]
    pub(crate) fn renew(&mut self, version: u64) {
        // Half of it will do: an entry would have to stay untouched for 2^32 publications.
        self.version = version as u32;
    }

    /// Whether much was looked up since this was last asked: there are more destinations than are remembered.
    #[inline(always)]
    pub(crate) fn is_short(&mut self) -> bool {
        mem::take(&mut self.missed) > FEW
    }

    /// What is remembered of a destination; else what `look_up` finds, remembered if it is something.
    #[inline(always)]
    pub(crate) fn find<E>(
        &mut self,
        gateway: GatewayIndex,
        destination: Address,
        look_up: impl FnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        let (high, low, is_v6) = match destination {
            Address::V4(bits) => (0, u64::from(bits), 0),
            Address::V6(bits) => ((bits >> 64) as u64, bits as u64, 1),
        };
        let key = Key { high, low, table: gateway.0 << 1 | is_v6, version: self.version };
        // Fibonacci hashing: near destinations fall far apart.
        let mixed = (low ^ high.rotate_left(32) ^ u64::from(key.table) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let entry = &mut self.entries[(mixed >> (u64::BITS - ENTRIES.ilog2())) as usize % ENTRIES];
        if entry.key != key {
            self.missed = self.missed.wrapping_add(1);
            *entry = Entry { key, value: Some(look_up()?) };
        }
        // A key that was asked for came with a value, and none is like the first ones, whose version is no snapshot's.
        Ok(entry.value.as_ref().expect("a value beside its key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_of_its_snapshot_gateway_and_destination() {
        let mut recent = Recent::new();
        recent.renew(1);
        let ask = |recent: &mut Recent<u32>, gateway, destination, answer| {
            recent.find(GatewayIndex(gateway), destination, || answer).copied()
        };
        let destination = Address::V4(0x0a00_0001);
        assert_eq!(ask(&mut recent, 0, destination, Ok(1)), Ok(1));
        assert_eq!(ask(&mut recent, 0, destination, Err(())), Ok(1), "remembered");
        assert_eq!(ask(&mut recent, 1, destination, Ok(2)), Ok(2), "another gateway");
        assert_eq!(ask(&mut recent, 0, Address::V6(0x0a00_0001), Ok(3)), Ok(3), "another family");
        assert_eq!(ask(&mut recent, 0, Address::V4(7), Err(())), Err(()), "nothing found is not remembered");
        assert_eq!(ask(&mut recent, 0, Address::V4(7), Ok(4)), Ok(4));
        recent.renew(2);
        assert_eq!(ask(&mut recent, 0, destination, Ok(5)), Ok(5), "another snapshot");
        for number in 0..10_000 {
            assert_eq!(ask(&mut recent, 0, Address::V4(number), Ok(number)), Ok(number));
        }
        assert!(recent.is_short());
        assert_eq!(ask(&mut recent, 0, Address::V4(9_999), Err(())), Ok(9_999));
        assert!(!recent.is_short(), "nothing was looked up since");
    }
}
