//! Vectors of words: what the multi-buffer hashes are written over, once for every width.
//!
//! One lane holds a word of one message, so that a vector operation does the same step of as many messages as there are
//! lanes.

// The intrinsics are many, and their names are their own.
#![allow(clippy::wildcard_imports)]

use std::arch::x86_64::*;

/// A vector with a word of a different message in each lane.
///
/// # Safety
/// Every function wants the instructions of the vector's kind; pointers as each one says.
pub trait Words: Copy {
    /// 32 or 64 bits.
    type Word: Copy;
    /// A word for each lane, at any alignment.
    unsafe fn load(from: *const Self::Word) -> Self;
    /// A word for each lane, at any alignment.
    unsafe fn store(self, to: *mut Self::Word);
    /// One word in every lane.
    unsafe fn splat(word: Self::Word) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn xor(self, other: Self) -> Self;
    /// Each word rotated; `count` is a constant once inlined.
    unsafe fn rotate_right(self, count: u32) -> Self;
    /// Each word shifted; `count` is a constant once inlined.
    unsafe fn shift_right(self, count: u32) -> Self;
    /// Exclusive or of three.
    unsafe fn xor3(self, b: Self, c: Self) -> Self;
    /// `b` where a bit of this one is set, else `c`: Ch of FIPS 180-4 §4.1.
    unsafe fn choose(self, b: Self, c: Self) -> Self;
    /// Maj of FIPS 180-4 §4.1.
    unsafe fn majority(self, b: Self, c: Self) -> Self;
    /// The sixteen big-endian words of a block, from a pointer for each lane, readable for a block `offset` bytes on.
    unsafe fn message(blocks: *const *const u8, offset: usize) -> [Self; 16];
}

/// Sixteen words of 32 bits.
#[derive(Clone, Copy)]
pub struct Narrow512(__m512i);

/// Eight words of 64 bits.
#[derive(Clone, Copy)]
pub struct Wide512(__m512i);

/// Eight words of 32 bits.
#[derive(Clone, Copy)]
pub struct Narrow256(__m256i);

/// Four words of 64 bits.
#[derive(Clone, Copy)]
pub struct Wide256(__m256i);

/// The truth table of exclusive or of three, for `vpternlog`.
const XOR3: i32 = 0x96;
/// The truth table of "if a then b else c".
const CHOOSE: i32 = 0xca;
/// The truth table of "at least two of three".
const MAJORITY: i32 = 0xe8;

macro_rules! logic_512 {
    ($word:ty, $splat:ident, $add:ident, $rotate:ident, $shift:ident) => {
        type Word = $word;

        #[inline(always)]
        unsafe fn load(from: *const $word) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm512_loadu_si512(from.cast()) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut $word) {
            // SAFETY: the caller's.
            unsafe { _mm512_storeu_si512(to.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn splat(word: $word) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { $splat(word.cast_signed()) })
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { $add(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn xor(self, other: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm512_xor_si512(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn rotate_right(self, count: u32) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { $rotate(self.0, $splat(count as _)) })
        }

        #[inline(always)]
        unsafe fn shift_right(self, count: u32) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { $shift(self.0, _mm_cvtsi32_si128(count.cast_signed())) })
        }

        #[inline(always)]
        unsafe fn xor3(self, b: Self, c: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm512_ternarylogic_epi32::<XOR3>(self.0, b.0, c.0) })
        }

        #[inline(always)]
        unsafe fn choose(self, b: Self, c: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm512_ternarylogic_epi32::<CHOOSE>(self.0, b.0, c.0) })
        }

        #[inline(always)]
        unsafe fn majority(self, b: Self, c: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm512_ternarylogic_epi32::<MAJORITY>(self.0, b.0, c.0) })
        }
    };
}

impl Words for Narrow512 {
    logic_512!(u32, _mm512_set1_epi32, _mm512_add_epi32, _mm512_rorv_epi32, _mm512_srl_epi32);

    #[inline(always)]
    unsafe fn message(blocks: *const *const u8, offset: usize) -> [Self; 16] {
        // SAFETY: the caller's: sixteen pointers, each good for 64 bytes from `offset`.
        unsafe {
            let (p, q) = (quad_512(blocks, offset), quad_512(blocks.add(4), offset));
            let (r, s) = (quad_512(blocks.add(8), offset), quad_512(blocks.add(12), offset));
            let mut words = [Self(p[0]); 16];
            // The 4x4 transposition of the 128-bit lanes.
            for i in 0..4 {
                let (pq, rs) = (_mm512_shuffle_i32x4::<0x88>(p[i], q[i]), _mm512_shuffle_i32x4::<0x88>(r[i], s[i]));
                words[i] = Self(_mm512_shuffle_i32x4::<0x88>(pq, rs));
                words[8 + i] = Self(_mm512_shuffle_i32x4::<0xdd>(pq, rs));
                let (pq, rs) = (_mm512_shuffle_i32x4::<0xdd>(p[i], q[i]), _mm512_shuffle_i32x4::<0xdd>(r[i], s[i]));
                words[4 + i] = Self(_mm512_shuffle_i32x4::<0x88>(pq, rs));
                words[12 + i] = Self(_mm512_shuffle_i32x4::<0xdd>(pq, rs));
            }
            words
        }
    }
}

impl Words for Wide512 {
    logic_512!(u64, _mm512_set1_epi64, _mm512_add_epi64, _mm512_rorv_epi64, _mm512_srl_epi64);

    #[inline(always)]
    unsafe fn message(blocks: *const *const u8, offset: usize) -> [Self; 16] {
        // SAFETY: the caller's: eight pointers, each good for 128 bytes from `offset`.
        unsafe {
            let mut words = [Self(_mm512_setzero_si512()); 16];
            for half in 0..2 {
                let offset = offset + 64 * half;
                let (p, q) = (pair_512(blocks, offset), pair_512(blocks.add(2), offset));
                let (r, s) = (pair_512(blocks.add(4), offset), pair_512(blocks.add(6), offset));
                for i in 0..2 {
                    let (pq, rs) = (_mm512_shuffle_i64x2::<0x88>(p[i], q[i]), _mm512_shuffle_i64x2::<0x88>(r[i], s[i]));
                    words[8 * half + i] = Self(_mm512_shuffle_i64x2::<0x88>(pq, rs));
                    words[8 * half + 4 + i] = Self(_mm512_shuffle_i64x2::<0xdd>(pq, rs));
                    let (pq, rs) = (_mm512_shuffle_i64x2::<0xdd>(p[i], q[i]), _mm512_shuffle_i64x2::<0xdd>(r[i], s[i]));
                    words[8 * half + 2 + i] = Self(_mm512_shuffle_i64x2::<0x88>(pq, rs));
                    words[8 * half + 6 + i] = Self(_mm512_shuffle_i64x2::<0xdd>(pq, rs));
                }
            }
            words
        }
    }
}

macro_rules! logic_256 {
    ($word:ty, $splat:ident, $add:ident, $left:ident, $right:ident) => {
        type Word = $word;

        #[inline(always)]
        unsafe fn load(from: *const $word) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm256_loadu_si256(from.cast()) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut $word) {
            // SAFETY: the caller's.
            unsafe { _mm256_storeu_si256(to.cast(), self.0) }
        }

        #[inline(always)]
        unsafe fn splat(word: $word) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { $splat(word.cast_signed()) })
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { $add(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn xor(self, other: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm256_xor_si256(self.0, other.0) })
        }

        #[inline(always)]
        unsafe fn rotate_right(self, count: u32) -> Self {
            let back = (<$word>::BITS - count).cast_signed();
            // SAFETY: the caller's.
            unsafe {
                let right = $right(self.0, _mm_cvtsi32_si128(count.cast_signed()));
                Self(_mm256_or_si256(right, $left(self.0, _mm_cvtsi32_si128(back))))
            }
        }

        #[inline(always)]
        unsafe fn shift_right(self, count: u32) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { $right(self.0, _mm_cvtsi32_si128(count.cast_signed())) })
        }

        #[inline(always)]
        unsafe fn xor3(self, b: Self, c: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { self.xor(b).xor(c) }
        }

        #[inline(always)]
        unsafe fn choose(self, b: Self, c: Self) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { _mm256_xor_si256(c.0, _mm256_and_si256(self.0, _mm256_xor_si256(b.0, c.0))) })
        }

        #[inline(always)]
        unsafe fn majority(self, b: Self, c: Self) -> Self {
            // SAFETY: the caller's.
            unsafe {
                let (both, either) = (_mm256_and_si256(self.0, b.0), _mm256_or_si256(self.0, b.0));
                Self(_mm256_or_si256(both, _mm256_and_si256(either, c.0)))
            }
        }
    };
}

impl Words for Narrow256 {
    logic_256!(u32, _mm256_set1_epi32, _mm256_add_epi32, _mm256_sll_epi32, _mm256_srl_epi32);

    #[inline(always)]
    unsafe fn message(blocks: *const *const u8, offset: usize) -> [Self; 16] {
        // SAFETY: the caller's: eight pointers, each good for 64 bytes from `offset`.
        unsafe {
            let mut words = [Self(_mm256_setzero_si256()); 16];
            for half in 0..2 {
                let offset = offset + 32 * half;
                let (p, q) = (quad_256(blocks, offset), quad_256(blocks.add(4), offset));
                for i in 0..4 {
                    words[8 * half + i] = Self(_mm256_permute2x128_si256::<0x20>(p[i], q[i]));
                    words[8 * half + 4 + i] = Self(_mm256_permute2x128_si256::<0x31>(p[i], q[i]));
                }
            }
            words
        }
    }
}

impl Words for Wide256 {
    logic_256!(u64, _mm256_set1_epi64x, _mm256_add_epi64, _mm256_sll_epi64, _mm256_srl_epi64);

    #[inline(always)]
    unsafe fn message(blocks: *const *const u8, offset: usize) -> [Self; 16] {
        // SAFETY: the caller's: four pointers, each good for 128 bytes from `offset`.
        unsafe {
            let mut words = [Self(_mm256_setzero_si256()); 16];
            for quarter in 0..4 {
                let offset = offset + 32 * quarter;
                let (p, q) = (pair_256(blocks, offset), pair_256(blocks.add(2), offset));
                for i in 0..2 {
                    words[4 * quarter + i] = Self(_mm256_permute2x128_si256::<0x20>(p[i], q[i]));
                    words[4 * quarter + 2 + i] = Self(_mm256_permute2x128_si256::<0x31>(p[i], q[i]));
                }
            }
            words
        }
    }
}

/// Sixteen bytes that put those of each word in reverse, for words of 32 bits.
const NARROW: [u64; 2] = [0x04050607_00010203, 0x0c0d0e0f_08090a0b];
/// The same for words of 64 bits.
const WIDE: [u64; 2] = [0x00010203_04050607, 0x08090a0b_0c0d0e0f];

/// Four messages' next 64 bytes, transposed within each 128-bit lane: vector `i` holds words
/// i, 4 + i, 8 + i, 12 + i of each.
#[inline(always)]
unsafe fn quad_512(blocks: *const *const u8, offset: usize) -> [__m512i; 4] {
    // SAFETY: the caller's.
    unsafe {
        let order = _mm512_broadcast_i32x4(_mm_set_epi64x(NARROW[1].cast_signed(), NARROW[0].cast_signed()));
        let mut rows = [order; 4];
        for (lane, row) in rows.iter_mut().enumerate() {
            *row = _mm512_shuffle_epi8(_mm512_loadu_si512((*blocks.add(lane)).add(offset).cast()), order);
        }
        let [a, b, c, d] = rows;
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}

/// Two messages' next 64 bytes, transposed within each 128-bit lane: vector `i` holds words
/// i, 2 + i, 4 + i, 6 + i of each.
#[inline(always)]
unsafe fn pair_512(blocks: *const *const u8, offset: usize) -> [__m512i; 2] {
    // SAFETY: the caller's.
    unsafe {
        let order = _mm512_broadcast_i32x4(_mm_set_epi64x(WIDE[1].cast_signed(), WIDE[0].cast_signed()));
        let mut rows = [order; 2];
        for (lane, row) in rows.iter_mut().enumerate() {
            *row = _mm512_shuffle_epi8(_mm512_loadu_si512((*blocks.add(lane)).add(offset).cast()), order);
        }
        let [a, b] = rows;
        [_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b)]
    }
}

/// Four messages' next 32 bytes, transposed within each 128-bit lane: vector `i` holds words
/// i, 4 + i of each.
#[inline(always)]
unsafe fn quad_256(blocks: *const *const u8, offset: usize) -> [__m256i; 4] {
    // SAFETY: the caller's.
    unsafe {
        let order = _mm256_broadcastsi128_si256(_mm_set_epi64x(NARROW[1].cast_signed(), NARROW[0].cast_signed()));
        let mut rows = [order; 4];
        for (lane, row) in rows.iter_mut().enumerate() {
            *row = _mm256_shuffle_epi8(_mm256_loadu_si256((*blocks.add(lane)).add(offset).cast()), order);
        }
        let [a, b, c, d] = rows;
        let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(ab, cd),
            _mm256_unpackhi_epi64(ab, cd),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}

/// Two messages' next 32 bytes, transposed within each 128-bit lane: vector `i` holds words
/// i, 2 + i of each.
#[inline(always)]
unsafe fn pair_256(blocks: *const *const u8, offset: usize) -> [__m256i; 2] {
    // SAFETY: the caller's.
    unsafe {
        let order = _mm256_broadcastsi128_si256(_mm_set_epi64x(WIDE[1].cast_signed(), WIDE[0].cast_signed()));
        let mut rows = [order; 2];
        for (lane, row) in rows.iter_mut().enumerate() {
            *row = _mm256_shuffle_epi8(_mm256_loadu_si256((*blocks.add(lane)).add(offset).cast()), order);
        }
        let [a, b] = rows;
        [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)]
    }
}
