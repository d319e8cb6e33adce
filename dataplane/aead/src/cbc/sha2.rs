//! SHA-256 and SHA-512, a message in each lane (FIPS 180-4 §6.2, §6.4).

// Indices run over several arrays at once.
#![allow(clippy::needless_range_loop)]

use super::hash::{Engine, Hash, Lanes};
use super::sha_ni;
use super::words::{Narrow256, Narrow512, Wide256, Wide512, Words};

/// SHA-256 (FIPS 180-4 §6.2).
pub struct Sha256;

/// SHA-512 (FIPS 180-4 §6.4), and SHA-384, which differs in where it starts and how much it shows (§6.5).
pub struct Sha512;

/// By how many bits the functions of FIPS 180-4 §4.1.2 and §4.1.3 rotate; σ's last shifts.
struct Functions {
    sum_0: [u32; 3],
    sum_1: [u32; 3],
    sigma_0: [u32; 3],
    sigma_1: [u32; 3],
}

/// Vectors on which SHA-2 is defined.
trait Sha2Words: Words {
    const FUNCTIONS: Functions;
}

const NARROW: Functions =
    Functions { sum_0: [2, 13, 22], sum_1: [6, 11, 25], sigma_0: [7, 18, 3], sigma_1: [17, 19, 10] };
const WIDE: Functions =
    Functions { sum_0: [28, 34, 39], sum_1: [14, 18, 41], sigma_0: [1, 8, 7], sigma_1: [19, 61, 6] };

impl Sha2Words for Narrow512 {
    const FUNCTIONS: Functions = NARROW;
}

impl Sha2Words for Narrow256 {
    const FUNCTIONS: Functions = NARROW;
}

impl Sha2Words for Wide512 {
    const FUNCTIONS: Functions = WIDE;
}

impl Sha2Words for Wide256 {
    const FUNCTIONS: Functions = WIDE;
}

/// FIPS 180-4 §4.1.2: Σ.
#[inline(always)]
unsafe fn sum<V: Words>(x: V, rotations: [u32; 3]) -> V {
    // SAFETY: the caller's.
    unsafe { x.rotate_right(rotations[0]).xor3(x.rotate_right(rotations[1]), x.rotate_right(rotations[2])) }
}

/// FIPS 180-4 §4.1.2: σ.
#[inline(always)]
unsafe fn sigma<V: Words>(x: V, rotations: [u32; 3]) -> V {
    // SAFETY: the caller's.
    unsafe { x.rotate_right(rotations[0]).xor3(x.rotate_right(rotations[1]), x.shift_right(rotations[2])) }
}

/// Round `I` of sixteen (FIPS 180-4 §6.2.2 step 3). The variables a to h stay where they are, and their names move.
#[inline(always)]
unsafe fn round<V: Sha2Words, const I: usize>(state: &mut [V; 8], word: V, constant: V::Word) {
    let at = |name: usize| (name + 16 - I) % 8;
    let [a, b, c, d, e, f, g, h] = [0, 1, 2, 3, 4, 5, 6, 7].map(|name| state[at(name)]);
    // SAFETY: the caller's.
    unsafe {
        // The terms that are known first are added first.
        let known = h.add(word.add(V::splat(constant)));
        let t = known.add(e.choose(f, g)).add(sum(e, V::FUNCTIONS.sum_1));
        state[at(3)] = d.add(t);
        state[at(7)] = t.add(a.majority(b, c)).add(sum(a, V::FUNCTIONS.sum_0));
    }
}

/// The word sixteen on (FIPS 180-4 §6.2.2 step 1), in place of word `I`.
#[inline(always)]
unsafe fn schedule<V: Sha2Words, const I: usize>(words: &mut [V; 16]) {
    let (back_15, back_7, back_2) = (words[(I + 1) % 16], words[(I + 9) % 16], words[(I + 14) % 16]);
    // SAFETY: the caller's.
    unsafe {
        let known = words[I].add(back_7).add(sigma(back_15, V::FUNCTIONS.sigma_0));
        words[I] = known.add(sigma(back_2, V::FUNCTIONS.sigma_1));
    }
}

/// `count` blocks of the message in each lane; `states` are rows of `L` lanes, from the first of these on.
///
/// # Safety
/// The vector's instructions; `states` and `blocks` good for the vector's lanes; the pointers readable for `count`
/// blocks.
#[inline(always)]
unsafe fn compress<V: Sha2Words, const L: usize>(
    states: *mut [V::Word; L],
    blocks: *const *const u8,
    count: usize,
    constants: &[V::Word],
) {
    let block = 16 * size_of::<V::Word>();
    // SAFETY: the caller's.
    unsafe {
        let row = |i: usize| states.add(i).cast::<V::Word>();
        let mut state: [V; 8] = std::array::from_fn(|i| V::load(row(i)));
        for at in 0..count {
            state = absorb(state, V::message(blocks, at * block), constants);
            for i in 0..8 {
                state[i] = state[i].add(V::load(row(i)));
                state[i].store(row(i));
            }
        }
    }
}

/// One block of the message in each lane, whose words stand in rows; for all lanes of the vector.
///
/// # Safety
/// The vector's instructions.
#[inline(always)]
unsafe fn compress_words<V: Sha2Words, const L: usize>(
    states: &mut [[V::Word; L]; 8],
    words: &[[V::Word; L]; 16],
    constants: &[V::Word],
) {
    assert!(L * size_of::<V::Word>() == size_of::<V>());
    // SAFETY: the caller's; a row is a vector.
    unsafe {
        let mut state = [V::load(states[0].as_ptr()); 8];
        let mut loaded = [state[0]; 16];
        for i in 0..8 {
            state[i] = V::load(states[i].as_ptr());
        }
        for i in 0..16 {
            loaded[i] = V::load(words[i].as_ptr());
        }
        state = absorb(state, loaded, constants);
        for i in 0..8 {
            state[i].add(V::load(states[i].as_ptr())).store(states[i].as_mut_ptr());
        }
    }
}

/// The rounds of one block (FIPS 180-4 §6.2.2 steps 1 to 3).
#[inline(always)]
unsafe fn absorb<V: Sha2Words>(mut state: [V; 8], mut words: [V; 16], constants: &[V::Word]) -> [V; 8] {
    // SAFETY: the caller's.
    unsafe {
        let (rounds, _) = constants.as_chunks::<16>();
        let (last, rest) = rounds.split_last().unwrap_unchecked();
        macro_rules! sixteen {
            ($constants:ident, |$i:ident| $then:stmt) => {
                sixteen!($constants, $i, $then, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
            };
            ($constants:ident, $i:ident, $then:stmt, $($number:literal)*) => {$({
                const $i: usize = $number;
                round::<V, $i>(&mut state, words[$i], $constants[$i]);
                $then
            })*};
        }
        for constants in rest {
            sixteen!(constants, |I| schedule::<V, I>(&mut words));
        }
        sixteen!(last, |_I| ());
    }
    state
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn narrow_512(lanes: &mut Lanes<u32, 16>, count: usize) {
    lanes.fill_idle(lanes.active);
    // SAFETY: the features are enabled here; every lane's pointer is readable for `count` blocks, as `Lanes` says.
    unsafe { compress::<Narrow512, 16>(lanes.states.as_mut_ptr(), lanes.next.as_ptr(), count, &CONSTANTS_256) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn wide_512(lanes: &mut Lanes<u64, 8>, count: usize) {
    lanes.fill_idle(lanes.active);
    // SAFETY: as above.
    unsafe { compress::<Wide512, 8>(lanes.states.as_mut_ptr(), lanes.next.as_ptr(), count, &CONSTANTS_512) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn narrow_512_words(lanes: &mut Lanes<u32, 16>, words: &[[u32; 16]; 16]) {
    // SAFETY: the features are enabled here.
    unsafe { compress_words::<Narrow512, 16>(&mut lanes.states, words, &CONSTANTS_256) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn wide_512_words(lanes: &mut Lanes<u64, 8>, words: &[[u64; 8]; 16]) {
    // SAFETY: the features are enabled here.
    unsafe { compress_words::<Wide512, 8>(&mut lanes.states, words, &CONSTANTS_512) }
}

#[target_feature(enable = "avx2")]
fn narrow_256(lanes: &mut Lanes<u32, 16>, count: usize) {
    lanes.fill_idle(lanes.active);
    for first in (0..lanes.active).step_by(8) {
        let states = lanes.states.as_mut_ptr().cast::<u32>().wrapping_add(first).cast();
        // SAFETY: as above, for the eight lanes from `first` on: 0 or 8.
        unsafe { compress::<Narrow256, 16>(states, lanes.next.as_ptr().add(first), count, &CONSTANTS_256) }
    }
}

#[target_feature(enable = "avx2")]
fn wide_256(lanes: &mut Lanes<u64, 8>, count: usize) {
    lanes.fill_idle(lanes.active);
    for first in (0..lanes.active).step_by(4) {
        let states = lanes.states.as_mut_ptr().cast::<u64>().wrapping_add(first).cast();
        // SAFETY: as above, for the four lanes from `first` on: 0 or 4.
        unsafe { compress::<Wide256, 8>(states, lanes.next.as_ptr().add(first), count, &CONSTANTS_512) }
    }
}

/// With so few messages left, the SHA extensions, two messages at a time, are faster than sixteen lanes that idle.
const FEW: usize = 12;

impl Hash<16> for Sha256 {
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
            } else if engine.sha {
                sha_ni::sha256(lanes, count);
            } else if engine.avx2 && lanes.active > 1 {
                narrow_256(lanes, count);
            } else {
                lanes.one_by_one(count, ::sha2::block_api::compress256);
            }
        }
    }
}

impl Hash<8> for Sha512 {
    type Word = u64;
    const BLOCK: usize = 128;

    fn is_by_vectors(engine: Engine, active: usize) -> bool {
        engine.avx512 && active > 1
    }

    fn compress_words(lanes: &mut Lanes<u64, 8>, words: &[[u64; 8]; 16]) {
        // SAFETY: it is by vectors, so the processor was found to have them.
        unsafe { wide_512_words(lanes, words) }
    }

    fn compress(engine: Engine, lanes: &mut Lanes<u64, 8>, count: usize) {
        // SAFETY: an engine has only what the processor was found to have.
        unsafe {
            if Self::is_by_vectors(engine, lanes.active) {
                wide_512(lanes, count);
            } else if engine.avx2 && lanes.active > 1 {
                wide_256(lanes, count);
            } else {
                lanes.one_by_one(count, ::sha2::block_api::compress512);
            }
        }
    }
}

/// FIPS 180-4 §4.2.2.
pub(super) static CONSTANTS_256: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
];

/// FIPS 180-4 §4.2.3.
static CONSTANTS_512: [u64; 80] = [
    0x428a2f98_d728ae22,
    0x71374491_23ef65cd,
    0xb5c0fbcf_ec4d3b2f,
    0xe9b5dba5_8189dbbc,
    0x3956c25b_f348b538,
    0x59f111f1_b605d019,
    0x923f82a4_af194f9b,
    0xab1c5ed5_da6d8118,
    0xd807aa98_a3030242,
    0x12835b01_45706fbe,
    0x243185be_4ee4b28c,
    0x550c7dc3_d5ffb4e2,
    0x72be5d74_f27b896f,
    0x80deb1fe_3b1696b1,
    0x9bdc06a7_25c71235,
    0xc19bf174_cf692694,
    0xe49b69c1_9ef14ad2,
    0xefbe4786_384f25e3,
    0x0fc19dc6_8b8cd5b5,
    0x240ca1cc_77ac9c65,
    0x2de92c6f_592b0275,
    0x4a7484aa_6ea6e483,
    0x5cb0a9dc_bd41fbd4,
    0x76f988da_831153b5,
    0x983e5152_ee66dfab,
    0xa831c66d_2db43210,
    0xb00327c8_98fb213f,
    0xbf597fc7_beef0ee4,
    0xc6e00bf3_3da88fc2,
    0xd5a79147_930aa725,
    0x06ca6351_e003826f,
    0x14292967_0a0e6e70,
    0x27b70a85_46d22ffc,
    0x2e1b2138_5c26c926,
    0x4d2c6dfc_5ac42aed,
    0x53380d13_9d95b3df,
    0x650a7354_8baf63de,
    0x766a0abb_3c77b2a8,
    0x81c2c92e_47edaee6,
    0x92722c85_1482353b,
    0xa2bfe8a1_4cf10364,
    0xa81a664b_bc423001,
    0xc24b8b70_d0f89791,
    0xc76c51a3_0654be30,
    0xd192e819_d6ef5218,
    0xd6990624_5565a910,
    0xf40e3585_5771202a,
    0x106aa070_32bbd1b8,
    0x19a4c116_b8d2d0c8,
    0x1e376c08_5141ab53,
    0x2748774c_df8eeb99,
    0x34b0bcb5_e19b48a8,
    0x391c0cb3_c5c95a63,
    0x4ed8aa4a_e3418acb,
    0x5b9cca4f_7763e373,
    0x682e6ff3_d6b2b8a3,
    0x748f82ee_5defb2fc,
    0x78a5636f_43172f60,
    0x84c87814_a1f0ab72,
    0x8cc70208_1a6439ec,
    0x90befffa_23631e28,
    0xa4506ceb_de82bde9,
    0xbef9a3f7_b2c67915,
    0xc67178f2_e372532b,
    0xca273ece_ea26619c,
    0xd186b8c7_21c0c207,
    0xeada7dd6_cde0eb1e,
    0xf57d4f7f_ee6ed178,
    0x06f067aa_72176fba,
    0x0a637dc5_a2c898a6,
    0x113f9804_bef90dae,
    0x1b710b35_131c471b,
    0x28db77f5_23047d84,
    0x32caab7b_40c72493,
    0x3c9ebe0a_15c9bebc,
    0x431d67c4_9c100d4c,
    0x4cc5d4be_cb3e42b6,
    0x597f299c_fc657e2a,
    0x5fcb6fab_3ad6faec,
    0x6c44198c_4a475817,
];
