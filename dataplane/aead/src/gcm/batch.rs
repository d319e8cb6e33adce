//! The packets of a batch, in groups of as many as a vector has lanes, and each group in three steps.
//!
//! Within a group every step waits for the one before. So the groups follow each other at a distance of one step: at any
//! time the processor has work of three groups before it, which do not wait for each other. What a step reads as a vector
//! and was written in pieces was written a step before, so that it comes from the cache and not from the store buffer.

use std::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_loadu_si128, _mm_setzero_si128, _mm_storeu_si128,
    _mm_xor_si128,
};
use std::mem::MaybeUninit;
use std::ptr;

use zerocopy::transmute;

use super::counter::{self, Counter};
use super::hash::{self, Front, Sum, Unhashed};
use super::key::Key;
use super::lanes::{Lanes, MOST_END};
use super::stream::{RoundKeys, Text, stream};
use crate::key::Schedule;
use crate::packet::{self, Place, Whole};
use crate::{TAG, Tail};

/// Most vectors of a short text: alone it would not fill the processor's units, so that those of a group go through the
/// rounds together.
const SHORT: usize = 3;
/// Steps of a group.
const STEPS: usize = 3;

/// A packet in its lane.
struct Lane<'a, W> {
    packet: *mut W,
    key: &'a Key,
    source: *const u8,
    destination: *mut u8,
}

impl<W> Clone for Lane<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Lane<'_, W> {}

/// Packets that go through the steps together, a lane for each; lanes without a packet repeat the first one, and what
/// comes of it is not used.
#[repr(C, align(64))]
struct Group<'a, W, V> {
    /// What the tags are under: the nonces' blocks, enciphered.
    masks: MaybeUninit<V>,
    /// The sums of the texts: of each one, its lanes not yet added up; of short ones, of all in the first place, each in its
    /// lane.
    sums: [MaybeUninit<Sum<V>>; 4],
    /// Short ciphertexts, zeros behind their ends.
    texts: [[MaybeUninit<V>; SHORT]; 4],
    /// Single blocks at the ends of texts, where there are some: of a text that is not short, what it is enciphered with, and then its
    /// ciphertext.
    blocks: [MaybeUninit<__m128i>; 4],
    lanes: [Lane<'a, W>; 4],
    /// Bytes of the text and of the associated data.
    lengths: [[u64; 2]; 4],
    /// What stands before the sums of long texts.
    fronts: [MaybeUninit<Front>; 4],
    count: usize,
    /// Vectors of each text, where these are short and alike; else 0.
    short: usize,
    /// Whether a single block, or a part of one, follows whole vectors in each text: a vector for it would be a waste where four of
    /// them can share one.
    block: bool,
}

/// Seals or opens the packets at the positions in the sets, those of the first set before those of the next one, `N` vectors in a
/// chunk of text.
///
/// # Safety
/// The instructions of `V`; at these positions are packets with keys of this module, each is in one set, and no set is empty.
#[inline(always)]
pub unsafe fn run<V: Lanes, W: Whole, const N: usize>(sets: &[u64], packets: *mut W) {
    let count: u32 = sets.iter().map(|set| set.count_ones()).sum();
    let (mut chosen, mut sets) = (0, sets.iter());
    let mut slots = [const { MaybeUninit::<Group<'_, W, V>>::uninit() }; STEPS];
    let [first, second, third] = &mut slots;
    let (mut first, mut second, mut third) = (first.as_mut_ptr(), second.as_mut_ptr(), third.as_mut_ptr());
    let groups = (count as usize).div_ceil(V::LANES);
    // SAFETY: the caller's.
    let mut unhashed = unsafe { Unhashed::nothing() };
    for turn in 0..groups + STEPS - 1 {
        // SAFETY: the caller's; a group comes to a step after the one before, and its slot is used anew when it is done.
        unsafe {
            if turn < groups {
                let mut count = 0;
                while count < V::LANES {
                    if chosen == 0 {
                        let Some(next) = sets.next() else { break };
                        chosen = *next;
                    }
                    take_in(first, count, packets.add(chosen.trailing_zeros() as usize));
                    chosen &= chosen - 1;
                    count += 1;
                }
                start(first, count);
            }
            if (1..=groups).contains(&turn) {
                hash::<V, W, N>(&mut *second, &mut unhashed);
            } else {
                unhashed.catch_up();
            }
            if turn >= STEPS - 1 {
                finish(&mut *third);
            }
        }
        (first, second, third) = (third, first, second);
    }
}

/// Puts a packet into a lane.
///
/// # Safety
/// The caller's of `run`.
#[inline(always)]
unsafe fn take_in<V: Lanes, W: Whole>(slot: *mut Group<'_, W, V>, lane: usize, packet: *mut W) {
    // SAFETY: slot and packet are this call's alone.
    unsafe {
        let Place { source, destination, length } = (*packet).place(TAG);
        let length = length + (*packet).tail().length;
        (&raw mut (*slot).lanes[lane]).write(Lane { packet, key: gcm_key(&*packet), source, destination });
        (&raw mut (*slot).lengths[lane]).write([length as u64, (*packet).data().length as u64]);
    }
}

/// The first step: the masks; and short texts, encrypted or decrypted.
///
/// # Safety
/// The caller's of `run`; the first `count` lanes are taken.
#[inline(always)]
unsafe fn start<V: Lanes, W: Whole>(slot: *mut Group<'_, W, V>, count: usize) {
    // SAFETY: what else a group has is written before it is referred to.
    unsafe {
        for lane in count..4 {
            (&raw mut (*slot).lanes[lane]).write((*slot).lanes[0]);
            (&raw mut (*slot).lengths[lane]).write((*slot).lengths[0]);
        }
        let key = |lane: usize| (*slot).lanes[lane].key;
        // One less, so that no text at all is not taken for a short one.
        let vectors = |lane: usize| (*slot).lengths[lane][0].wrapping_sub(1) / V::BYTES as u64;
        // Of the last vector, whether it has more than one block.
        let blocks = |lane: usize| (*slot).lengths[lane][0].wrapping_sub(1) % V::BYTES as u64 / 16;
        let (mut other_keys, mut other_rounds, mut other_sizes, mut more) = (0, 0, 0, blocks(0));
        for lane in 1..4 {
            other_keys |= ptr::from_ref(key(lane)).addr() ^ ptr::from_ref(key(0)).addr();
            other_rounds |= key(lane).rounds() ^ key(0).rounds();
            other_sizes |= vectors(lane) ^ vectors(0);
            more |= blocks(lane);
        }
        let one_key = other_keys == 0;
        let full = V::LANES == 4 && count == 4;
        let alike = full && (other_rounds | other_sizes as usize) == 0;
        let short = if alike && vectors(0) < SHORT as u64 { vectors(0) as usize + 1 } else { 0 };
        let block = more == 0
            && match short {
                0 => full && one_key && (0..4).all(|lane| vectors(lane) != 0),
                vectors => vectors > 1,
            };
        let short = short.saturating_sub(usize::from(block));
        (&raw mut (*slot).count).write(count);
        (&raw mut (*slot).short).write(short);
        (&raw mut (*slot).block).write(block);
        let group = &mut *slot;
        match group.lanes[0].key.rounds() {
            10 => start_with::<V, W, 11>(group, one_key),
            12 => start_with::<V, W, 13>(group, one_key),
            _ => start_with::<V, W, 15>(group, one_key),
        }
    }
}

/// The same with `KEYS` round keys in the first packet's key, and in all where the texts are short.
#[inline(always)]
unsafe fn start_with<V: Lanes, W: Whole, const KEYS: usize>(group: &mut Group<'_, W, V>, one_key: bool) {
    // SAFETY: the caller's.
    unsafe {
        match (group.short(), group.block(), one_key) {
            (1, false, true) => together::<V, W, KEYS, 1, false, true>(group),
            (1, false, false) => together::<V, W, KEYS, 1, false, false>(group),
            (1, true, true) => together::<V, W, KEYS, 1, true, true>(group),
            (1, true, false) => together::<V, W, KEYS, 1, true, false>(group),
            (2, false, true) => together::<V, W, KEYS, 2, false, true>(group),
            (2, false, false) => together::<V, W, KEYS, 2, false, false>(group),
            (2, true, true) => together::<V, W, KEYS, 2, true, true>(group),
            (2, true, false) => together::<V, W, KEYS, 2, true, false>(group),
            (3, _, true) => together::<V, W, KEYS, 3, false, true>(group),
            (3, _, false) => together::<V, W, KEYS, 3, false, false>(group),
            (_, true, true) => {
                let keys = RoundKeys::<V, KEYS>::new(group.lanes[0].key);
                let masks = V::gather(group.nonces()).xor(keys.at(0));
                let counters = group.lengths.map(|[length, _]| counter::of_block((length as usize - 1) / 16));
                let counters = V::gather(counters.map(|counter| transmute!(*counter)));
                let [masks, blocks] = keys.encrypt([masks, masks.xor(counters)]);
                group.masks.write(masks);
                group.blocks = blocks.lanes().map(MaybeUninit::new);
            }
            (_, _, true) => {
                let keys = RoundKeys::<V, KEYS>::new(group.lanes[0].key);
                let [masks] = keys.encrypt([V::gather(group.nonces()).xor(keys.at(0))]);
                group.masks.write(masks);
            }
            (_, _, false) => {
                let mut masks = group.nonces();
                for (mask, lane) in masks.iter_mut().zip(&group.lanes) {
                    *mask = encrypt(lane.key, *mask);
                }
                group.masks.write(V::gather(masks));
            }
        }
    }
}

/// The key of a packet that was chosen for it.
///
/// # Safety
/// It is of this module.
#[inline(always)]
pub unsafe fn gcm_key<'a>(packet: &impl Whole) -> &'a Key {
    match &packet.key().schedule {
        // SAFETY: the key outlives the batch.
        Schedule::Gcm(_, key) => unsafe { &*ptr::from_ref(key) },
        // SAFETY: the caller's.
        _ => unsafe { std::hint::unreachable_unchecked() },
    }
}

/// The masks, and four short texts of `K` vectors at once, round by round; with `BLOCK` a block follows each of them, or a part
/// of one.
#[inline(always)]
unsafe fn together<V: Lanes, W: Whole, const KEYS: usize, const K: usize, const BLOCK: bool, const ONE_KEY: bool>(
    group: &mut Group<'_, W, V>,
) {
    // SAFETY: the caller's.
    unsafe {
        let [a, b, c, d] = &group.lanes;
        let keys = [a.key, b.key, c.key, d.key];
        let key = |lane: usize| RoundKeys::<V, KEYS>::new(keys[if ONE_KEY { 0 } else { lane }]);
        let nonces = group.nonces();
        // The masks together under one key, else each with its own packet; and so the blocks, each in a vector with its packet's
        // mask behind it: where 128 bits take a unit as long as 512 do, that is half of what the two would take apart.
        let mut masks = V::gather(nonces).xor(key(0).at(0));
        let counter = V::broadcast(counter::of_block(K * V::LANES));
        let mut blocks = masks.xor(counter);
        let (mut own, mut pairs) = (nonces, [V::zero(); 4]);
        let mut states = [[V::zero(); K]; 4];
        for (lane, states) in states.iter_mut().enumerate() {
            let first = key(lane).at(0);
            *states = Counter::new((*group.lanes[lane].packet).nonce(), first).next();
            own[lane] = _mm_xor_si128(own[lane], first.lanes()[0]);
            let nonce = V::broadcast_bytes((*group.lanes[lane].packet).nonce());
            pairs[lane] = nonce.xor3(first, counter.first(size_of::<__m128i>()));
        }
        for round in 1..KEYS - 1 {
            for (lane, states) in states.iter_mut().enumerate() {
                let key = key(lane).at(round);
                for state in states {
                    *state = state.round(key);
                }
                own[lane] = _mm_aesenc_si128(own[lane], key.lanes()[0]);
                pairs[lane] = pairs[lane].round(key);
            }
            masks = masks.round(key(0).at(round));
            blocks = blocks.round(key(0).at(round));
        }
        let last = KEYS - 1;
        let mut own_blocks = nonces;
        for (lane, (own, block)) in own.iter_mut().zip(&mut own_blocks).enumerate() {
            let key = key(lane).at(last);
            if BLOCK {
                [*block, *own, ..] = pairs[lane].last_round(key).lanes();
            } else {
                *own = _mm_aesenclast_si128(*own, key.lanes()[0]);
            }
        }
        group.masks.write(if ONE_KEY { masks.last_round(key(0).at(last)) } else { V::gather(own) });
        let blocks = if ONE_KEY { blocks.last_round(key(0).at(last)).lanes() } else { own_blocks };
        for (lane, states) in states.into_iter().enumerate() {
            let Text { source, destination, length, tail, .. } = group.text(lane);
            let vectors = K + usize::from(BLOCK);
            let whole = vectors - vectors.min(V::END);
            let at = whole * V::BYTES;
            let ends = V::load_end(source.add(at), length - at, tail, vectors - whole);
            for i in 0..K {
                let to = destination.add(i * V::BYTES);
                let source = if i < whole { V::load(source.add(i * V::BYTES)) } else { ends[(i - whole) % MOST_END] };
                let text = source.xor(states[i].last_round(key(lane).at(last)));
                let left = group.lengths[lane][0] as usize - i * V::BYTES;
                let last = i + 1 == K && !BLOCK;
                if last {
                    text.store_first(to, left);
                } else {
                    text.store(to);
                }
                let text = if W::SEAL && last { text.first(left) } else { text };
                group.texts[lane][i].write(if W::SEAL { text } else { source });
            }
            if BLOCK {
                group.put_block(lane, K, ends[(K - whole) % MOST_END], blocks[lane]);
            }
        }
    }
}

/// A block, enciphered.
#[inline(always)]
unsafe fn encrypt(key: &Key, block: __m128i) -> __m128i {
    // SAFETY: the caller's.
    unsafe {
        let mut state = _mm_xor_si128(block, transmute!(key.round_keys[0]));
        for round_key in &key.round_keys[1..key.rounds()] {
            state = _mm_aesenc_si128(state, transmute!(*round_key));
        }
        _mm_aesenclast_si128(state, transmute!(key.round_keys[key.rounds()]))
    }
}

impl<W: Whole, V: Lanes> Group<'_, W, V> {
    /// What was found of the texts' sizes; narrower vectors have no code for it.
    #[inline(always)]
    fn short(&self) -> usize {
        if V::LANES == 4 { self.short } else { 0 }
    }

    /// As [`Group::short`].
    #[inline(always)]
    fn block(&self) -> bool {
        V::LANES == 4 && self.block
    }

    /// A lane's text.
    ///
    /// # Safety
    /// The lane is taken.
    #[inline(always)]
    unsafe fn text(&self, lane: usize) -> Text<'_> {
        let Lane { packet, key, source, destination } = self.lanes[lane];
        // SAFETY: the packet is the group's as long as it is under way.
        let packet = unsafe { &*packet };
        let tail = W::SEAL.then_some(packet.tail());
        let length = self.lengths[lane][0] as usize - tail.map_or(0, Tail::len);
        Text { key, nonce: packet.nonce(), data: &packet.data().block, source, destination, length, tail }
    }

    /// Enciphers or deciphers the single block behind so many whole vectors of a text. It stands first in `source`.
    ///
    /// # Safety
    /// The lane is taken, and its text ends within this block.
    #[inline(always)]
    unsafe fn put_block(&mut self, lane: usize, vectors: usize, source: V, stream: __m128i) {
        // SAFETY: the caller's.
        unsafe {
            let [source, ..] = source.lanes();
            let text = V::of_block(_mm_xor_si128(source, stream));
            let left = self.lengths[lane][0] as usize - vectors * V::BYTES;
            text.store_first(self.lanes[lane].destination.add(vectors * V::BYTES), left);
            self.blocks[lane].write(if W::SEAL { text.first(left).lanes()[0] } else { source });
        }
    }

    /// Adds the single blocks to the sums of the texts. Behind each there is only that of the lengths.
    ///
    /// # Safety
    /// They are there.
    #[inline(always)]
    unsafe fn add_blocks(&self, sum: &mut Sum<V>) {
        let [a, b, c, d] = &self.lanes;
        let powers = [a, b, c, d].map(|lane| lane.key.low_power(2));
        // SAFETY: the caller's.
        unsafe { sum.add_lanes(V::load(self.blocks.as_ptr().cast()).reversed(), powers) };
    }

    /// The lanes' nonces.
    ///
    /// # Safety
    /// The lanes are taken.
    #[inline(always)]
    unsafe fn nonces(&self) -> [__m128i; 4] {
        // SAFETY: the packets are the group's as long as it is under way.
        unsafe {
            let mut nonces = [_mm_setzero_si128(); 4];
            for (nonce, lane) in nonces.iter_mut().zip(&self.lanes) {
                *nonce = _mm_loadu_si128((*lane.packet).nonce().as_ptr().cast());
            }
            nonces
        }
    }
}

/// The second step: the texts' hashes; and those texts that are not short, encrypted or decrypted.
#[inline(always)]
unsafe fn hash<V: Lanes, W: Whole, const N: usize>(group: &mut Group<'_, W, V>, unhashed: &mut Unhashed<V>) {
    // SAFETY: the caller's; a short group's texts are there since the first step.
    unsafe {
        if group.short() != 0 {
            unhashed.catch_up();
            group.sums[0].write(match group.short() {
                1 => short_sums::<V, W, 1>(group),
                2 => short_sums::<V, W, 2>(group),
                _ => short_sums::<V, W, 3>(group),
            });
            return;
        }
        for lane in 0..group.count {
            let to = (&raw mut group.sums[lane]).cast();
            if group.block() {
                let vectors = group.lengths[lane][0] as usize / V::BYTES;
                let Text { source, length, tail, .. } = group.text(lane);
                // With the vector before it, into which a tail may reach, and no further.
                const { assert!(V::LANES != 4 || V::END == 2) };
                let at = (vectors - 1) * V::BYTES;
                let [_, block, ..] = V::load_end(source.add(at), length - at, tail, 2);
                group.put_block(lane, vectors, block, group.blocks[lane].assume_init());
            }
            let text = group.text(lane);
            let front = match text.key.rounds() {
                10 => stream::<V, W, 11, N>(text, group.block(), unhashed, to),
                12 => stream::<V, W, 13, N>(text, group.block(), unhashed, to),
                _ => stream::<V, W, 15, N>(text, group.block(), unhashed, to),
            };
            group.fronts[lane].write(front);
        }
        for lane in group.count..4 {
            group.sums[lane].write(Sum::zero());
            group.fronts[lane] = group.fronts[0];
        }
    }
}

#[inline(always)]
unsafe fn short_sums<V: Lanes, W: Whole, const K: usize>(group: &Group<'_, W, V>) -> Sum<V> {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [Sum::zero(); 4];
        for (lane, sum) in sums.iter_mut().enumerate() {
            let mut text = [V::zero(); K];
            for (i, text) in text.iter_mut().enumerate() {
                *text = group.texts[lane][i].assume_init();
            }
            // The first block's power is one less than that of the associated data.
            let front_power = hash::short_front_power(group.lanes[lane].key, group.lengths[lane][0] as usize);
            *sum = Sum::of_text::<K, false>(text, front_power.add(1));
        }
        let mut sum = Sum::sum_lanes(sums);
        if group.block() {
            group.add_blocks(&mut sum);
        }
        sum
    }
}

/// The third step: the hashes brought to their end, and the tags written or checked.
#[inline(always)]
unsafe fn finish<V: Lanes, W: Whole>(group: &mut Group<'_, W, V>) {
    // SAFETY: the caller's; sum and masks are there since the steps before; tags stand behind the texts.
    unsafe {
        let mut fronts = [_mm_setzero_si128(); 4];
        let mut front_powers = [ptr::null(); 4];
        let mut sum = if group.short() == 0 {
            for (lane, front) in group.fronts.iter().enumerate() {
                let Front { block, power } = front.assume_init_ref();
                (fronts[lane], front_powers[lane]) = (_mm_loadu_si128(block.as_ptr().cast()), *power);
            }
            let mut sum = Sum::sum_lanes(group.sums.map(|sum| sum.assume_init()));
            if group.block() {
                group.add_blocks(&mut sum);
            }
            sum
        } else {
            for (lane, Lane { packet, key, .. }) in group.lanes.iter().enumerate() {
                fronts[lane] = _mm_loadu_si128((**packet).data().block.as_ptr().cast());
                front_powers[lane] = hash::short_front_power(key, group.lengths[lane][0] as usize);
            }
            group.sums[0].assume_init()
        };
        sum.add_lanes(V::gather(fronts).reversed(), front_powers);
        // SP 800-38D §7.1: the lengths in bits, that of the text first, as what is hashed has its bytes reversed.
        let [a, b, c, d] = &group.lanes;
        let first_powers = [a, b, c, d].map(|lane| lane.key.low_power(1));
        sum.add_lanes(V::load(group.lengths.as_ptr().cast()).bits_of_bytes(), first_powers);
        let tags = sum.reduced().reversed().xor(group.masks.assume_init());
        if W::SEAL {
            for (lane, tag) in tags.lanes().into_iter().enumerate().take(group.count) {
                let to = group.lanes[lane].destination.add(group.lengths[lane][0] as usize);
                _mm_storeu_si128(to.cast(), tag);
            }
        } else {
            let mut sent = [_mm_setzero_si128(); 4];
            for (lane, sent) in sent.iter_mut().enumerate() {
                *sent = _mm_loadu_si128(group.lanes[lane].source.add(group.lengths[lane][0] as usize).cast());
            }
            // One comparison of whole tags: its time does not depend on where they differ.
            let equal = tags.xor(V::gather(sent)).zero_lanes();
            for lane in 0..group.count {
                let Lane { packet, destination, .. } = group.lanes[lane];
                let length = group.lengths[lane][0] as usize;
                packet::settle((*packet).verdict(), destination, length, equal & 1 << lane != 0);
            }
        }
    }
}
