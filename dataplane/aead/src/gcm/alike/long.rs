//! Long texts: packet by packet, in pieces, each hashed while the next one is enciphered.

use std::arch::x86_64::{_mm_loadu_si128, _mm_setzero_si128};
use std::mem;

use super::{Common, GROUP, Group};
use crate::gcm::batch::gcm_key;
use crate::gcm::counter::Counter;
use crate::gcm::hash::Sum;
use crate::gcm::key::Key;
use crate::gcm::lanes::Lanes;
use crate::gcm::lanes_512::Quad;
use crate::gcm::stream::{RoundKeys, each_of_nine, encrypt_beside};
use crate::packet::Whole;

/// Vectors of a piece but the last one.
const PIECE: usize = 6;
/// Fewest vectors of the last piece, of a text that has several.
const FEWEST: usize = 3;

/// Vectors of the last piece of a text of so many: `FEWEST` to eight.
pub const fn last(vectors: usize) -> usize {
    if vectors < FEWEST + PIECE { vectors } else { FEWEST + (vectors - FEWEST) % PIECE }
}

/// What [`super::run`] says, of texts of which the last piece has `M` vectors.
///
/// # Safety
/// The caller's of [`super::run`].
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,aes,pclmulqdq,vaes,vpclmulqdq")]
pub unsafe fn run<W: Whole, const ONE_KEY: bool, const KEYS: usize, const M: usize>(
    common: &Common<'_, W, ONE_KEY>,
    mut set: u64,
    packets: *mut W,
) -> u64 {
    // SAFETY: the caller's.
    unsafe {
        let pieces = (common.vectors - M) / PIECE;
        let (mut one, mut other) = (Group::<W>::empty(), Group::<W>::empty());
        let (mut present, mut before) = (&mut one, &mut other);
        let mut first = true;
        let mut sums = [Sum::zero(); GROUP];
        // Of the packet before: its hash so far, and its last piece.
        let (mut hash, mut behind) = (Hash::new(common, common.model), [Quad::zero(); M]);
        loop {
            if !common.take_in(&mut set, packets, present) {
                if !first {
                    for step in 0..Hash::<ONE_KEY>::steps(M, true) {
                        hash.step::<M, true>(&behind, step);
                    }
                    sums[GROUP - 1] = hash.sum;
                    common.finish::<ONE_KEY>(before, Sum::sum_lanes(sums));
                }
                return set;
            }
            encrypt_others::<W, ONE_KEY, KEYS>(common, present);
            for lane in 0..GROUP {
                let packet = present.packets[lane];
                let keys = RoundKeys::<Quad, KEYS>::new(common.key(present, lane));
                let (mut source, mut destination) = present.places[lane];
                let mut counter = Counter::new((*packet).nonce(), keys.at(0));
                let stream = if pieces == 0 {
                    let stream = encrypt_and_hash::<_, _, _, _, true>(keys, counter.next::<M>(), &mut hash, behind);
                    sums[(lane + GROUP - 1) % GROUP] = hash.sum;
                    hash = Hash::new(common, packet);
                    stream
                } else {
                    let mut stream =
                        encrypt_and_hash::<_, _, _, _, true>(keys, counter.next::<PIECE>(), &mut hash, behind);
                    sums[(lane + GROUP - 1) % GROUP] = hash.sum;
                    hash = Hash::new(common, packet);
                    let mut left = pieces;
                    loop {
                        let mut texts = [Quad::zero(); PIECE];
                        let mut piece = [Quad::zero(); PIECE];
                        for i in 0..PIECE {
                            let text = Quad::load(source.add(i * Quad::BYTES));
                            // All of them before the first one is stored: what is loaded may look like what was just stored, as
                            // far as the processor looks at addresses.
                            texts[i] = text.xor(stream[i]).pinned();
                            piece[i] = if W::SEAL { texts[i] } else { text };
                        }
                        for (i, text) in texts.into_iter().enumerate() {
                            text.store(destination.add(i * Quad::BYTES));
                        }
                        source = source.add(PIECE * Quad::BYTES);
                        destination = destination.add(PIECE * Quad::BYTES);
                        left -= 1;
                        if left == 0 {
                            break encrypt_and_hash::<_, _, _, _, false>(keys, counter.next::<M>(), &mut hash, piece);
                        }
                        stream = encrypt_and_hash::<_, _, _, _, false>(keys, counter.next::<PIECE>(), &mut hash, piece);
                    }
                };
                let texts = common.load_last(packet, source);
                behind = common.put_last::<M, false>(texts, stream, destination);
                if lane == 0 && !first {
                    common.finish::<ONE_KEY>(before, Sum::sum_lanes(sums));
                }
            }
            if common.block {
                common.put_blocks(present);
            }
            mem::swap(&mut present, &mut before);
            first = false;
        }
    }
}

/// The hash of a text under way.
///
/// Under one key each block has a power of its own, as far as the text goes. Of many keys that would be too much to read: there
/// `before` stands for all vectors up to the last one that was added, and goes on from piece to piece by powers of `H^4`.
struct Hash<'a, const ONE_KEY: bool> {
    sum: Sum<Quad>,
    key: &'a Key,
    /// Of the hash key: under one key, that of the next vector's first block; else that of the first block of the last vector but one.
    power: *const u128,
    before: Quad,
}

impl<'a, const ONE_KEY: bool> Hash<'a, ONE_KEY> {
    /// Of a packet's text, to which nothing was added yet.
    #[inline(always)]
    unsafe fn new<W: Whole>(common: &Common<'a, W, ONE_KEY>, packet: *const W) -> Self {
        // SAFETY: the caller's of `run`.
        unsafe {
            let (key, power, before) = if ONE_KEY {
                (common.key, common.first, Quad::zero())
            } else {
                let key = gcm_key(&*packet);
                let data = _mm_loadu_si128((*packet).data().block.as_ptr().cast());
                let zero = _mm_setzero_si128();
                let last_but_one = common.power - (common.vectors - 2) * Quad::LANES;
                (key, key.low_power(last_but_one), Quad::gather([zero, zero, zero, data]).reversed())
            };
            Self { sum: Sum::zero(), key, power, before }
        }
    }

    /// In how many steps so many vectors are added, the text's last ones or others.
    const fn steps(vectors: usize, last: bool) -> usize {
        if ONE_KEY { vectors.div_ceil(2) } else { (vectors - last as usize).div_ceil(2) + 1 }
    }

    /// One of the steps in which the next `H` vectors are added, the text's last ones if so it is said.
    #[inline(always)]
    unsafe fn step<const H: usize, const LAST: bool>(&mut self, texts: &[Quad; H], step: usize) {
        // SAFETY: the caller's of `run`.
        unsafe {
            if ONE_KEY {
                // The first one alone if they are odd.
                let at = (2 * step).saturating_sub(H % 2);
                let power = self.power.add(at * Quad::LANES);
                if !H.is_multiple_of(2) && step == 0 {
                    self.sum.add_sum(Sum::text_product::<true>(texts[0], power));
                } else {
                    self.sum.add_pair::<true>([texts[at], texts[(at + 1) % H]], power);
                }
                if step + 1 == Self::steps(H, LAST) {
                    self.power = self.power.add(H * Quad::LANES);
                }
            } else {
                // The last one of all may be filled in part.
                let count = H - usize::from(LAST);
                let at = (2 * step).saturating_sub(count % 2);
                if step + 1 == Self::steps(H, LAST) {
                    self.before = self.sum.reduced().xor(texts[count - 1].reversed());
                    self.sum = if LAST { self.last_sum(texts[H - 1]) } else { Sum::zero() };
                } else if !count.is_multiple_of(2) && step == 0 {
                    self.sum.add_sum(self.product(texts, count, 1));
                } else {
                    self.sum.add_two(self.product(texts, count, at + 1), self.product(texts, count, at + 2));
                }
            }
            self.sum.pin();
        }
    }

    /// Of `count` vectors the product of the one so many before the last one, with the power that goes as far. What stands for those
    /// before comes last, for it is known last.
    #[inline(always)]
    unsafe fn product<const H: usize>(&self, texts: &[Quad; H], count: usize, vectors: usize) -> Sum<Quad> {
        // SAFETY: the caller's.
        unsafe {
            let power = Quad::broadcast(self.key.stride(vectors));
            let blocks = if vectors == count { self.before } else { texts[count - 1 - vectors].reversed() };
            Sum::folding_product(blocks, power)
        }
    }

    /// The sum over the text: `before`, and the last vector.
    #[inline(always)]
    unsafe fn last_sum(&self, last: Quad) -> Sum<Quad> {
        // SAFETY: the caller's.
        unsafe {
            let power = Quad::load_blocks(self.power);
            let mut sum = Sum::folding_product(self.before, power);
            sum.add_sum(Sum::text_product::<false>(last, self.power.add(Quad::LANES)));
            sum
        }
    }
}

/// The blocks that are no vectors of texts: masks, and what single blocks are enciphered with.
#[inline(always)]
unsafe fn encrypt_others<W: Whole, const ONE_KEY: bool, const KEYS: usize>(
    common: &Common<'_, W, ONE_KEY>,
    group: &mut Group<W>,
) {
    // SAFETY: the caller's of `run`.
    unsafe {
        let keys = common.keys(group).map(RoundKeys::<Quad, KEYS>::new);
        if ONE_KEY {
            [group.masks, group.blocks] = keys[0].encrypt(common.masks(keys[0], group));
            return;
        }
        let mut pairs = [Quad::zero(); GROUP];
        for (lane, pair) in pairs.iter_mut().enumerate() {
            *pair = common.pair(keys[lane], group.packets[lane]);
        }
        for round in 1..KEYS - 1 {
            for (pair, keys) in pairs.iter_mut().zip(keys) {
                *pair = pair.round(keys.at(round));
            }
        }
        for (pair, keys) in pairs.iter_mut().zip(keys) {
            *pair = pair.last_round(keys.at(KEYS - 1));
        }
        [group.blocks, group.masks] = Quad::first_two(pairs);
    }
}

/// All rounds on states that have the first key added, while `H` vectors are hashed, the text's last ones if so it is said.
#[inline(always)]
unsafe fn encrypt_and_hash<const ONE_KEY: bool, const KEYS: usize, const P: usize, const H: usize, const LAST: bool>(
    keys: RoundKeys<'_, Quad, KEYS>,
    mut states: [Quad; P],
    hash: &mut Hash<'_, ONE_KEY>,
    texts: [Quad; H],
) -> [Quad; P] {
    // SAFETY: the caller's of `run`.
    unsafe {
        let steps = Hash::<ONE_KEY>::steps(H, LAST);
        let apart = 9 / steps;
        encrypt_beside!(keys, states, round => {
            let step = (round - 1) / apart;
            if (round - 1).is_multiple_of(apart) && step < steps {
                hash.step::<H, LAST>(&texts, step);
            }
        });
        states
    }
}
