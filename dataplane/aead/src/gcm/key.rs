//! Round keys, and powers of the hash key.

use std::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_clmulepi64_si128, _mm_set_epi64x, _mm_shuffle_epi32,
    _mm_xor_si128,
};
use std::ptr;

use zerocopy::transmute;
use zeroize::Zeroize;

use crate::prefetch::LINE;
use crate::round_keys::{self, MOST_ROUND_KEYS};

/// Powers of the hash key that are kept.
pub const POWERS: usize = 104;
/// Powers that are kept for short texts: of twelve blocks, of the associated data and of the lengths, and one more.
pub const LOW_POWERS: usize = 15;
/// Powers of `H^4` that are kept beside those for short texts.
const STRIDES: usize = 4;
/// What stands behind the first power, for vectors that reach beyond it.
const BEHIND: usize = 3;

/// From a power to what it is with both its halves added, in 16 bytes.
pub const TO_FOLDED: usize = POWERS + BEHIND;

/// Round keys and powers of the hash key, wiped when dropped. The same for every width of vectors.
///
/// With many keys it is the number of cache lines that counts, for each is waited for. What a packet of 64 bytes needs
/// stands together: `H^7` and what follows up to the last round key, five lines with a key of 128 bits. Where these begin,
/// the owner's layout says: `H^7` stands on a line of its own where the key is 48 bytes behind one. Of many keys long packets
/// need the three lines before as well.
#[repr(C)]
pub struct Key {
    /// Powers of `H^4`, which go from one vector of four blocks to others: from `H^28` to `H^16`. The lower ones are among those that
    /// follow.
    strides: [u128; STRIDES],
    /// `H^LOW_POWERS` first, `H` last. Behind it vectors reach into what follows, and multiply it by zero.
    low_powers: [u128; LOW_POWERS],
    rounds: u64,
    /// Apart: with them a key would be as long as a page, and what short packets read of many keys would all be in the same few
    /// sets of a cache.
    powers: Box<Powers>,
    pub(super) round_keys: [u128; MOST_ROUND_KEYS],
}

/// The powers that are kept for long texts, such as make up a vector on one cache line if possible.
#[repr(C, align(64))]
struct Powers {
    /// `H^POWERS` first, `H` at `POWERS - 1`, zeros behind it.
    plain: [u128; POWERS + BEHIND],
    /// Of each power both halves added, for Karatsuba's middle product.
    folded: [u128; POWERS + BEHIND],
}

/// Bytes before what a packet of 64 bytes needs: the powers above the seventh.
pub const BEFORE_SHORT: usize = (STRIDES + LOW_POWERS - SHORT_POWERS) * size_of::<u128>();
const SHORT_POWERS: usize = 7;

/// Of the lines before these, how many a text of so many bytes needs.
#[inline(always)]
pub fn lines_before_short(text: usize) -> usize {
    // Beside the text's blocks, that of the associated data and that of the lengths.
    let more = (text.div_ceil(16) + 2).saturating_sub(SHORT_POWERS);
    (more * size_of::<u128>()).div_ceil(LINE).min(BEFORE_SHORT / LINE)
}

impl Drop for Key {
    fn drop(&mut self) {
        self.strides.zeroize();
        self.low_powers.zeroize();
        self.round_keys.zeroize();
    }
}

impl Drop for Powers {
    fn drop(&mut self) {
        self.plain.zeroize();
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
        self.powers.plain.as_ptr().wrapping_add(POWERS - power)
    }

    /// The same of the powers that are kept for short texts.
    #[inline(always)]
    pub(super) fn low_power(&self, power: usize) -> *const u128 {
        ptr::from_ref(self).cast::<u128>().wrapping_add(STRIDES + LOW_POWERS - power)
    }

    /// Where the power stands that goes from a vector of four blocks to the one so many after it, of one to seven.
    #[inline(always)]
    pub(super) fn stride(&self, vectors: usize) -> *const u128 {
        if 4 * vectors <= LOW_POWERS { self.low_power(4 * vectors) } else { &raw const self.strides[7 - vectors] }
    }

    /// Rounds of the cipher.
    #[inline(always)]
    pub(super) fn rounds(&self) -> usize {
        self.rounds as usize
    }
}

#[target_feature(enable = "sse4.1,aes,pclmulqdq")]
fn expand(key: &[u8]) -> Key {
    let mut key = Key {
        strides: [0; STRIDES],
        low_powers: [0; LOW_POWERS],
        rounds: key.len() as u64 / 4 + 6,
        powers: Box::new(Powers { plain: [0; POWERS + BEHIND], folded: [0; POWERS + BEHIND] }),
        round_keys: round_keys::expand(key),
    };
    let hash: [u8; 16] = transmute!(encrypt(&key, transmute!([0_u8; 16])));
    let hash = u128::from_be_bytes(hash);
    // RFC 8452 appendix A: mulX_POLYVAL.
    let carry = 0_u128.wrapping_sub(hash >> 127);
    let hash = (hash << 1) ^ (carry & 0xc200_0000_0000_0000_0000_0000_0000_0001);
    let mut power = hash;
    let Powers { plain, folded } = &mut *key.powers;
    for (plain, folded) in plain[..POWERS].iter_mut().zip(&mut folded[..POWERS]).rev() {
        *plain = power;
        *folded = power ^ power >> 64;
        power = multiply(power, hash);
    }
    key.low_powers.copy_from_slice(&plain[POWERS - LOW_POWERS..POWERS]);
    for (vectors, stride) in (4..).zip(key.strides.iter_mut().rev()) {
        *stride = plain[POWERS - 4 * vectors];
    }
    key
}

#[target_feature(enable = "sse4.1,aes")]
fn encrypt(key: &Key, block: __m128i) -> __m128i {
    let mut state = _mm_xor_si128(block, transmute!(key.round_keys[0]));
    for round_key in &key.round_keys[1..key.rounds()] {
        state = _mm_aesenc_si128(state, transmute!(*round_key));
    }
    _mm_aesenclast_si128(state, transmute!(key.round_keys[key.rounds()]))
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
