//! SHA-1, a message in each lane (FIPS 180-4 §6.1).

// Indices run over several arrays at once.
#![allow(clippy::needless_range_loop)]

use super::hash::{Engine, Hash, Lanes};
use super::sha_ni;
use super::words::{Narrow256, Narrow512, Words};

/// SHA-1 (FIPS 180-4 §6.1). In HMAC its collisions do no harm.
pub struct Sha1;

/// FIPS 180-4 §4.2.1.
const CONSTANTS: [u32; 4] = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6];

/// Round `I` of twenty (FIPS 180-4 §6.1.2 step 3) of the quarter `Q`. The variables a to e stay where they are, and
/// their names move.
#[inline(always)]
unsafe fn round<V: Words<Word = u32>, const Q: usize, const I: usize>(state: &mut [V; 5], word: V) {
    let at = |name: usize| (name + 20 - I) % 5;
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(|name| state[at(name)]);
    // SAFETY: the caller's.
    unsafe {
        let mixed = match Q {
            0 => b.choose(c, d),
            2 => b.majority(c, d),
            _ => b.xor3(c, d),
        };
        // The terms that are known first are added first.
        let known = e.add(word.add(V::splat(CONSTANTS[Q])));
        state[at(4)] = known.add(mixed).add(a.rotate_right(32 - 5));
        state[at(1)] = b.rotate_right(32 - 30);
    }
}

/// The word sixteen on (FIPS 180-4 §6.1.2 step 1), in place of word `T`.
#[inline(always)]
unsafe fn schedule<V: Words<Word = u32>, const T: usize>(words: &mut [V; 16]) {
    let (back_14, back_8, back_3) = (words[(T + 2) % 16], words[(T + 8) % 16], words[(T + 13) % 16]);
    // SAFETY: the caller's.
    unsafe { words[T % 16] = words[T % 16].xor(back_14.xor3(back_8, back_3)).rotate_right(32 - 1) }
}

/// `count` blocks of the message in each lane.
///
/// # Safety
/// The vector's instructions; `states` and `blocks` good for the vector's lanes; the pointers readable for `count`
/// blocks.
#[inline(always)]
unsafe fn compress<V: Words<Word = u32>>(states: *mut [u32; 16], blocks: *const *const u8, count: usize) {
    // SAFETY: the caller's.
    unsafe {
        let row = |i: usize| states.add(i).cast::<u32>();
        let mut state: [V; 5] = std::array::from_fn(|i| V::load(row(i)));
        for at in 0..count {
            state = absorb(state, V::message(blocks, at * 64));
            for i in 0..5 {
                state[i] = state[i].add(V::load(row(i)));
                state[i].store(row(i));
            }
        }
    }
}

/// The rounds of one block (FIPS 180-4 §6.1.2 steps 1 to 3).
#[inline(always)]
unsafe fn absorb<V: Words<Word = u32>>(mut state: [V; 5], mut words: [V; 16]) -> [V; 5] {
    macro_rules! twenty {
        ($quarter:literal) => {
            twenty!($quarter, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19)
        };
        ($quarter:literal, $($number:literal)*) => {$({
            const T: usize = 20 * $quarter + $number;
            round::<V, $quarter, $number>(&mut state, words[T % 16]);
            if T < 64 {
                schedule::<V, T>(&mut words);
            }
        })*};
    }
    // SAFETY: the caller's.
    unsafe {
        twenty!(0);
        twenty!(1);
        twenty!(2);
        twenty!(3);
    }
    state
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn narrow_512(lanes: &mut Lanes<u32, 16>, count: usize) {
    lanes.fill_idle(lanes.active);
    // SAFETY: the features are enabled here; every lane's pointer is readable for `count` blocks, as `Lanes` says.
    unsafe { compress::<Narrow512>(lanes.states.as_mut_ptr(), lanes.next.as_ptr(), count) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn narrow_512_words(lanes: &mut Lanes<u32, 16>, words: &[[u32; 16]; 16]) {
    // SAFETY: the features are enabled here; a row is a vector.
    unsafe {
        let loaded: [Narrow512; 16] = std::array::from_fn(|i| Narrow512::load(words[i].as_ptr()));
        let mut state: [Narrow512; 5] = std::array::from_fn(|i| Narrow512::load(lanes.states[i].as_ptr()));
        state = absorb(state, loaded);
        for i in 0..5 {
            state[i].add(Narrow512::load(lanes.states[i].as_ptr())).store(lanes.states[i].as_mut_ptr());
        }
    }
}

#[target_feature(enable = "avx2")]
fn narrow_256(lanes: &mut Lanes<u32, 16>, count: usize) {
    lanes.fill_idle(lanes.active);
    for first in (0..lanes.active).step_by(8) {
        let states = lanes.states.as_mut_ptr().cast::<u32>().wrapping_add(first).cast();
        // SAFETY: as above, for the eight lanes from `first` on: 0 or 8.
        unsafe { compress::<Narrow256>(states, lanes.next.as_ptr().add(first), count) }
    }
}

/// With so few messages left, the SHA extensions, two messages at a time, are faster than sixteen lanes that idle.
const FEW: usize = 8;
/// So many messages in vectors of eight are faster than by the SHA extensions.
const MANY: usize = 13;

impl Hash<16> for Sha1 {
    type Word = u32;
    const BLOCK: usize = 64;

    fn is_by_vectors(engine: Engine, active: usize) -> bool {
        engine.avx512 && !(engine.sha && active <= FEW)
    }

    fn compress_words(lanes: &mut Lanes<u32, 16>, words: &[[u32; 16]; 16]) {
        // SAFETY: it is by vectors, so the processor was found to have them.
        unsafe { narrow_512_words(lanes, words) }
    }

    fn compress(engine: Engine, lanes: &mut Lanes<u32, 16>, count: usize) {
        // SAFETY: an engine has only what the processor was found to have.
        unsafe {
            if Self::is_by_vectors(engine, lanes.active) {
                narrow_512(lanes, count);
            } else if engine.sha && !(engine.avx2 && lanes.active >= MANY) {
                sha_ni::sha1(lanes, count);
            } else if engine.avx2 && lanes.active > 1 {
                narrow_256(lanes, count);
            } else {
                lanes.one_by_one(count, ::sha1::block_api::compress);
            }
        }
    }
}
