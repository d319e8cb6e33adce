//! One block at a time: SSE4.1, AES-NI and PCLMULQDQ.

use std::arch::asm;
use std::arch::x86_64::{
    __m128i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_and_si128, _mm_clmulepi64_si128, _mm_load_si128,
    _mm_loadu_si128, _mm_set_epi8, _mm_setzero_si128, _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_slli_epi64,
    _mm_storeu_si128, _mm_testz_si128, _mm_xor_si128,
};
use std::ptr;

use super::lanes::{Lanes, MOST_END};
use crate::Tail;

/// One block.
#[derive(Clone, Copy)]
pub struct Block(__m128i);

/// As many bytes of ones as a vector has, and of zeros behind them: read from the middle, a mask.
pub static MASKS: [u8; 64] = {
    let mut masks = [0; 64];
    let mut i = 0;
    while i < 32 {
        masks[i] = 0xff;
        i += 1;
    }
    masks
};

/// The end of a text joined with its tail: `count` bytes and those of `tail`, zeros behind them.
///
/// # Safety
/// `from` is readable for `count` bytes, which are 64 at most.
#[inline(always)]
pub unsafe fn join(from: *const u8, count: usize, tail: Option<&Tail>) -> [u8; 32 * MOST_END] {
    let mut bytes = [0; 32 * MOST_END];
    // SAFETY: the caller says that these bytes are readable; they and the tail's 20 are fewer than 96.
    unsafe {
        ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), count);
        if let Some(tail) = tail {
            ptr::copy_nonoverlapping(tail.bytes.as_ptr(), bytes.as_mut_ptr().add(count), tail.bytes.len());
        }
    }
    bytes
}

impl Lanes for Block {
    const LANES: usize = 1;
    const RELOADS: bool = true;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm_setzero_si128() })
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const u128) -> Self {
        // SAFETY: the trait's contract; blocks are aligned.
        Self(unsafe { _mm_load_si128(from.cast()) })
    }

    #[inline(always)]
    unsafe fn broadcast_bytes(from: &[u8; 16]) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm_loadu_si128(from.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn gather([block, ..]: [__m128i; 4]) -> Self {
        Self(block)
    }

    #[inline(always)]
    unsafe fn of_block(block: __m128i) -> Self {
        Self(block)
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm_loadu_si128(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_blocks(from: *const u128) -> Self {
        // SAFETY: the trait's contract; blocks are aligned.
        Self(unsafe { _mm_load_si128(from.cast()) })
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
        unsafe { _mm_storeu_si128(to.cast(), self.0) };
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
        Self(unsafe { _mm_and_si128(self.0, _mm_loadu_si128(MASKS.as_ptr().add(32 - count).cast())) })
    }

    #[inline(always)]
    unsafe fn lanes(self) -> [__m128i; 4] {
        [self.0; 4]
    }

    #[inline(always)]
    unsafe fn pinned(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { pin(self.0) })
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm_xor_si128(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn xor3(self, second: Self, third: Self) -> Self {
        // SAFETY: the trait's contract.
        unsafe { self.xor(second).xor(third) }
    }

    #[inline(always)]
    unsafe fn round(self, key: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm_aesenc_si128(self.0, key.0) })
    }

    #[inline(always)]
    unsafe fn last_round(self, key: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm_aesenclast_si128(self.0, key.0) })
    }

    #[inline(always)]
    unsafe fn multiply_low(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm_clmulepi64_si128::<0x00>(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn multiply_high(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm_clmulepi64_si128::<0x11>(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn swapped(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm_shuffle_epi32::<0x4e>(self.0) })
    }

    #[inline(always)]
    unsafe fn reversed(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm_shuffle_epi8(self.0, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)) })
    }

    #[inline(always)]
    unsafe fn bits_of_bytes(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm_slli_epi64::<3>(self.0) })
    }

    #[inline(always)]
    unsafe fn sum_lanes([vector, ..]: [Self; 4]) -> Self {
        vector
    }

    #[inline(always)]
    unsafe fn zero_lanes(self) -> u32 {
        // SAFETY: the trait's contract.
        unsafe { _mm_testz_si128(self.0, self.0) as u32 }
    }
}

#[inline]
#[target_feature(enable = "sse2")]
fn pin(mut vector: __m128i) -> __m128i {
    // SAFETY: there is no instruction in it; that it may have an effect is what keeps it in its place.
    unsafe { asm!("/* {0} */", inout(xmm_reg) vector, options(nomem, nostack, preserves_flags)) };
    vector
}
