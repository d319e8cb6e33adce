//! Ways found lately.

use tables::GatewayIndex;
use wire::Address;

/// A power of two. Near destinations have entries of their own, so that of some thousand hosts in a VPC nearly all are remembered; what
/// is not used takes no room in a cache.
const ENTRIES: usize = 8192;

/// Remembers what was found for a destination in a snapshot, so that the packets of a flow, and of the flows to one
/// destination, are looked up once and not one by one. Each destination has one place, which it shares with others: who
/// came last is remembered. A new snapshot makes all of it void.
pub(crate) struct Recent<T> {
    entries: Box<[Entry<T>; ENTRIES]>,
    version: u32,
}

/// A cache line.
#[repr(align(64))]
struct Entry<T> {
    key: Key,
    value: Option<T>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    high: u64,
    low: u64,
    /// The gateway, doubled, and whether the address is of IPv6; and the version, above.
    table: u64,
}

impl Key {
    /// Fibonacci hashing: near destinations fall far apart.
    #[inline(always)]
    fn place(&self) -> usize {
        let mixed = self.low ^ self.high.rotate_left(32) ^ self.table << 40;
        (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - ENTRIES.ilog2())) as usize % ENTRIES
    }
}

impl<T> Recent<T> {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        let key = Key { high: 0, low: 0, table: 0 };
        // In place, for on a stack they would be too many.
        let entries: Box<[_]> = (0..ENTRIES).map(|_| Entry { key, value: None }).collect();
        let Ok(entries) = entries.try_into() else { unreachable!("as many as were made") };
        Self { entries, version: 0 }
    }

    /// From now on what is found is found in the snapshot of this version.
    #[inline(always)]
    pub(crate) fn renew(&mut self, version: u64) {
        // Half of it will do: an entry would have to stay untouched for 2^32 publications.
        self.version = version as u32;
    }

    /// What is remembered of a destination.
    #[inline(always)]
    pub(crate) fn find(&self, gateway: GatewayIndex, destination: Address) -> Option<&T> {
        let key = self.key(gateway, destination);
        let entry = &self.entries[key.place()];
        // No key that is asked for is like the first ones, whose version is no snapshot's.
        if entry.key == key { entry.value.as_ref() } else { None }
    }

    /// Remembers what was looked up for a destination.
    pub(crate) fn remember(&mut self, gateway: GatewayIndex, destination: Address, value: T) -> &T {
        let key = self.key(gateway, destination);
        let entry = &mut self.entries[key.place()];
        entry.key = key;
        entry.value.insert(value)
    }

    #[inline(always)]
    fn key(&self, gateway: GatewayIndex, destination: Address) -> Key {
        let ((high, low), is_v6) = (destination.halves(), u32::from(!destination.is_ipv4()));
        Key { high, low, table: u64::from(gateway.0 << 1 | is_v6) | u64::from(self.version) << 32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_of_its_snapshot_gateway_and_destination() {
        let mut recent = Recent::new();
        recent.renew(1);
        let (first, second) = (GatewayIndex(0), GatewayIndex(1));
        let destination = Address::v4(0x0a00_0001);
        assert_eq!(recent.find(first, destination), None);
        assert_eq!(recent.remember(first, destination, 1), &1);
        assert_eq!(recent.find(first, destination), Some(&1));
        assert_eq!(recent.find(second, destination), None, "another gateway");
        assert_eq!(recent.find(first, Address::v6(0x0a00_0001)), None, "another family");
        recent.remember(first, destination, 2);
        assert_eq!(recent.find(first, destination), Some(&2), "who came last");
        recent.renew(2);
        assert_eq!(recent.find(first, destination), None, "another snapshot");
        for number in 0..10_000 {
            recent.remember(second, Address::v4(number), number);
            assert_eq!(recent.find(second, Address::v4(number)), Some(&number));
        }
        assert_eq!(recent.find(second, Address::v4(9_999)), Some(&9_999));
    }
}
