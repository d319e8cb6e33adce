//! Long texts: packet by packet, in pieces, each hashed while the next one is enciphered.

use std::mem;

use super::{Common, GROUP, Group};
use crate::gcm::counter::Counter;
use crate::gcm::hash::Sum;
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
pub unsafe fn run<W: Whole, const KEYS: usize, const M: usize>(
    common: &Common<'_, W>,
    mut set: u64,
    packets: *mut W,
) -> u64 {
    // SAFETY: the caller's.
    unsafe {
        let keys = RoundKeys::<Quad, KEYS>::new(common.key);
        let pieces = (common.vectors - M) / PIECE;
        let last_power = common.power.add(pieces * PIECE * Quad::LANES);
        let (mut one, mut other) = (Group::<W>::empty(), Group::<W>::empty());
        let (mut present, mut before) = (&mut one, &mut other);
        let mut first = true;
        let mut sums = [Sum::zero(); GROUP];
        // The packet's before: its sum so far, and its last piece.
        let (mut sum, mut behind) = (Sum::zero(), [Quad::zero(); M]);
        loop {
            if !common.take_in(&mut set, packets, present) {
                if !first {
                    sum.add_sum(Sum::of_text::<M, true>(behind, last_power));
                    sums[GROUP - 1] = sum;
                    common.finish(before, Sum::sum_lanes(sums));
                }
                return set;
            }
            let masks = common.masks(keys, present);
            [present.masks, present.blocks] = keys.encrypt(masks);
            for lane in 0..GROUP {
                let packet = present.packets[lane];
                let (mut source, mut destination) = present.places[lane];
                let mut counter = Counter::new((*packet).nonce(), keys.at(0));
                let stream = if pieces == 0 {
                    let stream = encrypt_and_hash(keys, counter.next::<M>(), &mut sum, behind, last_power);
                    sums[(lane + GROUP - 1) % GROUP] = sum;
                    sum = Sum::zero();
                    stream
                } else {
                    let mut stream = encrypt_and_hash(keys, counter.next::<PIECE>(), &mut sum, behind, last_power);
                    sums[(lane + GROUP - 1) % GROUP] = sum;
                    sum = Sum::zero();
                    let mut power = common.power;
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
                            break encrypt_and_hash(keys, counter.next::<M>(), &mut sum, piece, power);
                        }
                        stream = encrypt_and_hash(keys, counter.next::<PIECE>(), &mut sum, piece, power);
                        power = power.add(PIECE * Quad::LANES);
                    }
                };
                let texts = common.load_last(packet, source);
                behind = common.put_last::<M, false>(texts, stream, destination);
                if lane == 0 && !first {
                    common.finish(before, Sum::sum_lanes(sums));
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

/// All rounds on states that have the first key added, while `H` vectors are added to the sum, the first block's power given.
#[inline(always)]
unsafe fn encrypt_and_hash<const KEYS: usize, const P: usize, const H: usize>(
    keys: RoundKeys<'_, Quad, KEYS>,
    mut states: [Quad; P],
    sum: &mut Sum<Quad>,
    texts: [Quad; H],
    power: *const u128,
) -> [Quad; P] {
    // SAFETY: the caller's of `run`.
    unsafe {
        let steps = H.div_ceil(2);
        let apart = 9 / steps;
        encrypt_beside!(keys, states, round => {
            let step = (round - 1) / apart;
            if (round - 1).is_multiple_of(apart) && step < steps {
                // The first one alone if they are odd.
                let at = (2 * step).saturating_sub(H % 2);
                let power = power.add(at * Quad::LANES);
                if !H.is_multiple_of(2) && step == 0 {
                    sum.add_sum(Sum::text_product::<true>(texts[0], power));
                } else {
                    sum.add_pair::<true>([texts[at], texts[(at + 1) % H]], power);
                }
                sum.pin();
            }
        });
        states
    }
}
