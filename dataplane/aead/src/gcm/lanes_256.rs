//! Two blocks at a time: AVX2, VAES and VPCLMULQDQ.

use std::arch::asm;
use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_set_epi8, _mm256_aesenc_epi128, _mm256_aesenclast_epi128, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_castsi128_si256, _mm256_castsi256_si128, _mm256_clmulepi64_epi128,
    _mm256_cmpeq_epi64, _mm256_extracti128_si256, _mm256_inserti128_si256, _mm256_loadu_si256, _mm256_movemask_epi8,
    _mm256_permute2x128_si256, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_slli_epi64,
    _mm256_storeu_si256, _mm256_xor_si256,
};
use std::ptr;

use super::lanes::{Lanes, MOST_END};
use super::lanes_128::{MASKS, join};
use crate::Tail;

/// Two blocks.
#[derive(Clone, Copy)]
pub struct Pair(__m256i);

impl Lanes for Pair {
    const LANES: usize = 2;
    const RELOADS: bool = true;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_setzero_si256() })
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const u128) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(from.cast())) })
    }

    #[inline(always)]
    unsafe fn broadcast_bytes(from: &[u8; 16]) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(from.as_ptr().cast())) })
    }

    #[inline(always)]
    unsafe fn gather([first, second, ..]: [__m128i; 4]) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(first), second) })
    }

    #[inline(always)]
    unsafe fn of_block(block: __m128i) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_castsi128_si256(block) })
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_blocks(from: *const u128) -> Self {
        // SAFETY: the trait's contract; blocks are aligned.
        Self(unsafe { _mm256_loadu_si256(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_end(from: *const u8, left: usize, tail: Option<&Tail>, _: usize) -> [Self; MOST_END] {
        // SAFETY: the trait's contract; three vectors stand in what is joined.
        unsafe {
            let bytes = join(from, left, tail);
            [0, 1, 2].map(|i| Self::load(bytes.as_ptr().add(i * Self::BYTES)))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the trait's contract.
        unsafe { _mm256_storeu_si256(to.cast(), self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut u8, count: usize) {
        let mut bytes = [0_u8; Self::BYTES];
        // SAFETY: the trait's contract.
        unsafe {
            self.store(bytes.as_mut_ptr());
            ptr::copy_nonoverlapping(bytes.as_ptr(), to, count);
        }
    }

    #[inline(always)]
    unsafe fn first(self, count: usize) -> Self {
        // SAFETY: the mask starts within the first 32 of 64 bytes.
        Self(unsafe { _mm256_and_si256(self.0, _mm256_loadu_si256(MASKS.as_ptr().add(32 - count).cast())) })
    }

    #[inline(always)]
    unsafe fn lanes(self) -> [__m128i; 4] {
        // SAFETY: the trait's contract.
        let (first, second) = unsafe { (_mm256_castsi256_si128(self.0), _mm256_extracti128_si256::<1>(self.0)) };
        [first, second, first, second]
    }

    #[inline(always)]
    unsafe fn pinned(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { pin(self.0) })
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn xor3(self, second: Self, third: Self) -> Self {
        // SAFETY: the trait's contract.
        unsafe { self.xor(second).xor(third) }
    }

    #[inline(always)]
    unsafe fn round(self, key: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_aesenc_epi128(self.0, key.0) })
    }

    #[inline(always)]
    unsafe fn last_round(self, key: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_aesenclast_epi128(self.0, key.0) })
    }

    #[inline(always)]
    unsafe fn multiply_low(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_clmulepi64_epi128::<0x00>(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn multiply_high(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_clmulepi64_epi128::<0x11>(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn swapped(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_shuffle_epi32::<0x4e>(self.0) })
    }

    #[inline(always)]
    unsafe fn reversed(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            _mm256_shuffle_epi8(self.0, _mm256_broadcastsi128_si256(order))
        })
    }

    #[inline(always)]
    unsafe fn bits_of_bytes(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm256_slli_epi64::<3>(self.0) })
    }

    #[inline(always)]
    unsafe fn sum_lanes([first, second, ..]: [Self; 4]) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let lower = _mm256_permute2x128_si256::<0x20>(first.0, second.0);
            let upper = _mm256_permute2x128_si256::<0x31>(first.0, second.0);
            _mm256_xor_si256(lower, upper)
        })
    }

    #[inline(always)]
    unsafe fn zero_lanes(self) -> u32 {
        // SAFETY: the trait's contract.
        let equal = unsafe { _mm256_movemask_epi8(_mm256_cmpeq_epi64(self.0, _mm256_setzero_si256())) };
        u32::from(equal & 0xffff == 0xffff) | u32::from(equal >> 16 & 0xffff == 0xffff) << 1
    }
}

#[inline]
#[target_feature(enable = "avx")]
fn pin(mut vector: __m256i) -> __m256i {
    // SAFETY: there is no instruction in it; that it may have an effect is what keeps it in its place.
    unsafe { asm!("/* {0} */", inout(ymm_reg) vector, options(nomem, nostack, preserves_flags)) };
    vector
}
