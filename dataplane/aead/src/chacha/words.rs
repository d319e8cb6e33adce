//! Vectors of 32-bit words: what ChaCha20 is written over, 8 or 16 blocks wide.

// Intrinsics, whose names are prefixed as it is.
#[allow(clippy::wildcard_imports)]
use std::arch::x86_64::*;

use super::blocks::{BLOCK, Part};

/// A vector of one 32-bit word of each of `LANES` blocks.
///
/// # Safety
/// Every function wants the instructions of the kernel that the vector belongs to; pointers as each one says.
pub trait Words<const LANES: usize>: Copy {
    /// How many quarter rounds go side by side: more hide more latency, and need more registers.
    const SIDE_BY_SIDE: usize;
    /// What rotations by whole bytes need.
    type Turns;

    /// To be made once for all rounds.
    unsafe fn turns() -> Self::Turns;
    /// One word in every lane.
    unsafe fn splat(word: u32) -> Self;
    /// Each lane's own number.
    unsafe fn numbers() -> Self;
    /// With one word in all lanes from one on.
    unsafe fn with_lanes_from(self, lane: usize, word: u32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn xor(self, other: Self) -> Self;
    unsafe fn rotated_16(self, turns: &Self::Turns) -> Self;
    unsafe fn rotated_12(self, turns: &Self::Turns) -> Self;
    unsafe fn rotated_8(self, turns: &Self::Turns) -> Self;
    unsafe fn rotated_7(self, turns: &Self::Turns) -> Self;
    /// Sixteen words of each lane's block, put together, to as many aligned blocks as lanes.
    unsafe fn store_blocks(words: [Self; 16], to: *mut [u8; BLOCK]);

    /// A whole block of text, enciphered from `source` to `destination`.
    unsafe fn encipher(block: &[u8; BLOCK], source: *const u8, destination: *mut u8);
    /// A block of text of which some comes from a tail or none at all.
    unsafe fn encipher_part(block: &[u8; BLOCK], part: &Part);
}

/// Trait functions whose bodies are intrinsics. Always inlined, as they have the features of their caller only then.
macro_rules! intrinsics {
    ($(unsafe fn $name:ident($($argument:ident: $kind:ty),*) -> $result:ty $body:block)*) => {$(
        #[inline(always)]
        unsafe fn $name($($argument: $kind),*) -> $result {
            // SAFETY: the caller vouches for the kernel's instructions and for the pointers.
            unsafe { $body }
        }
    )*};
}
pub(super) use intrinsics;

impl Words<16> for __m512i {
    const SIDE_BY_SIDE: usize = 4;
    type Turns = ();

    #[inline(always)]
    unsafe fn turns() {}

    intrinsics! {
        unsafe fn splat(word: u32) -> Self { _mm512_set1_epi32(word.cast_signed()) }
        unsafe fn numbers() -> Self {
            _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
        }
        unsafe fn with_lanes_from(self: Self, lane: usize, word: u32) -> Self {
            _mm512_mask_set1_epi32(self, (u32::from(u16::MAX) << lane) as u16, word.cast_signed())
        }
        unsafe fn rotated_16(self: Self, _turns: &()) -> Self { _mm512_rol_epi32::<16>(self) }
        unsafe fn rotated_12(self: Self, _turns: &()) -> Self { _mm512_rol_epi32::<12>(self) }
        unsafe fn rotated_8(self: Self, _turns: &()) -> Self { _mm512_rol_epi32::<8>(self) }
        unsafe fn rotated_7(self: Self, _turns: &()) -> Self { _mm512_rol_epi32::<7>(self) }
        unsafe fn add(self: Self, other: Self) -> Self { _mm512_add_epi32(self, other) }
        unsafe fn xor(self: Self, other: Self) -> Self { _mm512_xor_si512(self, other) }
        unsafe fn store_blocks(words: [Self; 16], to: *mut [u8; BLOCK]) -> () {
            let quarters = quarters(&words);
            for i in 0..4 {
                for (lane, block) in blocks_of_quarters(&quarters, i).into_iter().enumerate() {
                    to.add(4 * lane + i).cast::<__m512i>().write(block);
                }
            }
        }
        unsafe fn encipher(block: &[u8; BLOCK], source: *const u8, destination: *mut u8) -> () {
            let block = _mm512_loadu_si512(block.as_ptr().cast());
            _mm512_storeu_si512(destination.cast(), _mm512_xor_si512(_mm512_loadu_si512(source.cast()), block))
        }
        unsafe fn encipher_part(block: &[u8; BLOCK], part: &Part) -> () {
            let block = _mm512_loadu_si512(block.as_ptr().cast());
            let source = _bzhi_u64(u64::MAX, part.from_source as u32);
            let all = _bzhi_u64(u64::MAX, part.length as u32);
            let text = _mm512_maskz_loadu_epi8(source, part.source.cast());
            let text = _mm512_mask_loadu_epi8(text, all & !source, part.tail.cast());
            _mm512_mask_storeu_epi8(part.destination.cast(), all, _mm512_xor_si512(text, block))
        }
    }
}

impl Words<8> for __m256i {
    const SIDE_BY_SIDE: usize = 2;
    type Turns = [Self; 2];

    intrinsics! {
        unsafe fn splat(word: u32) -> Self { _mm256_set1_epi32(word.cast_signed()) }
        unsafe fn turns() -> [Self; 2] {
            const BY_16: [u8; 16] = [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13];
            const BY_8: [u8; 16] = [3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14];
            static TURNS: [[u8; 16]; 2] = [BY_16, BY_8];
            // Volatile: a compiler that knows the bytes moves them across the operations before, and makes twice as many.
            let [by_16, by_8] = (&raw const TURNS).read_volatile();
            [
                _mm256_broadcastsi128_si256(_mm_loadu_si128(by_16.as_ptr().cast())),
                _mm256_broadcastsi128_si256(_mm_loadu_si128(by_8.as_ptr().cast())),
            ]
        }
        unsafe fn numbers() -> Self { _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0) }
        unsafe fn with_lanes_from(self: Self, lane: usize, word: u32) -> Self {
            let others = _mm256_cmpgt_epi32(_mm256_set1_epi32(lane as i32), Self::numbers());
            _mm256_blendv_epi8(_mm256_set1_epi32(word.cast_signed()), self, others)
        }
        unsafe fn rotated_16(self: Self, turns: &Self::Turns) -> Self {
            _mm256_shuffle_epi8(self, turns[0])
        }
        unsafe fn rotated_12(self: Self, _turns: &Self::Turns) -> Self {
            _mm256_or_si256(_mm256_slli_epi32::<12>(self), _mm256_srli_epi32::<20>(self))
        }
        unsafe fn rotated_8(self: Self, turns: &Self::Turns) -> Self {
            _mm256_shuffle_epi8(self, turns[1])
        }
        unsafe fn rotated_7(self: Self, _turns: &Self::Turns) -> Self {
            _mm256_or_si256(_mm256_slli_epi32::<7>(self), _mm256_srli_epi32::<25>(self))
        }
        unsafe fn add(self: Self, other: Self) -> Self { _mm256_add_epi32(self, other) }
        unsafe fn xor(self: Self, other: Self) -> Self { _mm256_xor_si256(self, other) }
        unsafe fn store_blocks(words: [Self; 16], to: *mut [u8; BLOCK]) -> () {
            let mut quarters = [[words[0]; 4]; 4];
            for (i, quarter) in quarters.iter_mut().enumerate() {
                *quarter = transposed_quads_256([words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]]);
            }
            let [a, b, c, d] = quarters;
            for i in 0..4 {
                let (low, high) = (to.add(i).cast::<__m256i>(), to.add(4 + i).cast::<__m256i>());
                low.write(_mm256_permute2x128_si256::<0x20>(a[i], b[i]));
                low.add(1).write(_mm256_permute2x128_si256::<0x20>(c[i], d[i]));
                high.write(_mm256_permute2x128_si256::<0x31>(a[i], b[i]));
                high.add(1).write(_mm256_permute2x128_si256::<0x31>(c[i], d[i]));
            }
        }
        unsafe fn encipher(block: &[u8; BLOCK], source: *const u8, destination: *mut u8) -> () {
            let block = block.as_ptr().cast::<__m256i>();
            let low = _mm256_xor_si256(_mm256_loadu_si256(source.cast()), _mm256_loadu_si256(block));
            let high = _mm256_xor_si256(_mm256_loadu_si256(source.add(32).cast()), _mm256_loadu_si256(block.add(1)));
            _mm256_storeu_si256(destination.cast(), low);
            _mm256_storeu_si256(destination.add(32).cast(), high)
        }
        unsafe fn encipher_part(block: &[u8; BLOCK], part: &Part) -> () {
            let mut text = [0u8; BLOCK];
            let (source, all) = (part.from_source, part.length);
            let start = text.as_mut_ptr();
            start.copy_from_nonoverlapping(part.source, source);
            start.add(source).copy_from_nonoverlapping(part.tail.wrapping_add(source), all - source);
            Self::encipher(block, start.cast_const(), start);
            part.destination.copy_from_nonoverlapping(start.cast_const(), all)
        }
    }
}

/// Of each quarter of a block, four words of each block in a 128-bit lane.
///
/// # Safety
/// Wants AVX-512.
#[inline(always)]
pub(super) unsafe fn quarters(words: &[__m512i; 16]) -> [[__m512i; 4]; 4] {
    let mut quarters = [[words[0]; 4]; 4];
    for (i, quarter) in quarters.iter_mut().enumerate() {
        // SAFETY: the caller vouches for AVX-512.
        *quarter =
            unsafe { transposed_quads_512([words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3]]) };
    }
    quarters
}

/// The whole blocks of lanes `i`, `i + 4`, `i + 8` and `i + 12`.
///
/// # Safety
/// Wants AVX-512.
#[inline(always)]
pub(super) unsafe fn blocks_of_quarters([a, b, c, d]: &[[__m512i; 4]; 4], i: usize) -> [__m512i; 4] {
    // SAFETY: the caller vouches for AVX-512.
    unsafe { transposed_lanes([a[i], b[i], c[i], d[i]]) }
}

/// In each 128-bit lane of the `i`th, the `i`th words of the four.
#[inline(always)]
unsafe fn transposed_quads_512([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    // SAFETY: the caller vouches for AVX-512.
    unsafe {
        let (ab_low, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        [
            _mm512_unpacklo_epi64(ab_low, cd_low),
            _mm512_unpackhi_epi64(ab_low, cd_low),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}

/// In each 128-bit lane of the `i`th, the `i`th words of the four.
#[inline(always)]
unsafe fn transposed_quads_256([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    // SAFETY: the caller vouches for AVX2.
    unsafe {
        let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(ab_low, cd_low),
            _mm256_unpackhi_epi64(ab_low, cd_low),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}

/// In the `i`th, the `i`th 128-bit lanes of the four.
///
/// # Safety
/// Wants AVX-512.
#[inline(always)]
pub(super) unsafe fn transposed_lanes([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    // SAFETY: the caller vouches for AVX-512.
    unsafe {
        let (ab_low, ab_high) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0xee>(a, b));
        let (cd_low, cd_high) = (_mm512_shuffle_i32x4::<0x44>(c, d), _mm512_shuffle_i32x4::<0xee>(c, d));
        [
            _mm512_shuffle_i32x4::<0x88>(ab_low, cd_low),
            _mm512_shuffle_i32x4::<0xdd>(ab_low, cd_low),
            _mm512_shuffle_i32x4::<0x88>(ab_high, cd_high),
            _mm512_shuffle_i32x4::<0xdd>(ab_high, cd_high),
        ]
    }
}
