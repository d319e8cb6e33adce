//! Vectors of blocks: what CBC is written over, once for every width.

// The intrinsics are many, and their names are their own.
#![allow(clippy::wildcard_imports)]

use std::arch::x86_64::*;

/// A vector of one, two or four blocks of 16 bytes, one in each 128-bit lane.
///
/// # Safety
/// Every function wants the instructions of the kernel that the vector belongs to; pointers as each one says.
pub trait Blocks: Copy {
    /// Blocks in a vector.
    const LANES: usize;

    /// The block at `from` in every lane.
    unsafe fn broadcast(from: *const [u8; 16]) -> Self;
    /// `LANES` blocks that follow each other.
    unsafe fn load(from: *const u8) -> Self;
    /// `LANES` blocks that follow each other.
    unsafe fn store(self, to: *mut u8);
    /// The block `offset` bytes on from each of `LANES` pointers.
    unsafe fn gather(from: *const *const u8, offset: usize) -> Self;
    /// A block to `offset` bytes on from each of `LANES` pointers.
    unsafe fn scatter(self, to: *const *mut u8, offset: usize);
    /// The last block of `before`, and this one's but the last: what CBC chains each block of this one with.
    unsafe fn behind(self, before: Self) -> Self;
    /// The block in the last lane.
    unsafe fn last(self) -> __m128i;
    unsafe fn xor(self, other: Self) -> Self;
    /// Exclusive or of three.
    unsafe fn xor3(self, b: Self, c: Self) -> Self;
    /// One round of AES on each lane.
    unsafe fn round(self, key: Self) -> Self;
    /// The last round of AES on each lane.
    unsafe fn last_round(self, key: Self) -> Self;
    /// One round of the inverse cipher on each lane (FIPS 197 §5.3.5: the key has been through InvMixColumns).
    unsafe fn inverse_round(self, key: Self) -> Self;
    /// The last round of the inverse cipher on each lane.
    unsafe fn last_inverse_round(self, key: Self) -> Self;
}

impl Blocks for __m128i {
    const LANES: usize = 1;

    #[inline(always)]
    unsafe fn broadcast(from: *const [u8; 16]) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm_loadu_si128(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm_loadu_si128(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { _mm_storeu_si128(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn gather(from: *const *const u8, offset: usize) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm_loadu_si128((*from).add(offset).cast()) }
    }

    #[inline(always)]
    unsafe fn scatter(self, to: *const *mut u8, offset: usize) {
        // SAFETY: the caller's.
        unsafe { _mm_storeu_si128((*to).add(offset).cast(), self) }
    }

    #[inline(always)]
    unsafe fn behind(self, before: Self) -> Self {
        before
    }

    #[inline(always)]
    unsafe fn last(self) -> __m128i {
        self
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm_xor_si128(self, other) }
    }

    #[inline(always)]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm_xor_si128(self, _mm_xor_si128(b, c)) }
    }

    #[inline(always)]
    unsafe fn round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm_aesenc_si128(self, key) }
    }

    #[inline(always)]
    unsafe fn last_round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm_aesenclast_si128(self, key) }
    }

    #[inline(always)]
    unsafe fn inverse_round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm_aesdec_si128(self, key) }
    }

    #[inline(always)]
    unsafe fn last_inverse_round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm_aesdeclast_si128(self, key) }
    }
}

impl Blocks for __m256i {
    const LANES: usize = 2;

    #[inline(always)]
    unsafe fn broadcast(from: *const [u8; 16]) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { _mm256_storeu_si256(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn gather(from: *const *const u8, offset: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let low = _mm256_castsi128_si256(_mm_loadu_si128((*from).add(offset).cast()));
            _mm256_inserti128_si256::<1>(low, _mm_loadu_si128((*from.add(1)).add(offset).cast()))
        }
    }

    #[inline(always)]
    unsafe fn scatter(self, to: *const *mut u8, offset: usize) {
        // SAFETY: the caller's.
        unsafe {
            _mm_storeu_si128((*to).add(offset).cast(), _mm256_castsi256_si128(self));
            _mm_storeu_si128((*to.add(1)).add(offset).cast(), _mm256_extracti128_si256::<1>(self));
        }
    }

    #[inline(always)]
    unsafe fn behind(self, before: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm256_permute2x128_si256::<0x21>(before, self) }
    }

    #[inline(always)]
    unsafe fn last(self) -> __m128i {
        // SAFETY: the caller's.
        unsafe { _mm256_extracti128_si256::<1>(self) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm256_xor_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm256_xor_si256(self, _mm256_xor_si256(b, c)) }
    }

    #[inline(always)]
    unsafe fn round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm256_aesenc_epi128(self, key) }
    }

    #[inline(always)]
    unsafe fn last_round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm256_aesenclast_epi128(self, key) }
    }

    #[inline(always)]
    unsafe fn inverse_round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm256_aesdec_epi128(self, key) }
    }

    #[inline(always)]
    unsafe fn last_inverse_round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm256_aesdeclast_epi128(self, key) }
    }
}

impl Blocks for __m512i {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn broadcast(from: *const [u8; 16]) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_si512(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn gather(from: *const *const u8, offset: usize) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let low = __m256i::gather(from, offset);
            let high = __m256i::gather(from.add(2), offset);
            _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
        }
    }

    #[inline(always)]
    unsafe fn scatter(self, to: *const *mut u8, offset: usize) {
        // SAFETY: the caller's.
        unsafe {
            _mm_storeu_si128((*to).add(offset).cast(), _mm512_castsi512_si128(self));
            _mm_storeu_si128((*to.add(1)).add(offset).cast(), _mm512_extracti32x4_epi32::<1>(self));
            _mm_storeu_si128((*to.add(2)).add(offset).cast(), _mm512_extracti32x4_epi32::<2>(self));
            _mm_storeu_si128((*to.add(3)).add(offset).cast(), _mm512_extracti32x4_epi32::<3>(self));
        }
    }

    #[inline(always)]
    unsafe fn behind(self, before: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_alignr_epi64::<6>(self, before) }
    }

    #[inline(always)]
    unsafe fn last(self) -> __m128i {
        // SAFETY: the caller's.
        unsafe { _mm512_extracti32x4_epi32::<3>(self) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_xor_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_ternarylogic_epi32::<0x96>(self, b, c) }
    }

    #[inline(always)]
    unsafe fn round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_aesenc_epi128(self, key) }
    }

    #[inline(always)]
    unsafe fn last_round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_aesenclast_epi128(self, key) }
    }

    #[inline(always)]
    unsafe fn inverse_round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_aesdec_epi128(self, key) }
    }

    #[inline(always)]
    unsafe fn last_inverse_round(self, key: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_aesdeclast_epi128(self, key) }
    }
}
