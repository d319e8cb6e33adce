//! A trie in strides of eight bits, as one piece of memory.

use std::iter;
use std::sync::Arc;

use super::{CHILD, NONE, Prefix};

/// 256 entries as runs of equal ones: one bit for each that begins a run, as the first does, and for each of these
/// eight words one octet that counts the runs begun before it.
type Node = [u32; NODE];
const NODE: usize = 10;

/// A trie over the octets behind the top, or over the top.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(align(64))]
pub struct Block {
    /// What the block's addresses have in common before the node's octet.
    shared: Shared,
    node: Node,
    /// The runs of `node`, then its descendants, each followed by its runs and its descendants. Where a descendant stands is
    /// counted from the runs of the one above, so that it can be copied with all that is below it.
    words: Arc<[u32]>,
}

const _: () = assert!(size_of::<Option<Block>>() == 64, "what a look-up reads of a block is one cache line");

/// Octets in which all prefixes agree, so that nodes with but one way on are left out: the octets first, zeros behind them, and in the
/// last place how many bits they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shared(u64);

impl Shared {
    /// Most octets.
    const MOST: usize = 7;

    /// Of prefixes in order, behind their first `depth` octets. None ends within.
    fn of<const N: usize>(prefixes: &[Prefix<N>], depth: usize) -> Self {
        let shortest = prefixes.iter().map(|prefix| usize::from(prefix.length)).min().unwrap_or(0);
        let (Some(first), Some(last)) = (prefixes.first(), prefixes.last()) else { return Self(0) };
        let most = (shortest.saturating_sub(1) / 8).saturating_sub(depth).min(Self::MOST);
        let both = first.octets[depth..].iter().zip(&last.octets[depth..]).take(most);
        let mut bytes = [0; Self::MOST + 1];
        let mut count = 0;
        for (octet, _) in both.take_while(|(one, other)| one == other) {
            bytes[count] = *octet;
            count += 1;
        }
        bytes[Self::MOST] = 8 * count as u8;
        Self(u64::from_be_bytes(bytes))
    }

    /// How many there are.
    #[inline(always)]
    fn octets(self) -> usize {
        (self.0 & 0xff) as usize / 8
    }

    /// Whether these are they.
    fn are_octets(self, octets: &[u8]) -> bool {
        self.0.to_be_bytes().starts_with(octets)
    }

    /// Whether an address begins with them.
    #[inline(always)]
    fn holds(self, octets: &[u8]) -> bool {
        let Some(start) = octets.first_chunk() else { return false };
        (u64::from_be_bytes(*start) ^ self.0) & !(u64::MAX >> (self.0 & 0xff)) == 0
    }
}

impl Block {
    /// From prefixes in order that agree in their first `depth` octets, and how the block was before and what of them is new, if not
    /// all is. Behind a top, long addresses leave out the octets in which they agree further.
    pub fn new<const N: usize>(prefixes: &[Prefix<N>], depth: usize, before: Option<(&Self, &[Prefix<N>])>) -> Self {
        let shared = if depth > 0 && N - depth > Shared::MOST { Shared::of(prefixes, depth) } else { Shared(0) };
        let first = depth + shared.octets();
        let before = before.filter(|(block, _)| block.shared == shared);
        // Of the others none was here, and none is: they are taken out without ever having been in.
        let is_here = |prefix: &&Prefix<N>| {
            usize::from(prefix.length) >= 8 * first && shared.are_octets(&prefix.octets[depth..first])
        };
        let changes: Vec<_> = before.iter().flat_map(|(_, changes)| changes.iter()).filter(is_here).copied().collect();
        let change = before.map(|(block, _)| Change { node: &block.node, below: &block.words, changes: &changes });
        let mut words = Vec::with_capacity(change.as_ref().map_or(0, |change| change.below.len()));
        let node = push_node(prefixes, first, NONE, change, &mut words);
        Self { shared, node, words: words.into() }
    }

    /// What the octets lead to, or [`NONE`].
    #[inline(always)]
    pub fn lookup(&self, octets: &[u8]) -> u32 {
        if octets.len() > Shared::MOST && !self.shared.holds(octets) {
            return NONE;
        }
        let octets = self.behind_shared(octets);
        let Some((first, others)) = octets.split_first() else { return NONE };
        let mut below = &*self.words;
        let mut entry = below[run_of(&self.node, *first)];
        for octet in others {
            if entry & CHILD == 0 {
                break;
            }
            let Some((node, rest)) = below[(entry & !CHILD) as usize..].split_first_chunk() else { return NONE };
            (below, entry) = (rest, rest[run_of(node, *octet)]);
        }
        entry
    }

    /// What a look-up reads of the block's words first, if it comes so far.
    #[inline(always)]
    pub fn entry(&self, octets: &[u8]) -> Option<&u32> {
        if octets.len() > Shared::MOST && !self.shared.holds(octets) {
            return None;
        }
        self.words.get(run_of(&self.node, *self.behind_shared(octets).first()?))
    }

    /// Of an address that is long enough to have octets left out, those behind them; all of another one.
    #[inline(always)]
    fn behind_shared<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        if octets.len() > Shared::MOST { octets.get(self.shared.octets()..).unwrap_or_default() } else { octets }
    }
}

/// What a node was before, and how the prefixes in it have changed since.
struct Change<'a, const N: usize> {
    node: &'a Node,
    /// The node's runs and its descendants.
    below: &'a [u32],
    /// In order.
    changes: &'a [Prefix<N>],
}

impl<'a, const N: usize> Change<'a, N> {
    /// The children that the node had, by octet, and where they stand: each begins where the one before it ends.
    fn children(&self) -> impl Iterator<Item = (u8, usize)> {
        let begins = |octet: &u8| self.node[usize::from(octet / 32)] >> (octet % 32) & 1 != 0;
        let runs = (0..=u8::MAX).filter(begins).zip(self.below);
        runs.filter(|(_, entry)| **entry & CHILD != 0).map(|(octet, entry)| (octet, (entry & !CHILD) as usize))
    }

    /// Of the octets of a node at this depth, those of which a prefix has changed that ends in the node itself: what lies around
    /// the children there may be another.
    fn around(&self, depth: usize) -> [bool; 256] {
        let mut around = [false; 256];
        self.changes.iter().filter_map(|prefix| prefix.ending_at(depth)).for_each(|octets| around[octets].fill(true));
        around
    }
}

/// A child to be: its octet, its prefixes, and what leads to where there is none of them.
struct Child<'a, const N: usize> {
    octet: u8,
    prefixes: &'a [Prefix<N>],
    outside: u32,
}

/// The run that holds the entry of this octet.
#[inline(always)]
fn run_of(node: &Node, octet: u8) -> usize {
    let word = usize::from(octet / 32);
    let before = node[8 + word / 4] >> (word % 4 * 8) & 0xff;
    let begun = node[word] << (31 - octet % 32);
    (before + begun.count_ones() - 1) as usize
}

/// The node for octet `depth` of prefixes in order that agree before it and lie in one that leads to `outside`. Its runs
/// and, after them, its descendants go to `words`. With a change, `outside` is what it was before.
fn push_node<const N: usize>(
    prefixes: &[Prefix<N>],
    depth: usize,
    outside: u32,
    change: Option<Change<'_, N>>,
    words: &mut Vec<u32>,
) -> Node {
    let mut entries = [outside; 256];
    let mut children = Vec::new();
    let mut rest = prefixes;
    while let Some(prefix) = rest.first() {
        let octet = prefix.octets[depth];
        let first = usize::from(octet);
        if let Some(octets) = prefix.ending_at(depth) {
            entries[octets].fill(prefix.number);
            rest = &rest[1..];
        } else {
            let (prefixes, behind) = rest.split_at(rest.partition_point(|other| other.octets[depth] == octet));
            children.push(Child { octet, prefixes, outside: entries[first] });
            entries[first] = CHILD | u32::from(octet);
            rest = behind;
        }
    }
    let runs = words.len();
    let node = push_runs(&entries, words);
    let place = |child: &Child<'_, N>, words: &mut Vec<u32>| {
        words[runs + run_of(&node, child.octet)] = CHILD | (words.len() - runs) as u32;
    };
    let Some(change) = change else {
        for child in children {
            place(&child, words);
            push_child(&child, depth, None, words);
        }
        return node;
    };
    let around = change.around(depth);
    let mut changes = change.changes;
    let ends = change.children().map(|(_, start)| start).skip(1).chain(iter::once(change.below.len()));
    let mut before = change.children().zip(ends).peekable();
    for child in children {
        place(&child, words);
        changes = &changes[changes.partition_point(|change| change.octets[depth] < child.octet)..];
        let (own, later) = changes.split_at(changes.partition_point(|change| change.octets[depth] == child.octet));
        changes = later;
        while before.next_if(|((octet, _), _)| *octet < child.octet).is_some() {}
        let old =
            before.next_if(|((octet, _), _)| *octet == child.octet).map(|((_, start), end)| &change.below[start..end]);
        match old.filter(|_| !around[usize::from(child.octet)]).and_then(<[u32]>::split_first_chunk) {
            Some((node, below)) if own.is_empty() => {
                words.extend_from_slice(node);
                words.extend_from_slice(below);
            }
            Some((node, below)) => push_child(&child, depth, Some(Change { node, below, changes: own }), words),
            None => push_child(&child, depth, None, words),
        }
    }
    node
}

fn push_child<const N: usize>(child: &Child<'_, N>, depth: usize, change: Option<Change<'_, N>>, words: &mut Vec<u32>) {
    let place = words.len();
    words.extend([0; NODE]);
    let node = push_node(child.prefixes, depth + 1, child.outside, change, words);
    words[place..place + NODE].copy_from_slice(&node);
}

/// The node of these entries, whose runs go to `words`.
fn push_runs(entries: &[u32; 256], words: &mut Vec<u32>) -> Node {
    let runs = words.len();
    let mut node = [0; NODE];
    let mut before = None;
    for (octet, entry) in entries.iter().enumerate() {
        let word = octet / 32;
        if octet % 32 == 0 {
            node[8 + word / 4] |= ((words.len() - runs) as u32) << (word % 4 * 8);
        }
        if before != Some(entry) {
            node[word] |= 1 << (octet % 32);
            words.push(*entry);
            before = Some(entry);
        }
    }
    node
}
