//! AES-CBC (RFC 3602, NIST SP 800-38A §6.2). Encryption is serial within a text, so that many texts go side by side,
//! each in a lane; decryption is not.

// The intrinsics are many, and their names are their own.
#![allow(clippy::wildcard_imports)]
// Indices run over several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;
use std::ptr;

use zeroize::Zeroize;

use super::blocks::Blocks;
use crate::round_keys::{self, MOST_ROUND_KEYS};
use crate::{Kernel, Tail};

/// Bytes of a block.
const BLOCK: usize = 16;
/// Texts that are worked on at once, at most, whatever the width of vectors. Packets lie in frames of 2 or 4 KiB, all at the
/// same place, so that more of them at once push each other out of the first-level cache, a set of which has room for
/// eight lines; that costs more than vectors that wait for each other.
const MOST_LANES: usize = 8;
/// Blocks that lanes without a text work through at once, at most.
const MOST_IDLE: usize = 16;

/// The round keys of a cipher and of its inverse, zeroised when dropped.
pub struct RoundKeys {
    /// Rounds: round keys but the first.
    rounds: usize,
    encrypt: [[u8; BLOCK]; MOST_ROUND_KEYS],
    /// For the equivalent inverse cipher, in the order in which it takes them (FIPS 197 §5.3.5).
    decrypt: [[u8; BLOCK]; MOST_ROUND_KEYS],
}

/// A text to be worked on.
///
/// Invariants: `source` is readable and `destination` writable for `length` bytes, `destination` for those of the tail,
/// too; the two are equal or do not overlap, and nothing else refers to them during `'a`.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    pub keys: &'a RoundKeys,
    pub iv: [u8; BLOCK],
    pub source: *const u8,
    pub destination: *mut u8,
    /// Bytes at `source`.
    pub length: usize,
    /// What is encrypted behind them; with it, the text is a multiple of 16 bytes long.
    pub tail: &'a Tail,
}

impl RoundKeys {
    /// From a key of 16, 24 or 32 bytes.
    #[target_feature(enable = "aes,sse4.1")]
    pub fn new(key: &[u8]) -> Self {
        let rounds = key.len() / 4 + 6;
        let mut forward = round_keys::expand(key);
        let mut encrypt = forward.map(u128::to_ne_bytes);
        forward.zeroize();
        let mut decrypt = [[0; BLOCK]; MOST_ROUND_KEYS];
        for (i, key) in decrypt.iter_mut().enumerate().take(rounds + 1) {
            let forward: __m128i = zerocopy::transmute!(encrypt[rounds - i]);
            let inner = (1..rounds).contains(&i);
            *key = zerocopy::transmute!(if inner { _mm_aesimc_si128(forward) } else { forward });
        }
        let keys = Self { rounds, encrypt, decrypt };
        encrypt.zeroize();
        decrypt.zeroize();
        keys
    }

    /// One block.
    #[inline]
    #[target_feature(enable = "aes,sse4.1")]
    pub fn encrypt_block(&self, block: [u8; BLOCK]) -> [u8; BLOCK] {
        let [first, inner @ .., last] = &self.encrypt[..=self.rounds] else { unreachable!("ten rounds at least") };
        let key = |key: &[u8; BLOCK]| -> __m128i { zerocopy::transmute!(*key) };
        let mut state = _mm_xor_si128(zerocopy::transmute!(block), key(first));
        for round in inner {
            state = _mm_aesenc_si128(state, key(round));
        }
        zerocopy::transmute!(_mm_aesenclast_si128(state, key(last)))
    }
}

impl Drop for RoundKeys {
    fn drop(&mut self) {
        self.encrypt.zeroize();
        self.decrypt.zeroize();
    }
}

/// The lanes' side of encryption: what the vectors work on.
#[repr(C, align(64))]
struct Lanes<const KEYS: usize> {
    /// Round keys as the vectors take them: those of all lanes, vector by vector; or those of one vector for all.
    keys: [u128; KEYS],
    /// What is added to the next block: the initialisation vector, then the ciphertext before it.
    chain: [[u8; BLOCK]; MOST_LANES],
    source: [*const u8; MOST_LANES],
    destination: [*mut u8; MOST_LANES],
    rounds: usize,
}

/// Room for the round keys of one vector, which all lanes share.
const SHARED: usize = MOST_ROUND_KEYS * 4;
/// Room for each lane's own.
const EACH: usize = MOST_ROUND_KEYS * MOST_LANES;

/// Encrypts texts, not empty, under keys of one length; best the longest first.
pub fn encrypt<'a>(kernel: Kernel, texts: impl Iterator<Item = Text<'a>> + Clone) {
    let mut rest = texts.clone();
    let Some(first) = rest.next() else { return };
    if rest.next().is_none() {
        // SAFETY: a key is of any kernel only where the processor has AES-NI.
        unsafe { encrypt_alone(&first) };
    } else if texts.clone().all(|text| ptr::eq(text.keys, first.keys)) {
        encrypt_in::<SHARED>(kernel, first.keys, texts);
    } else {
        encrypt_in::<EACH>(kernel, first.keys, texts);
    }
}

/// One text: there is nothing to set lanes up for.
#[target_feature(enable = "aes,sse4.1")]
fn encrypt_alone(text: &Text<'_>) {
    let mut last = [0; 2 * BLOCK];
    let (blocks, behind) = (text.length / BLOCK, text.end(&mut last));
    let mut chain = text.iv;
    for at in 0..blocks + behind {
        let from =
            if at < blocks { text.source.wrapping_add(at * BLOCK) } else { last[(at - blocks) * BLOCK..].as_ptr() };
        // SAFETY: `source` is readable for its whole blocks, `last` for those behind, and `destination` writable for
        // all.
        unsafe {
            let block = _mm_xor_si128(_mm_loadu_si128(from.cast()), zerocopy::transmute!(chain));
            chain = text.keys.encrypt_block(zerocopy::transmute!(block));
            text.destination.add(at * BLOCK).cast::<[u8; BLOCK]>().write_unaligned(chain);
        }
    }
}

/// With that much room for round keys; `shared` are those of all texts, where it is no more than [`SHARED`].
fn encrypt_in<'a, const KEYS: usize>(kernel: Kernel, shared: &'a RoundKeys, mut texts: impl Iterator<Item = Text<'a>>) {
    let (width, run): (usize, unsafe fn(&mut Lanes<KEYS>, usize, usize)) = match kernel {
        Kernel::Vaes512 => (4, encrypt_512),
        Kernel::Vaes256 => (2, encrypt_256),
        Kernel::AesNi | Kernel::Portable => (1, encrypt_128),
    };
    let mut idle = [[0u8; BLOCK]; MOST_IDLE];
    let idle = idle.as_mut_ptr().cast::<u8>();
    let mut lanes = Lanes {
        keys: [0; KEYS],
        chain: [[0; BLOCK]; MOST_LANES],
        source: [idle; MOST_LANES],
        destination: [idle; MOST_LANES],
        rounds: shared.rounds,
    };
    if KEYS == SHARED {
        for (vector, key) in lanes.keys.chunks_exact_mut(width).zip(&shared.encrypt) {
            vector.fill(u128::from_ne_bytes(*key));
        }
    }
    let mut last = [[[0u8; BLOCK]; 2]; MOST_LANES];
    // Only a pointer: the lanes keep some while others are written through.
    let last = last.as_mut_ptr();
    // Of each lane: blocks at hand, blocks behind those that stand in its place in `last`, that place, and the keys.
    let (mut left, mut behind) = ([0usize; MOST_LANES], [0usize; MOST_LANES]);
    let mut place: [usize; MOST_LANES] = std::array::from_fn(|lane| lane);
    let mut keys = [shared; MOST_LANES];
    let mut next = texts.next();
    let mut active = 0usize;
    loop {
        // A new lane, or the first of those that have ended, takes the next text.
        let mut lane = 0;
        while let Some(text) = next {
            while lane < active && left[lane] > 0 {
                lane += 1;
            }
            if lane == MOST_LANES {
                break;
            }
            active = active.max(lane + 1);
            lanes.chain[lane] = text.iv;
            lanes.destination[lane] = text.destination;
            keys[lane] = text.keys;
            if KEYS != SHARED {
                lanes.set_keys(lane, width, text.keys);
            }
            // SAFETY: `place` is one of `MOST_LANES`, and the text that used it has ended.
            let last = unsafe { &mut *last.wrapping_add(place[lane]) };
            (left[lane], behind[lane]) = (text.length / BLOCK, text.end(last.as_flattened_mut()));
            lanes.source[lane] = text.source;
            if left[lane] == 0 {
                (left[lane], behind[lane]) = (behind[lane], 0);
                lanes.source[lane] = last.as_flattened().as_ptr();
            }
            next = texts.next();
        }
        // Where there is none, the last lane takes the place of one that has ended.
        while lane < active {
            if left[lane] > 0 {
                lane += 1;
                continue;
            }
            active -= 1;
            left[lane] = left[active];
            if lane < active {
                behind[lane] = behind[active];
                place.swap(lane, active);
                keys[lane] = keys[active];
                lanes.chain[lane] = lanes.chain[active];
                lanes.source[lane] = lanes.source[active];
                lanes.destination[lane] = lanes.destination[active];
                if KEYS != SHARED {
                    lanes.set_keys(lane, width, keys[lane]);
                }
            }
            lanes.source[active] = idle;
            lanes.destination[active] = idle;
        }
        if active == 0 {
            break;
        }
        let vectors = match active.div_ceil(width) {
            1 => 1,
            2 => 2,
            3..=4 => 4,
            _ => 8,
        };
        let least = left.iter().take(active).fold(usize::MAX, |least, left| least.min(*left));
        let count = if active < vectors * width { least.min(MOST_IDLE) } else { least };
        // SAFETY: a key is of this kernel only where the processor has its instructions. The lanes' pointers are good
        // for the blocks that are left of their texts, those of idle lanes for `MOST_IDLE`.
        unsafe { run(&mut lanes, vectors, count) };
        for lane in 0..active {
            left[lane] -= count;
            lanes.source[lane] = lanes.source[lane].wrapping_add(count * BLOCK);
            lanes.destination[lane] = lanes.destination[lane].wrapping_add(count * BLOCK);
            if left[lane] == 0 && behind[lane] > 0 {
                lanes.source[lane] = last.wrapping_add(place[lane]).cast();
                (left[lane], behind[lane]) = (behind[lane], 0);
            }
        }
    }
    lanes.keys.zeroize();
}

impl Text<'_> {
    /// Puts the last blocks together, of what does not fill a block and of the tail; how many there are, two at most.
    #[inline]
    fn end(&self, last: &mut [u8]) -> usize {
        let (rest, tail) = (self.length % BLOCK, self.tail.bytes());
        // SAFETY: `source` is readable for `length` bytes, and what is put together is ours alone.
        let rest = unsafe { std::slice::from_raw_parts(self.source.add(self.length - rest), rest) };
        let end = rest.len() + tail.len();
        if end > 0 {
            last[..rest.len()].copy_from_slice(rest);
            last[rest.len()..end].copy_from_slice(tail);
        }
        end / BLOCK
    }
}

impl<const KEYS: usize> Lanes<KEYS> {
    /// Puts a lane's round keys where its vector takes them from.
    #[inline]
    fn set_keys(&mut self, lane: usize, width: usize, keys: &RoundKeys) {
        let vector = &mut self.keys[lane / width * MOST_ROUND_KEYS * width..][..MOST_ROUND_KEYS * width];
        for (round, key) in vector.chunks_exact_mut(width).zip(&keys.encrypt) {
            round[lane % width] = u128::from_ne_bytes(*key);
        }
    }
}

macro_rules! encrypt_by {
    ($name:ident, $vector:ty, $features:literal) => {
        /// The next `count` blocks of each lane of the first `vectors`: 1, 2, 4 or 8.
        ///
        /// # Safety
        /// The lanes' pointers are good for as many blocks; there are so many vectors of them.
        #[target_feature(enable = $features)]
        unsafe fn $name<const KEYS: usize>(lanes: &mut Lanes<KEYS>, vectors: usize, count: usize) {
            // SAFETY: the caller's; the features are enabled here.
            unsafe {
                match vectors {
                    1 => encrypt_blocks::<$vector, KEYS, 1>(lanes, count),
                    2 => encrypt_blocks::<$vector, KEYS, 2>(lanes, count),
                    4 => encrypt_blocks::<$vector, KEYS, 4>(lanes, count),
                    _ => encrypt_blocks::<$vector, KEYS, 8>(lanes, count),
                }
            }
        }
    };
}

encrypt_by!(encrypt_512, __m512i, "avx512f,avx512bw,avx512dq,avx512vl,vaes");
encrypt_by!(encrypt_256, __m256i, "avx2,vaes");
encrypt_by!(encrypt_128, __m128i, "aes,sse4.1");

/// The next `count` blocks of the first `V` vectors' lanes.
///
/// # Safety
/// The vector's instructions; the lanes' pointers are good for as many blocks.
#[inline(always)]
unsafe fn encrypt_blocks<B: Blocks, const KEYS: usize, const V: usize>(lanes: &mut Lanes<KEYS>, count: usize) {
    let keys = lanes.keys.as_ptr();
    // SAFETY: the caller's; the keys of `V` vectors, or of one, stand in `keys`.
    unsafe {
        let key = |vector: usize, round: usize| {
            let vector = if KEYS == SHARED { 0 } else { vector };
            keys.add((vector * MOST_ROUND_KEYS + round) * B::LANES).cast::<u8>()
        };
        let mut state = [B::load(key(0, 0)); V];
        for v in 0..V {
            state[v] = B::load(lanes.chain.as_ptr().add(v * B::LANES).cast());
        }
        for at in 0..count {
            for v in 0..V {
                let text = B::gather(lanes.source.as_ptr().add(v * B::LANES), at * BLOCK);
                state[v] = state[v].xor3(text, B::load(key(v, 0)));
            }
            for round in 1..lanes.rounds {
                for v in 0..V {
                    state[v] = state[v].round(B::load(key(v, round)));
                }
            }
            for v in 0..V {
                state[v] = state[v].last_round(B::load(key(v, lanes.rounds)));
                state[v].scatter(lanes.destination.as_ptr().add(v * B::LANES), at * BLOCK);
            }
        }
        for v in 0..V {
            state[v].store(lanes.chain.as_mut_ptr().add(v * B::LANES).cast());
        }
    }
}

/// Decrypts a text of whole blocks, without a tail.
pub fn decrypt(kernel: Kernel, text: &Text<'_>) {
    // SAFETY: a key is of this kernel only where the processor has its instructions.
    unsafe {
        match kernel {
            Kernel::Vaes512 => decrypt_512(text),
            Kernel::Vaes256 => decrypt_256(text),
            Kernel::AesNi | Kernel::Portable => decrypt_128(text),
        }
    }
}

macro_rules! decrypt_by {
    ($name:ident, $vector:ty, $vectors:literal, $features:literal) => {
        #[target_feature(enable = $features)]
        fn $name(text: &Text<'_>) {
            let (mut at, mut before) = (0, text.iv);
            // SAFETY: the features are enabled here, and a text's pointers good for its length.
            unsafe {
                decrypt_blocks::<$vector, $vectors>(text, &mut at, &mut before);
                if <$vector>::LANES > 1 {
                    decrypt_blocks::<$vector, 1>(text, &mut at, &mut before);
                }
                decrypt_blocks::<__m128i, 1>(text, &mut at, &mut before);
            }
        }
    };
}

decrypt_by!(decrypt_512, __m512i, 4, "avx512f,avx512bw,avx512dq,avx512vl,vaes,aes");
decrypt_by!(decrypt_256, __m256i, 4, "avx2,vaes,aes");
decrypt_by!(decrypt_128, __m128i, 8, "aes,sse4.1");

/// Decrypts, `V` vectors at once, as much as fills them, from `at` on; `before` is the ciphertext's block before.
///
/// # Safety
/// The vector's instructions; the text's pointers good for its length.
#[inline(always)]
unsafe fn decrypt_blocks<B: Blocks, const V: usize>(text: &Text<'_>, at: &mut usize, before: &mut [u8; BLOCK]) {
    let (keys, step) = (text.keys, V * B::LANES * BLOCK);
    // SAFETY: the caller's.
    unsafe {
        let mut chain = B::broadcast(before);
        let first = B::broadcast(&keys.decrypt[0]);
        let last = B::broadcast(&keys.decrypt[keys.rounds.min(MOST_ROUND_KEYS - 1)]);
        while text.length - *at >= step {
            let mut state = [first; V];
            let mut behind = [first; V];
            for v in 0..V {
                let block = B::load(text.source.add(*at + v * B::LANES * BLOCK));
                behind[v] = block.behind(chain);
                state[v] = block.xor(first);
                chain = block;
            }
            for round in 1..keys.rounds.min(MOST_ROUND_KEYS - 1) {
                let key = B::broadcast(&keys.decrypt[round]);
                for v in 0..V {
                    state[v] = state[v].inverse_round(key);
                }
            }
            for v in 0..V {
                // Added before instead of after the last round: one step less to wait for.
                let plain = state[v].last_inverse_round(last.xor(behind[v]));
                plain.store(text.destination.add(*at + v * B::LANES * BLOCK));
            }
            *at += step;
        }
        _mm_storeu_si128(before.as_mut_ptr().cast(), chain.last());
    }
}
