//! Short texts: those of four packets go through the rounds together.

use std::mem;

use super::{Common, GROUP, Group};
use crate::gcm::counter::Counter;
use crate::gcm::hash::Sum;
use crate::gcm::lanes::Lanes;
use crate::gcm::lanes_512::Quad;
use crate::gcm::stream::RoundKeys;
use crate::packet::Whole;

/// Most vectors of a short text.
pub const MOST: usize = 3;

/// What [`super::run`] says, of texts of `K` vectors.
///
/// # Safety
/// The caller's of [`super::run`].
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,aes,pclmulqdq,vaes,vpclmulqdq")]
pub unsafe fn run<W: Whole, const ONE_KEY: bool, const KEYS: usize, const K: usize>(
    common: &Common<'_, W, ONE_KEY>,
    set: u64,
    packets: *mut W,
) -> u64 {
    // SAFETY: the caller's.
    unsafe {
        if common.block {
            run_with::<W, ONE_KEY, KEYS, K, true>(common, set, packets)
        } else {
            run_with::<W, ONE_KEY, KEYS, K, false>(common, set, packets)
        }
    }
}

/// The same with single blocks behind the vectors, or without.
#[inline(always)]
unsafe fn run_with<W: Whole, const ONE_KEY: bool, const KEYS: usize, const K: usize, const BLOCK: bool>(
    common: &Common<'_, W, ONE_KEY>,
    mut set: u64,
    packets: *mut W,
) -> u64 {
    // SAFETY: the caller's.
    unsafe {
        let [mut one, mut other] = [(); 2].map(|()| (Group::<W>::empty(), [[Quad::zero(); K]; GROUP]));
        let (mut present, mut before) = (&mut one, &mut other);
        let mut first = true;
        loop {
            // When opening, what was found is written into the packets, and what is read of others would wait for it.
            if W::SEAL && !first {
                finish(common, before);
            }
            let more = common.take_in(&mut set, packets, &mut present.0);
            if !W::SEAL && !first {
                finish(common, before);
            }
            if !more {
                return set;
            }
            encrypt::<W, ONE_KEY, KEYS, K, BLOCK>(common, &mut present.0, &mut present.1);
            mem::swap(&mut present, &mut before);
            first = false;
        }
    }
}

/// The second step: hashes and tags.
#[inline(always)]
unsafe fn finish<W: Whole, const ONE_KEY: bool, const K: usize>(
    common: &Common<'_, W, ONE_KEY>,
    (group, texts): &(Group<W>, [[Quad; K]; GROUP]),
) {
    // SAFETY: the caller's; the first step was taken.
    unsafe {
        let mut sums = [Sum::zero(); GROUP];
        for (lane, (sum, texts)) in sums.iter_mut().zip(texts).enumerate() {
            // Of many keys the powers are read that are kept for short texts, and those alone.
            *sum = Sum::of_text::<K, ONE_KEY>(*texts, common.power(common.key(group, lane)));
        }
        common.finish::<true>(group, Sum::sum_lanes(sums));
    }
}

/// The first step: masks and texts, what is to be hashed of these put into `hashed`.
#[inline(always)]
unsafe fn encrypt<W: Whole, const ONE_KEY: bool, const KEYS: usize, const K: usize, const BLOCK: bool>(
    common: &Common<'_, W, ONE_KEY>,
    group: &mut Group<W>,
    hashed: &mut [[Quad; K]; GROUP],
) {
    // SAFETY: the caller's.
    unsafe {
        let keys = common.keys(group).map(RoundKeys::<Quad, KEYS>::new);
        let [mut masks, mut blocks] = common.masks(keys[0], group);
        let mut pairs = [Quad::zero(); GROUP];
        let mut states = [[Quad::zero(); K]; GROUP];
        for (lane, keys) in keys.into_iter().enumerate() {
            let packet = group.packets[lane];
            states[lane] = Counter::new((*packet).nonce(), keys.at(0)).next();
            pairs[lane] = common.pair(keys, packet);
        }
        for round in 1..KEYS - 1 {
            for (lane, keys) in keys.iter().enumerate() {
                let key = keys.at(round);
                for state in &mut states[lane] {
                    *state = state.round(key).pinned();
                }
                if !ONE_KEY {
                    pairs[lane] = pairs[lane].round(key).pinned();
                }
            }
            if ONE_KEY {
                masks = masks.round(keys[0].at(round)).pinned();
                if BLOCK {
                    blocks = blocks.round(keys[0].at(round)).pinned();
                }
            }
        }
        for (lane, keys) in keys.iter().enumerate() {
            let key = keys.at(KEYS - 1);
            for state in &mut states[lane] {
                *state = state.last_round(key);
            }
            pairs[lane] = pairs[lane].last_round(key);
        }
        if ONE_KEY {
            let key = keys[0].at(KEYS - 1);
            group.masks = masks.last_round(key);
            if BLOCK {
                group.blocks = blocks.last_round(key);
            }
        } else {
            [group.blocks, group.masks] = Quad::first_two(pairs);
        }
        // Asked once for all lanes.
        if common.is_plain() && (BLOCK || common.is_whole()) {
            for (lane, stream) in states.into_iter().enumerate() {
                let (source, destination) = group.places[lane];
                hashed[lane] = common.put_last::<K, true>(common.load_plain(source), stream, destination);
            }
        } else {
            for (lane, stream) in states.into_iter().enumerate() {
                let (source, destination) = group.places[lane];
                let texts = common.load_last(group.packets[lane], source);
                hashed[lane] = common.put_last::<K, false>(texts, stream, destination);
            }
        }
        if BLOCK {
            common.put_blocks(group);
        }
    }
}
