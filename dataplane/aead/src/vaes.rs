//! AES-GCM over 256-bit vectors (VAES, VPCLMULQDQ, AVX2), one packet at a time.
//!
//! Sixteen blocks go through the AES rounds together and are then folded into GHASH with one reduction: the powers of the
//! hash key are kept, so that `X1·H^n + X2·H^(n-1) + … + Xn·H` is summed unreduced. The end of a packet, where the
//! length block and (of a short packet) the associated data come in, is one such sum too, so that a packet of up to
//! 256 bytes costs a single reduction. Packets follow each other without a dependency, and the processor overlaps them.
//!
//! GHASH runs in POLYVAL's representation (RFC 8452 appendix A): with byte-reversed blocks and the key multiplied by x
//! once, no product has to be shifted. Nothing here branches or indexes on a secret.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aeskeygenassist_si128, _mm_clmulepi64_si128,
    _mm_cvtsi128_si32, _mm_set_epi8, _mm_set_epi64x, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_xor_si128,
    _mm256_add_epi32, _mm256_aesenc_epi128, _mm256_aesenclast_epi128, _mm256_broadcastsi128_si256,
    _mm256_castsi256_si128, _mm256_clmulepi64_epi128, _mm256_extracti128_si256, _mm256_set_epi32, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_xor_si256,
};

use zerocopy::transmute;
use zeroize::Zeroize;

use crate::{MOST_TAIL, NONCE, TAG};

/// Bytes of a block.
const BLOCK: usize = 16;
/// Bytes that go through the rounds together.
const CHUNK: usize = 2 * PAIRS * BLOCK;
/// Vectors of two blocks that go through the rounds together.
const PAIRS: usize = 8;
/// Most bytes behind the last whole chunk of a packet's source, with its tail.
const MOST_REST: usize = CHUNK - 1 + MOST_TAIL;
/// Pairs of blocks in the longest rest.
const REST_PAIRS: usize = MOST_REST.div_ceil(2 * BLOCK);
/// Powers of the hash key: those of the longest rest, the length block and the associated data.
const POWERS: usize = 2 * REST_PAIRS + 2;
/// A rest, and the length block behind it.
type Rest = [u8; 2 * BLOCK * (REST_PAIRS + 1)];
/// Round keys of the longest schedule.
const MOST_ROUND_KEYS: usize = 15;

/// Round keys and powers of the hash key, wiped when dropped.
pub struct Key {
    round_keys: [u128; MOST_ROUND_KEYS],
    rounds: usize,
    /// `H^POWERS` first, `H` last, and a zero behind it for the empty lane of an odd last block.
    powers: [u128; POWERS + 1],
    /// Of each power both halves added, for Karatsuba's middle product.
    folded: [u128; POWERS + 1],
}

impl Drop for Key {
    fn drop(&mut self) {
        self.round_keys.zeroize();
        self.powers.zeroize();
        self.folded.zeroize();
    }
}

/// Whether this processor can run what is here.
pub fn available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq")
}

impl Key {
    /// Expands a key of 16, 24 or 32 bytes; `None` for another length, or on a processor that lacks the instructions.
    pub fn new(key: &[u8]) -> Option<Self> {
        if !available() || !matches!(key.len(), 16 | 24 | 32) {
            return None;
        }
        // SAFETY: `available` says that the processor has the features.
        Some(unsafe { expand(key) })
    }

    /// Seals `source` followed by `tail` into `destination` and its tag behind it.
    ///
    /// # Panics
    /// Where `destination` is not as long as source, tail and tag.
    pub fn seal(&self, nonce: &[u8; NONCE], data: &[u8], source: &[u8], tail: &[u8], destination: &mut [u8]) {
        assert_eq!(destination.len(), source.len() + tail.len() + TAG, "destination");
        // SAFETY: a key exists only where `available` said that the processor has the features.
        unsafe { seal(self, nonce, data, source, tail, destination) }
    }

    /// Opens `source` into `destination`; where the tag is wrong, says so and leaves zeros.
    ///
    /// # Panics
    /// Where the two are not of one length.
    #[must_use]
    pub fn open(
        &self,
        nonce: &[u8; NONCE],
        data: &[u8],
        source: &[u8],
        tag: &[u8; TAG],
        destination: &mut [u8],
    ) -> bool {
        assert_eq!(destination.len(), source.len(), "destination");
        // SAFETY: as in `seal`.
        let authentic = unsafe { open(self, nonce, data, source, tag, destination) };
        if !authentic {
            destination.fill(0);
        }
        authentic
    }
}

#[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
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
    let mut key = Key { round_keys: [0; MOST_ROUND_KEYS], rounds, powers: [0; POWERS + 1], folded: [0; POWERS + 1] };
    for (round_key, words) in key.round_keys.iter_mut().zip(schedule.as_chunks::<4>().0) {
        *round_key = words.iter().rev().fold(0, |value, word| value << 32 | u128::from(*word));
    }
    schedule.zeroize();

    let hash: [u8; BLOCK] = transmute!(encrypt(&key, transmute!([0_u8; BLOCK])));
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
#[target_feature(enable = "avx2,aes")]
fn substitute(word: u32) -> u32 {
    let vector = _mm_set_epi64x(0, i64::from(word) << 32);
    _mm_cvtsi128_si32(_mm_aeskeygenassist_si128::<0>(vector)) as u32
}

#[target_feature(enable = "avx2,pclmulqdq")]
fn multiply(a: u128, b: u128) -> u128 {
    let (a, b): (__m128i, __m128i) = (transmute!(a), transmute!(b));
    let low = _mm_clmulepi64_si128::<0x00>(a, b);
    let middle = _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(a, b), _mm_clmulepi64_si128::<0x10>(a, b));
    let high = _mm_clmulepi64_si128::<0x11>(a, b);
    transmute!(reduce(low, middle, high))
}

/// Montgomery's reduction of a product modulo x^128 + x^127 + x^126 + x^121 + 1. The modulus ends in 1, so its multiple by the
/// lowest 64 bits cancels these; twice, and the product is divided by x^128.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq")]
fn reduce(low: __m128i, middle: __m128i, high: __m128i) -> __m128i {
    let modulus = _mm_set_epi64x(0, 0xc200_0000_0000_0000_u64 as i64);
    let fold = |value: __m128i, next: __m128i| {
        let product = _mm_clmulepi64_si128::<0x00>(value, modulus);
        _mm_xor_si128(next, _mm_xor_si128(product, _mm_shuffle_epi32::<0x4e>(value)))
    };
    fold(fold(low, middle), high)
}

#[inline]
#[target_feature(enable = "avx2")]
fn reversed(block: __m128i) -> __m128i {
    _mm_shuffle_epi8(block, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
}

#[inline]
#[target_feature(enable = "avx2")]
fn reversed_pair(blocks: __m256i) -> __m256i {
    let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    _mm256_shuffle_epi8(blocks, _mm256_broadcastsi128_si256(order))
}

#[inline]
#[target_feature(enable = "avx2,aes")]
fn encrypt(key: &Key, block: __m128i) -> __m128i {
    let mut state = _mm_xor_si128(block, transmute!(key.round_keys[0]));
    for round_key in &key.round_keys[1..key.rounds] {
        state = _mm_aesenc_si128(state, transmute!(*round_key));
    }
    _mm_aesenclast_si128(state, transmute!(key.round_keys[key.rounds]))
}

#[inline]
#[target_feature(enable = "avx2,vaes")]
fn encrypt_pairs<const N: usize>(key: &Key, mut state: [__m256i; N]) -> [__m256i; N] {
    let round_key = |round: usize| _mm256_broadcastsi128_si256(transmute!(key.round_keys[round]));
    let first = round_key(0);
    state = state.map(|pair| _mm256_xor_si256(pair, first));
    for round in 1..key.rounds {
        let round_key = round_key(round);
        state = state.map(|pair| _mm256_aesenc_epi128(pair, round_key));
    }
    let last = round_key(key.rounds);
    state.map(|pair| _mm256_aesenclast_epi128(pair, last))
}

/// Counter blocks, two at a time (SP 800-38D §6.5), the counter kept in the processor's byte order.
#[derive(Clone, Copy)]
struct Counter(__m256i);

impl Counter {
    /// The first two blocks of the text: the block with counter 1 is the tag's.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(nonce: &[u8; NONCE]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *nonce;
        let block: __m128i = transmute!([a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0]);
        let counters = _mm256_set_epi32(3, 0, 0, 0, 2, 0, 0, 0);
        Self(_mm256_xor_si256(_mm256_broadcastsi128_si256(block), counters))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn next<const N: usize>(&mut self) -> [__m256i; N] {
        let order = _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        let order = _mm256_broadcastsi128_si256(order);
        let two = _mm256_set_epi32(2, 0, 0, 0, 2, 0, 0, 0);
        let mut blocks = [_mm256_setzero_si256(); N];
        for block in &mut blocks {
            *block = _mm256_shuffle_epi8(self.0, order);
            self.0 = _mm256_add_epi32(self.0, two);
        }
        blocks
    }
}

/// The sum of products under way, its two lanes not yet added and nothing reduced.
struct Sum {
    low: __m256i,
    middle: __m256i,
    high: __m256i,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new() -> Self {
        let zero = _mm256_setzero_si256();
        Self { low: zero, middle: zero, high: zero }
    }

    /// Adds two blocks, byte-reversed, each times its power, by Karatsuba's three products.
    #[inline]
    #[target_feature(enable = "avx2,vpclmulqdq")]
    fn add(&mut self, blocks: __m256i, (powers, folded): (__m256i, __m256i)) {
        let halves = _mm256_xor_si256(blocks, _mm256_shuffle_epi32::<0x4e>(blocks));
        let middle = _mm256_clmulepi64_epi128::<0x00>(halves, folded);
        self.low = _mm256_xor_si256(self.low, _mm256_clmulepi64_epi128::<0x00>(blocks, powers));
        self.middle = _mm256_xor_si256(self.middle, middle);
        self.high = _mm256_xor_si256(self.high, _mm256_clmulepi64_epi128::<0x11>(blocks, powers));
    }

    #[inline]
    #[target_feature(enable = "avx2,pclmulqdq")]
    fn reduced(self) -> __m128i {
        let lanes = |sum| _mm_xor_si128(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let (low, high) = (lanes(self.low), lanes(self.high));
        reduce(low, _mm_xor_si128(lanes(self.middle), _mm_xor_si128(low, high)), high)
    }
}

/// The hash of a packet under way.
struct Hash<'a> {
    key: &'a Key,
    /// To be added to the next block: the associated data at first, later the hash so far.
    pending: __m128i,
    /// Whether `pending` is the associated data, which comes one block before the text.
    before_text: bool,
}

impl<'a> Hash<'a> {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(key: &'a Key, data: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        block[..data.len()].copy_from_slice(data);
        Self { key, pending: reversed(transmute!(block)), before_text: true }
    }

    /// `H^power` and the power below it, which is nothing below the first; and the halves of each added.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn powers(&self, power: usize) -> (__m256i, __m256i) {
        let from = POWERS - power;
        let pair = |powers: &[u128; POWERS + 1]| transmute!([powers[from], powers[from + 1]]);
        (pair(&self.key.powers), pair(&self.key.folded))
    }

    /// Starts the sum of a chunk; what is returned is to be added to the chunk's first block.
    #[inline]
    #[target_feature(enable = "avx2,vpclmulqdq")]
    fn begin(&mut self) -> (Sum, __m256i) {
        let mut sum = Sum::new();
        if !self.before_text {
            return (sum, lower(self.pending));
        }
        self.before_text = false;
        sum.add(lower(self.pending), self.powers(2 * PAIRS + 1));
        (sum, _mm256_setzero_si256())
    }

    /// Folds a chunk of ciphertext in.
    #[inline]
    #[target_feature(enable = "avx2,pclmulqdq,vpclmulqdq")]
    fn chunk(&mut self, chunk: &[u8; CHUNK]) {
        let (mut sum, mut first) = self.begin();
        for (blocks, pair) in load(chunk).into_iter().zip((1..=PAIRS).rev()) {
            sum.add(_mm256_xor_si256(reversed_pair(blocks), first), self.powers(2 * pair));
            first = _mm256_setzero_si256();
        }
        self.pending = sum.reduced();
    }

    /// Folds in the rest of the ciphertext, `length` bytes with zeros behind them, and the length block:
    /// SP 800-38D §7.1.
    #[inline]
    #[target_feature(enable = "avx2,pclmulqdq,vpclmulqdq")]
    fn finish(self, rest: &mut Rest, length: usize, data: usize, text: usize) -> __m128i {
        let (blocks, _) = rest.as_chunks_mut::<BLOCK>();
        let count = length.div_ceil(BLOCK);
        let lengths = (data as u128 * 8) << 64 | (text as u128 * 8);
        blocks[count] = lengths.to_be_bytes();
        let total = count + 1;

        let mut sum = Sum::new();
        sum.add(lower(self.pending), self.powers(total + usize::from(self.before_text)));
        let (pairs, _) = rest.as_chunks::<{ 2 * BLOCK }>();
        for (pair, place) in pairs[..total.div_ceil(2)].iter().zip(0..) {
            sum.add(reversed_pair(transmute!(*pair)), self.powers(total - 2 * place));
        }
        sum.reduced()
    }
}

/// Encrypts counter blocks while a chunk of ciphertext is folded into the hash. The two have nothing to do with each
/// other; standing side by side they fill the processor's units better than one after the other.
#[inline]
#[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
fn encrypt_and_hash(
    key: &Key,
    mut state: [__m256i; PAIRS],
    hash: &mut Hash<'_>,
    chunk: &[u8; CHUNK],
) -> [__m256i; PAIRS] {
    let round_key = |round: usize| _mm256_broadcastsi128_si256(transmute!(key.round_keys[round]));
    let (mut sum, mut first) = hash.begin();
    state = state.map(|pair| _mm256_xor_si256(pair, round_key(0)));
    // Ten rounds at least, and eight pairs to be hashed.
    for (blocks, round) in load(chunk).into_iter().zip(1..) {
        state = state.map(|pair| _mm256_aesenc_epi128(pair, round_key(round)));
        sum.add(_mm256_xor_si256(reversed_pair(blocks), first), hash.powers(2 * (PAIRS + 1 - round)));
        first = _mm256_setzero_si256();
    }
    for round in PAIRS + 1..key.rounds {
        state = state.map(|pair| _mm256_aesenc_epi128(pair, round_key(round)));
    }
    hash.pending = sum.reduced();
    state.map(|pair| _mm256_aesenclast_epi128(pair, round_key(key.rounds)))
}

/// A block in the lower lane: the one with the higher power.
#[inline]
#[target_feature(enable = "avx2")]
fn lower(block: __m128i) -> __m256i {
    let block: u128 = transmute!(block);
    transmute!([block, 0])
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(chunk: &[u8; CHUNK]) -> [__m256i; PAIRS] {
    transmute!(*chunk)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(text: [__m256i; PAIRS], stream: [__m256i; PAIRS]) -> [__m256i; PAIRS] {
    std::array::from_fn(|i| _mm256_xor_si256(text[i], stream[i]))
}

/// The tag: the hash under the block with counter 1.
#[inline]
#[target_feature(enable = "avx2,aes")]
fn tag(key: &Key, nonce: &[u8; NONCE], hash: __m128i) -> [u8; TAG] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *nonce;
    let block: __m128i = transmute!([a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 1]);
    transmute!(_mm_xor_si128(reversed(hash), encrypt(key, block)))
}

/// Encrypts or decrypts up to [`MOST_REST`] bytes in place. What stands behind them is no longer zero then.
#[inline]
#[target_feature(enable = "avx2,vaes")]
fn apply_rest(key: &Key, counter: &mut Counter, rest: &mut Rest, length: usize) {
    match length.div_ceil(2 * BLOCK) {
        0 => {}
        1 => apply_pairs::<1>(key, counter, rest),
        2 => apply_pairs::<2>(key, counter, rest),
        3 => apply_pairs::<3>(key, counter, rest),
        4 => apply_pairs::<4>(key, counter, rest),
        5 => apply_pairs::<5>(key, counter, rest),
        6 => apply_pairs::<6>(key, counter, rest),
        7 => apply_pairs::<7>(key, counter, rest),
        _ => apply_pairs::<REST_PAIRS>(key, counter, rest),
    }
}

#[inline]
#[target_feature(enable = "avx2,vaes")]
fn apply_pairs<const N: usize>(key: &Key, counter: &mut Counter, rest: &mut Rest) {
    let stream = encrypt_pairs::<N>(key, counter.next());
    for (pair, stream) in rest.as_chunks_mut::<{ 2 * BLOCK }>().0.iter_mut().zip(stream) {
        *pair = transmute!(_mm256_xor_si256(transmute!(*pair), stream));
    }
}

/// Makes the bytes behind the first `length` of a rest zero again, as far as they were encrypted and are hashed.
#[inline]
fn clear_behind(rest: &mut Rest, length: usize) {
    let (blocks, _) = rest.as_chunks_mut::<BLOCK>();
    let (whole, bytes) = (length / BLOCK, length % BLOCK);
    let block = u128::from_le_bytes(blocks[whole]);
    blocks[whole] = (block & ((1 << (8 * bytes)) - 1)).to_le_bytes();
    blocks[whole + 1] = [0; BLOCK];
    // An odd length block's neighbour.
    blocks[whole + 2] = [0; BLOCK];
}

#[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
fn seal(key: &Key, nonce: &[u8; NONCE], data: &[u8], source: &[u8], tail: &[u8], destination: &mut [u8]) {
    let (text, made) = destination.split_at_mut(source.len() + tail.len());
    let (from, source_rest) = source.as_chunks::<CHUNK>();
    let (to, text_rest) = text.split_at_mut(from.len() * CHUNK);
    let (mut counter, mut hash) = (Counter::new(nonce), Hash::new(key, data));
    // Each chunk is hashed while the next one is encrypted.
    let mut sealed: Option<&[u8; CHUNK]> = None;
    for (from, to) in from.iter().zip(to.as_chunks_mut::<CHUNK>().0) {
        let counters = counter.next();
        let stream = match sealed {
            Some(chunk) => encrypt_and_hash(key, counters, &mut hash, chunk),
            None => encrypt_pairs(key, counters),
        };
        *to = transmute!(xor(load(from), stream));
        sealed = Some(to);
    }
    if let Some(chunk) = sealed {
        hash.chunk(chunk);
    }
    let mut rest: Rest = [0; size_of::<Rest>()];
    rest[..source_rest.len()].copy_from_slice(source_rest);
    rest[source_rest.len()..source_rest.len() + tail.len()].copy_from_slice(tail);
    let length = text_rest.len();
    apply_rest(key, &mut counter, &mut rest, length);
    text_rest.copy_from_slice(&rest[..length]);
    clear_behind(&mut rest, length);
    let hash = hash.finish(&mut rest, length, data.len(), source.len() + tail.len());
    made.copy_from_slice(&tag(key, nonce, hash));
}

#[target_feature(enable = "avx2,aes,pclmulqdq,vaes,vpclmulqdq")]
fn open(key: &Key, nonce: &[u8; NONCE], data: &[u8], source: &[u8], sent: &[u8; TAG], destination: &mut [u8]) -> bool {
    let (from, source_rest) = source.as_chunks::<CHUNK>();
    let (to, text_rest) = destination.split_at_mut(from.len() * CHUNK);
    let (mut counter, mut hash) = (Counter::new(nonce), Hash::new(key, data));
    for (from, to) in from.iter().zip(to.as_chunks_mut::<CHUNK>().0) {
        let stream = encrypt_and_hash(key, counter.next(), &mut hash, from);
        *to = transmute!(xor(load(from), stream));
    }
    let mut rest: Rest = [0; size_of::<Rest>()];
    let length = source_rest.len();
    rest[..length].copy_from_slice(source_rest);
    let mut text = rest;
    apply_rest(key, &mut counter, &mut text, length);
    text_rest.copy_from_slice(&text[..length]);
    let hash = hash.finish(&mut rest, length, data.len(), source.len());
    let made = u128::from_ne_bytes(tag(key, nonce, hash));
    // One comparison of the whole tag: its time does not depend on where the two differ.
    made ^ u128::from_ne_bytes(*sent) == 0
}
