//! Longest-prefix match from addresses to numbers.
//!
//! The first sixteen bits of an address choose a block by position, and a block is a trie of its own in strides of
//! eight bits: the 256 entries of a node are kept as runs of equal ones, found by counting bits. What a wider prefix
//! says is pushed into the narrower ones of its block, so the walk never turns back; prefixes of up to sixteen bits
//! have a block apart, which is asked where the other knows nothing. Among routes of up to /24, a look-up misses the
//! cache twice, for the block and for the entry.
//!
//! Of IPv6, a block leaves out the octets in which all its prefixes agree.
//!
//! A change builds the blocks anew that it falls into and shares the others. Of these blocks it builds the nodes anew that
//! it falls into and copies the others: microseconds, and where one block holds a large part of all prefixes as long as
//! copying it takes.

mod block;

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;
use wire::{Address, Bits};

use self::block::Block;
use crate::SlotTable;

/// What is found where no prefix holds an address; numbers are smaller.
pub const NONE: u32 = CHILD - 1;
/// Marks an entry that says where the next node stands.
const CHILD: u32 = 1 << 31;
/// Octets that choose a block.
const TOP: usize = 2;
/// The block of the prefixes that end within the top, behind those that the top can choose.
const SHORT: usize = 1 << (8 * TOP);

/// A map from prefixes of addresses of `N` octets to numbers below [`NONE`].
#[derive(Clone, Default)]
pub struct Trie<const N: usize> {
    blocks: SlotTable<Block>,
    /// What each block was built from, in order. Apart from the blocks, which are better packed without it.
    prefixes: SlotTable<Arc<[Prefix<N>]>>,
    len: usize,
}

/// A map from prefixes of both families to numbers below [`NONE`].
#[derive(Clone, Default)]
pub struct Tries {
    v4: Trie<4>,
    v6: Trie<16>,
}

impl Tries {
    /// Sets the numbers of prefixes, or with [`NONE`] takes prefixes out; the last word on a prefix counts.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = (IpNet, u32)>) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (prefix, number) in changes {
            let length = prefix.prefix_len();
            match prefix.network() {
                IpAddr::V4(address) => v4.push(Prefix { octets: address.octets(), length, number }),
                IpAddr::V6(address) => v6.push(Prefix { octets: address.octets(), length, number }),
            }
        }
        self.v4.apply(v4);
        self.v6.apply(v6);
    }

    /// How many prefixes there are.
    pub fn len(&self) -> usize {
        self.v4.len + self.v6.len
    }

    /// The number of the longest prefix that holds the address, or [`NONE`].
    #[inline(always)]
    #[must_use]
    pub fn lookup(&self, address: Address) -> u32 {
        match address.bits() {
            Bits::V4(bits) => self.v4.lookup(&bits.to_be_bytes()),
            Bits::V6(bits) => self.v6.lookup(&bits.to_be_bytes()),
        }
    }

    /// Has brought near what a look-up of the address reads first.
    #[inline(always)]
    pub fn prefetch(&self, address: Address) {
        match address.bits() {
            Bits::V4(bits) => self.v4.blocks.prefetch(top(&bits.to_be_bytes())),
            Bits::V6(bits) => self.v6.blocks.prefetch(top(&bits.to_be_bytes())),
        }
    }

    /// The same of what it reads next, which is the number that is looked for if it is below [`NONE`].
    #[inline(always)]
    pub fn prefetch_entry(&self, address: Address) -> Option<&u32> {
        match address.bits() {
            Bits::V4(bits) => self.v4.prefetch_entry(&bits.to_be_bytes()),
            Bits::V6(bits) => self.v6.prefetch_entry(&bits.to_be_bytes()),
        }
    }

    /// Whether one is a clone of the other.
    #[cfg(test)]
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.v4.same(&other.v4) && self.v6.same(&other.v6)
    }
}

/// A prefix and what it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix<const N: usize> {
    /// The address, zero behind the prefix.
    pub octets: [u8; N],
    /// Bits.
    pub length: u8,
    /// [`NONE`] takes the prefix out.
    pub number: u32,
}

impl<const N: usize> Trie<N> {
    /// Sets prefixes and takes them out; the last word on a prefix counts.
    pub fn apply(&mut self, mut changes: Vec<Prefix<N>>) {
        changes.sort_by_key(|prefix| (prefix.block(), prefix.key()));
        for changes in changes.chunk_by(|one, next| one.block() == next.block()) {
            let Some(block) = changes.first().map(Prefix::block) else { continue };
            let before = self.prefixes.get(block).map_or(&[][..], |prefixes| prefixes);
            let prefixes = merged(before, changes);
            self.len = self.len - before.len() + prefixes.len();
            if prefixes.is_empty() {
                self.blocks.remove(block);
                self.prefixes.remove(block);
            } else {
                let before = self.blocks.get(block).map(|before| (before, changes));
                let new = Block::new(&prefixes, if block == SHORT { 0 } else { TOP }, before);
                self.blocks.insert(block, new);
                self.prefixes.insert(block, prefixes);
            }
        }
    }

    /// The number of the longest prefix that holds the address, or [`NONE`].
    #[inline(always)]
    #[must_use]
    pub fn lookup(&self, octets: &[u8; N]) -> u32 {
        // Without closures, which the compiler would rather call than put in place.
        let number = if let Some(block) = self.blocks.get(top(octets)) { block.lookup(&octets[TOP..]) } else { NONE };
        if number == NONE { self.lookup_short(octets) } else { number }
    }

    #[inline(always)]
    fn prefetch_entry(&self, octets: &[u8; N]) -> Option<&u32> {
        let entry = self.blocks.get(top(octets))?.entry(&octets[TOP..])?;
        aead::prefetch(entry);
        Some(entry)
    }

    /// Of prefixes that are no longer than the top; apart, as few packets are for them alone.
    #[inline(never)]
    fn lookup_short(&self, octets: &[u8; N]) -> u32 {
        self.blocks.get(SHORT).map_or(NONE, |block| block.lookup(&octets[..TOP]))
    }
}

impl<const N: usize> Prefix<N> {
    fn block(&self) -> usize {
        if usize::from(self.length) > 8 * TOP { top(&self.octets) } else { SHORT }
    }

    /// Of a prefix that ends in the octet at this depth, which values of that octet it holds.
    fn ending_at(&self, depth: usize) -> Option<Range<usize>> {
        let free = (8 * (depth + 1)).checked_sub(usize::from(self.length))?;
        let first = usize::from(self.octets[depth]);
        Some(first..first + (1 << free))
    }

    /// In this order a prefix follows those that hold it.
    fn key(&self) -> ([u8; N], u8) {
        (self.octets, self.length)
    }
}

#[inline(always)]
fn top<const N: usize>(octets: &[u8; N]) -> usize {
    usize::from(octets[0]) << 8 | usize::from(octets[1])
}

/// Both are in order, which the sort makes use of: it merges them.
fn merged<const N: usize>(before: &[Prefix<N>], changes: &[Prefix<N>]) -> Arc<[Prefix<N>]> {
    let mut prefixes = [before, changes].concat();
    prefixes.sort_by_key(Prefix::key);
    let last = prefixes.chunk_by(|one, next| one.key() == next.key()).filter_map(|same| same.last());
    last.filter(|prefix| prefix.number != NONE).copied().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl<const N: usize> Trie<N> {
        /// Whether one is a clone of the other.
        pub(crate) fn same(&self, other: &Self) -> bool {
            self.blocks.same(&other.blocks) && self.prefixes.same(&other.prefixes)
        }
    }

    type Model<const N: usize> = BTreeMap<([u8; N], u8), u32>;

    /// What RFC 4632 §5.1 says: of all prefixes that hold the address, the longest.
    fn longest<const N: usize>(model: &Model<N>, address: [u8; N]) -> u32 {
        let held = model.iter().filter(|((octets, length), _)| masked(address, *length) == *octets);
        held.max_by_key(|((_, length), _)| *length).map_or(NONE, |(_, number)| *number)
    }

    fn masked<const N: usize>(mut octets: [u8; N], length: u8) -> [u8; N] {
        for (octet, first) in octets.iter_mut().zip((0..).step_by(8)) {
            let bits = usize::from(length).saturating_sub(first).min(8);
            *octet &= !(0xff_u16 >> bits) as u8;
        }
        octets
    }

    /// Octets that often agree, so that prefixes nest.
    fn octets<const N: usize>() -> impl Strategy<Value = [u8; N]> {
        prop::collection::vec(prop_oneof![Just(0), Just(1), Just(127), Just(128), Just(255), any::<u8>()], N)
            .prop_map(|octets| octets.try_into().unwrap())
    }

    fn change<const N: usize>() -> impl Strategy<Value = Prefix<N>> {
        let number = prop_oneof![4 => 0..100_u32, 1 => Just(NONE)];
        (octets(), 0..=8 * N as u8, number).prop_map(|(octets, length, number)| Prefix {
            octets: masked(octets, length),
            length,
            number,
        })
    }

    /// Addresses at and beside the bounds of every prefix of the model.
    fn addresses<const N: usize>(model: &Model<N>) -> Vec<[u8; N]> {
        let ends = |(octets, length): &([u8; N], u8)| {
            let ones = masked([0xff; N], *length).map(|octet| !octet);
            let last = std::array::from_fn(|position| octets[position] | ones[position]);
            [step(*octets, 0xff), *octets, last, step(last, 1)]
        };
        model.keys().flat_map(ends).collect()
    }

    /// The next address, or with 0xff the one before.
    fn step<const N: usize>(mut octets: [u8; N], by: u8) -> [u8; N] {
        for octet in octets.iter_mut().rev() {
            *octet = octet.wrapping_add(by);
            if *octet != if by == 1 { 0 } else { 0xff } {
                break;
            }
        }
        octets
    }

    fn agrees<const N: usize>(steps: Vec<Vec<Prefix<N>>>, others: &[[u8; N]]) {
        let (mut trie, mut model) = (Trie::default(), Model::new());
        let mut versions = Vec::new();
        for changes in steps {
            for Prefix { octets, length, number } in &changes {
                match *number {
                    NONE => model.remove(&(*octets, *length)),
                    number => model.insert((*octets, *length), number),
                };
            }
            trie.apply(changes);
            let all = model.iter().map(|((octets, length), number)| Prefix {
                octets: *octets,
                length: *length,
                number: *number,
            });
            let mut at_once = Trie::default();
            at_once.apply(all.collect());
            assert!(trie.blocks.iter().eq(at_once.blocks.iter()), "what is copied is what would be built");
            versions.push((trie.clone(), model.clone()));
        }
        for (trie, model) in versions {
            let addresses = [addresses(&model), others.to_vec()].concat();
            for address in addresses {
                assert_eq!(trie.lookup(&address), longest(&model, address), "{address:?} in {model:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn v4_is_the_longest_prefix_at_every_bound(
            steps in prop::collection::vec(prop::collection::vec(change::<4>(), 0..25), 1..4),
            others in prop::collection::vec(octets(), 20),
        ) {
            agrees(steps, &others);
        }

        #[test]
        fn v6_is_the_longest_prefix_at_every_bound(
            steps in prop::collection::vec(prop::collection::vec(change::<16>(), 0..25), 1..4),
            others in prop::collection::vec(octets(), 20),
        ) {
            agrees(steps, &others);
        }
    }

    #[test]
    fn what_is_taken_out_leaves_nothing() {
        let prefix = |length, number| Prefix { octets: [10, 1, 0, 0], length, number };
        let mut trie = Trie::default();
        trie.apply(vec![prefix(16, 1), prefix(24, 2), prefix(32, 3)]);
        trie.apply(vec![prefix(16, NONE), prefix(24, NONE), prefix(32, 4), prefix(32, NONE), prefix(31, NONE)]);
        assert!(trie.blocks.iter().next().is_none() && trie.prefixes.iter().next().is_none());
    }
}
