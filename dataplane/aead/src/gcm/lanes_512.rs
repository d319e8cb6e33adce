//! Four blocks at a time: AVX-512, VAES and VPCLMULQDQ.

use std::arch::asm;
use std::arch::x86_64::{
    __m128i, __m512i, _bzhi_u64, _mm_loadu_si128, _mm_set_epi8, _mm512_aesenc_epi128, _mm512_aesenclast_epi128,
    _mm512_broadcast_i32x4, _mm512_castsi128_si512, _mm512_castsi512_si128, _mm512_clmulepi64_epi128,
    _mm512_cmpeq_epi64_mask, _mm512_extracti32x4_epi32, _mm512_inserti32x4, _mm512_loadu_si512,
    _mm512_mask_storeu_epi8, _mm512_maskz_loadu_epi8, _mm512_maskz_mov_epi8, _mm512_or_si512, _mm512_setzero_si512,
    _mm512_shuffle_epi8, _mm512_shuffle_epi32, _mm512_shuffle_i64x2, _mm512_slli_epi64, _mm512_storeu_si512,
    _mm512_ternarylogic_epi64, _mm512_xor_si512,
};

use super::lanes::{Lanes, MOST_END};
use crate::Tail;

/// Four blocks.
#[derive(Clone, Copy)]
pub struct Quad(__m512i);

/// A mask of so many bytes, of all 64 with more, at most 255: of the count the instruction takes a byte.
#[inline(always)]
unsafe fn first_bytes(count: usize) -> u64 {
    // SAFETY: the trait's contract.
    unsafe { _bzhi_u64(u64::MAX, count as u32) }
}

impl Quad {
    /// Of each lane the first `count` bytes, at most a block, and zeros behind them.
    #[inline(always)]
    pub unsafe fn first_of_each(self, count: usize) -> Self {
        // SAFETY: the trait's contract.
        unsafe {
            let mask = first_bytes(count) * 0x0001_0001_0001_0001;
            Self(_mm512_maskz_mov_epi8(mask, self.0))
        }
    }

    /// In lane `i` the first block of the `i`th vector, and then the second.
    #[inline(always)]
    pub unsafe fn first_two([a, b, c, d]: [Self; 4]) -> [Self; 2] {
        // SAFETY: the trait's contract.
        unsafe {
            let (low, high) = (_mm512_shuffle_i64x2::<0x44>(a.0, b.0), _mm512_shuffle_i64x2::<0x44>(c.0, d.0));
            [Self(_mm512_shuffle_i64x2::<0x88>(low, high)), Self(_mm512_shuffle_i64x2::<0xdd>(low, high))]
        }
    }
}

impl Lanes for Quad {
    const LANES: usize = 4;
    const RELOADS: bool = false;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_setzero_si512() })
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const u128) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(from.cast())) })
    }

    #[inline(always)]
    unsafe fn broadcast_bytes(from: &[u8; 16]) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(from.as_ptr().cast())) })
    }

    #[inline(always)]
    unsafe fn gather([a, b, c, d]: [__m128i; 4]) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let vector = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
            _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(vector, c), d)
        })
    }

    #[inline(always)]
    unsafe fn of_block(block: __m128i) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_castsi128_si512(block) })
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_loadu_si512(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_blocks(from: *const u128) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_loadu_si512(from.cast()) })
    }

    #[inline(always)]
    unsafe fn load_end(from: *const u8, left: usize, tail: Option<&Tail>, count: usize) -> [Self; MOST_END] {
        // SAFETY: the trait's contract. What a mask leaves out is not touched.
        unsafe {
            let mut vectors = [Self::zero(); MOST_END];
            for (i, vector) in vectors.iter_mut().enumerate().take(count) {
                let before = i * Self::BYTES;
                let mask = first_bytes(left.saturating_sub(before));
                *vector = Self(_mm512_maskz_loadu_epi8(mask, from.wrapping_add(before).cast()));
                if let Some(tail) = tail {
                    // The tail's bytes are read from where its first one would stand `left` bytes into the text.
                    let mask = first_bytes((left + tail.length).saturating_sub(before)) & !mask;
                    let at = tail.bytes.as_ptr().wrapping_add(before).wrapping_sub(left);
                    *vector = Self(_mm512_or_si512(vector.0, _mm512_maskz_loadu_epi8(mask, at.cast())));
                }
            }
            vectors
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the trait's contract.
        unsafe { _mm512_storeu_si512(to.cast(), self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut u8, count: usize) {
        // SAFETY: the trait's contract; what the mask leaves out is not touched.
        unsafe { _mm512_mask_storeu_epi8(to.cast(), first_bytes(count), self.0) };
    }

    #[inline(always)]
    unsafe fn first(self, count: usize) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_maskz_mov_epi8(first_bytes(count), self.0) })
    }

    #[inline(always)]
    unsafe fn lanes(self) -> [__m128i; 4] {
        // SAFETY: the trait's contract.
        unsafe {
            [
                _mm512_castsi512_si128(self.0),
                _mm512_extracti32x4_epi32::<1>(self.0),
                _mm512_extracti32x4_epi32::<2>(self.0),
                _mm512_extracti32x4_epi32::<3>(self.0),
            ]
        }
    }

    #[inline(always)]
    unsafe fn pinned(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { pin(self.0) })
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_xor_si512(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn xor3(self, second: Self, third: Self) -> Self {
        // SAFETY: the trait's contract.
        unsafe { Self(_mm512_ternarylogic_epi64::<0x96>(self.0, second.0, third.0)) }
    }

    #[inline(always)]
    unsafe fn round(self, key: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_aesenc_epi128(self.0, key.0) })
    }

    #[inline(always)]
    unsafe fn last_round(self, key: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_aesenclast_epi128(self.0, key.0) })
    }

    #[inline(always)]
    unsafe fn multiply_low(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_clmulepi64_epi128::<0x00>(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn multiply_high(self, other: Self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_clmulepi64_epi128::<0x11>(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn swapped(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_shuffle_epi32::<0x4e>(self.0) })
    }

    #[inline(always)]
    unsafe fn reversed(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            let order = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            _mm512_shuffle_epi8(self.0, _mm512_broadcast_i32x4(order))
        })
    }

    #[inline(always)]
    unsafe fn bits_of_bytes(self) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { _mm512_slli_epi64::<3>(self.0) })
    }

    #[inline(always)]
    unsafe fn sum_lanes([a, b, c, d]: [Self; 4]) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe {
            // Lanes 0 + 2 and 1 + 3 of one vector, and of the next behind them; then these added.
            let (low, high) = (_mm512_shuffle_i64x2::<0x44>(a.0, b.0), _mm512_shuffle_i64x2::<0xee>(a.0, b.0));
            let first = _mm512_xor_si512(low, high);
            let (low, high) = (_mm512_shuffle_i64x2::<0x44>(c.0, d.0), _mm512_shuffle_i64x2::<0xee>(c.0, d.0));
            let second = _mm512_xor_si512(low, high);
            let even = _mm512_shuffle_i64x2::<0x88>(first, second);
            _mm512_xor_si512(even, _mm512_shuffle_i64x2::<0xdd>(first, second))
        })
    }

    #[inline(always)]
    unsafe fn zero_lanes(self) -> u32 {
        // SAFETY: the trait's contract.
        let equal = u32::from(unsafe { _mm512_cmpeq_epi64_mask(self.0, _mm512_setzero_si512()) });
        let both = equal & equal >> 1;
        both & 1 | both >> 1 & 2 | both >> 2 & 4 | both >> 3 & 8
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn pin(mut vector: __m512i) -> __m512i {
    // SAFETY: there is no instruction in it; that it may have an effect is what keeps it in its place.
    unsafe { asm!("/* {0} */", inout(zmm_reg) vector, options(nomem, nostack, preserves_flags)) };
    vector
}
