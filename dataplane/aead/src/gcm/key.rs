//! Round keys, and powers of the hash key.

use std::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aeskeygenassist_si128, _mm_clmulepi64_si128,
    _mm_cvtsi128_si32, _mm_set_epi64x, _mm_shuffle_epi32, _mm_xor_si128,
};

use zerocopy::transmute;
use zeroize::Zeroize;

/// Round keys of the longest schedule.
pub const MOST_ROUND_KEYS: usize = 15;
/// Powers of the hash key that are kept.
pub const POWERS: usize = 104;
/// What stands behind the first power, for vectors that reach beyond it.
const BEHIND: usize = 3;

/// From a power to what it is with both its halves added, in 16 bytes.
pub const TO_FOLDED: usize = POWERS + BEHIND;

/// Round keys and powers of the hash key, wiped when dropped. The same for every width of vectors.
#[repr(C, align(64))]
pub struct Key {
    pub(super) round_keys: [u128; MOST_ROUND_KEYS],
    pub(super) rounds: usize,
    /// `H^POWERS` first, `H` at `POWERS - 1`, zeros behind it.
    pub(super) powers: [u128; POWERS + BEHIND],
    /// Of each power both halves added, for Karatsuba's middle product.
    pub(super) folded: [u128; POWERS + BEHIND],
}

impl Drop for Key {
    fn drop(&mut self) {
        self.round_keys.zeroize();
        self.powers.zeroize();
        self.folded.zeroize();
    }
}

impl Key {
    /// Expands a key of 16, 24 or 32 bytes, on a processor that has AES-NI and PCLMULQDQ.
    pub fn new(key: &[u8]) -> Self {
        // SAFETY: the caller asked `Kernel::is_available`, and every kernel that gets here has these instructions.
        unsafe { expand(key) }
    }

    /// Where a power stands that is kept, the next lower ones behind it.
    #[inline(always)]
    pub(super) fn power(&self, power: usize) -> *const u128 {
        self.powers.as_ptr().wrapping_add(POWERS - power)
    }

    /// The hash key itself.
    #[inline(always)]
    pub(super) fn first_power(&self) -> *const u128 {
        self.power(1)
    }
}

#[target_feature(enable = "sse4.1,aes,pclmulqdq")]
fn expand(key: &[u8]) -> Key {
    let words = key.len() / 4;
    let rounds = words + 6;
    // FIPS 197 §5.2, word by word; the substitution box is the instruction's, not a table.
    let mut schedule = [0_u32; 4 * MOST_ROUND_KEYS];
    for (word, bytes) in schedule.iter_mut().zip(key.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    let mut round_constant = 1_u32;
    for i in words..4 * (rounds + 1) {
        let mut word = schedule[i - 1];
        if i % words == 0 {
            word = substitute(word).rotate_right(8) ^ round_constant;
            round_constant = (round_constant << 1) ^ (if round_constant & 0x80 != 0 { 0x11b } else { 0 });
        } else if words == 8 && i % words == 4 {
            word = substitute(word);
        }
        schedule[i] = schedule[i - words] ^ word;
    }
    let mut key =
        Key { round_keys: [0; MOST_ROUND_KEYS], rounds, powers: [0; POWERS + BEHIND], folded: [0; POWERS + BEHIND] };
    for (round_key, words) in key.round_keys.iter_mut().zip(schedule.as_chunks::<4>().0) {
        *round_key = words.iter().rev().fold(0, |value, word| value << 32 | u128::from(*word));
    }
    schedule.zeroize();

    let hash: [u8; 16] = transmute!(encrypt(&key, transmute!([0_u8; 16])));
    let hash = u128::from_be_bytes(hash);
    // RFC 8452 appendix A: mulX_POLYVAL.
    let carry = 0_u128.wrapping_sub(hash >> 127);
    let hash = (hash << 1) ^ (carry & 0xc200_0000_0000_0000_0000_0000_0000_0001);
    let mut power = hash;
    for (slot, folded) in key.powers[..POWERS].iter_mut().zip(&mut key.folded[..POWERS]).rev() {
        *slot = power;
        *folded = power ^ power >> 64;
        power = multiply(power, hash);
    }
    key
}

/// The substitution box on each byte of a word.
#[target_feature(enable = "sse4.1,aes")]
fn substitute(word: u32) -> u32 {
    let vector = _mm_set_epi64x(0, i64::from(word) << 32);
    _mm_cvtsi128_si32(_mm_aeskeygenassist_si128::<0>(vector)) as u32
}

#[target_feature(enable = "sse4.1,aes")]
fn encrypt(key: &Key, block: __m128i) -> __m128i {
    let mut state = _mm_xor_si128(block, transmute!(key.round_keys[0]));
    for round_key in &key.round_keys[1..key.rounds] {
        state = _mm_aesenc_si128(state, transmute!(*round_key));
    }
    _mm_aesenclast_si128(state, transmute!(key.round_keys[key.rounds]))
}

/// The product of two elements, the second times x^-128 (RFC 8452 §3: `dot`).
#[target_feature(enable = "sse4.1,pclmulqdq")]
fn multiply(a: u128, b: u128) -> u128 {
    let (a, b): (__m128i, __m128i) = (transmute!(a), transmute!(b));
    let low = _mm_clmulepi64_si128::<0x00>(a, b);
    let middle = _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(a, b), _mm_clmulepi64_si128::<0x10>(a, b));
    let high = _mm_clmulepi64_si128::<0x11>(a, b);
    // Montgomery's reduction, as in `hash::reduce`.
    let modulus = _mm_set_epi64x(0, 0xc200_0000_0000_0000_u64 as i64);
    let fold = |value: __m128i, next: __m128i| {
        let product = _mm_clmulepi64_si128::<0x00>(value, modulus);
        _mm_xor_si128(next, _mm_xor_si128(product, _mm_shuffle_epi32::<0x4e>(value)))
    };
    transmute!(fold(fold(low, middle), high))
}
