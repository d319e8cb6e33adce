//! Vectors of residues modulo 2^130 - 5: what Poly1305 is written over, in limbs of 44 or 26 bits.

use std::arch::asm;
// Intrinsics, whose names are prefixed as it is.
#[allow(clippy::wildcard_imports)]
use std::arch::x86_64::*;

use super::poly1305::{BLOCK, Message};
use super::words::{intrinsics, transposed_lanes};

/// A residue modulo 2^130 - 5 in each of `LANES` lanes, as `LIMBS` vectors of 64-bit words. Limbs may exceed
/// [`Residues::BITS`] a little: a sum of two still multiplies.
///
/// # Safety
/// Every function wants the instructions of the kernel that the vector belongs to; pointers as each one says.
pub trait Residues<const LANES: usize, const LIMBS: usize>: Copy {
    /// Bits of a limb.
    const BITS: u32;
    /// A vector of 64-bit words.
    type Word: Copy;
    /// Residues to multiply by, which are no sums.
    type Factor: Copy;
    /// A product, or a sum of `LANES / 2` of them, not reduced yet.
    type Product: Copy;

    /// One word in every lane.
    unsafe fn splat(word: u64) -> Self::Word;
    /// A word for each lane.
    unsafe fn load(from: *const u64) -> Self::Word;
    unsafe fn store(word: Self::Word, to: *mut u64);
    unsafe fn and(a: Self::Word, b: Self::Word) -> Self::Word;
    unsafe fn subtract(a: Self::Word, b: Self::Word) -> Self::Word;
    /// Word `i` of each row in the `i`th.
    unsafe fn transposed(rows: [Self::Word; LANES]) -> [Self::Word; LANES];
    /// The even words of both, alternating, and the odd ones.
    unsafe fn interleaved(a: Self::Word, b: Self::Word) -> (Self::Word, Self::Word);
    /// As many blocks of the message as fit into a vector, from block `index` on. Zeros where there are none.
    unsafe fn window(message: &Message, index: isize) -> Self::Word;

    fn from_limbs(limbs: [Self::Word; LIMBS]) -> Self;
    fn limbs(self) -> [Self::Word; LIMBS];
    /// Numbers of 128 bits.
    unsafe fn of_words(low: Self::Word, high: Self::Word) -> Self;
    /// Blocks of a message (RFC 8439 §2.5.1): 2^128 is added where the block's index is not negative.
    unsafe fn of_blocks(low: Self::Word, high: Self::Word, index: Self::Word) -> Self;
    unsafe fn factor(self) -> Self::Factor;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn multiply(self, factor: &Self::Factor) -> Self::Product;
    /// A product added to others.
    unsafe fn multiply_add(self, factor: &Self::Factor, product: Self::Product) -> Self::Product;
    unsafe fn reduced(product: Self::Product) -> Self;
}

/// Limbs of 44, 44 and 42 bits, for multiplication of 52 bits at a time.
#[derive(Clone, Copy)]
pub struct Radix44([__m512i; 3]);

#[derive(Clone, Copy)]
pub struct Factor44 {
    limbs: [__m512i; 3],
    /// Of what goes beyond 2^132, which is 2^2 · 5.
    twentyfold: [__m512i; 3],
}

#[derive(Clone, Copy)]
pub struct Product44 {
    /// The lower 52 bits of each product of limbs, at its limb.
    pub low: [__m512i; 3],
    /// The upper 52 bits: 2^8 times the next limb.
    pub high: [__m512i; 3],
}

impl Product44 {
    /// # Safety
    /// Wants AVX-512.
    #[inline(always)]
    pub unsafe fn zero() -> Self {
        // SAFETY: the caller vouches for AVX-512.
        let zero = unsafe { [_mm512_setzero_si512(); 3] };
        Self { low: zero, high: zero }
    }

    /// Adds one of six parts of the products of one limb with all limbs of a factor: for each of these the lower half, and
    /// the upper one. It stays where it is among other assembly.
    ///
    /// # Safety
    /// Wants the instructions of the kernel.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
    pub unsafe fn add_product(&mut self, limb: usize, part: usize, own: __m512i, factor: &Factor44) {
        let i = part / 2;
        let other = if i < limb { &factor.twentyfold[i + 3 - limb] } else { &factor.limbs[i - limb] };
        // SAFETY: the factor is readable; the caller vouches for the instructions.
        unsafe {
            if part.is_multiple_of(2) {
                asm!("vpmadd52luq {}, {}, [{}]", inout(zmm_reg) self.low[i], in(zmm_reg) own, in(reg) other,
                    options(readonly, nostack, preserves_flags));
            } else {
                asm!("vpmadd52huq {}, {}, [{}]", inout(zmm_reg) self.high[i], in(zmm_reg) own, in(reg) other,
                    options(readonly, nostack, preserves_flags));
            }
        }
    }
}

const MASK_44: i64 = (1 << 44) - 1;
const MASK_42: i64 = (1 << 42) - 1;
const MASK_26: i64 = (1 << 26) - 1;

impl Residues<8, 3> for Radix44 {
    const BITS: u32 = 44;
    type Word = __m512i;
    type Factor = Factor44;
    type Product = Product44;

    #[inline(always)]
    fn from_limbs(limbs: [__m512i; 3]) -> Self {
        Self(limbs)
    }

    #[inline(always)]
    fn limbs(self) -> [__m512i; 3] {
        self.0
    }

    intrinsics! {
        unsafe fn splat(word: u64) -> __m512i { _mm512_set1_epi64(word.cast_signed()) }
        unsafe fn load(from: *const u64) -> __m512i { _mm512_loadu_si512(from.cast()) }
        unsafe fn store(word: __m512i, to: *mut u64) -> () { _mm512_storeu_si512(to.cast(), word) }
        unsafe fn and(a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        unsafe fn subtract(a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi64(a, b) }
        unsafe fn transposed(rows: [__m512i; 8]) -> [__m512i; 8] {
            let [a, b, c, d, e, f, g, h] = rows;
            let even = [
                _mm512_unpacklo_epi64(a, b),
                _mm512_unpacklo_epi64(c, d),
                _mm512_unpacklo_epi64(e, f),
                _mm512_unpacklo_epi64(g, h),
            ];
            let odd = [
                _mm512_unpackhi_epi64(a, b),
                _mm512_unpackhi_epi64(c, d),
                _mm512_unpackhi_epi64(e, f),
                _mm512_unpackhi_epi64(g, h),
            ];
            let ([a, c, e, g], [b, d, f, h]) = (transposed_lanes(even), transposed_lanes(odd));
            [a, b, c, d, e, f, g, h]
        }
        unsafe fn interleaved(a: __m512i, b: __m512i) -> (__m512i, __m512i) {
            (_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b))
        }
        unsafe fn window(message: &Message, index: isize) -> __m512i {
            let offset = (index - 1) * BLOCK as isize;
            let before = offset.saturating_neg().clamp(0, 64) as u32;
            let inside = (message.length as isize - offset).clamp(0, 64) as u32;
            let mask = _bzhi_u64(u64::MAX, inside) & !_bzhi_u64(u64::MAX, before);
            let text = _mm512_maskz_loadu_epi8(mask, message.text.wrapping_offset(offset).cast());
            // The four words of the block at a place in the window, none where it is elsewhere.
            let (first, last) = (index.wrapping_neg() as usize, (message.last - index) as usize);
            let (first, last) = (0xf_u64 << (4 * first.min(15)), 0xf_u64 << (4 * last.min(15)));
            let data = _mm_loadu_si128(message.data.as_ptr().cast());
            let text = _mm512_mask_broadcast_i32x4(text, first as u16, data);
            let lengths = _mm_loadu_si128(message.lengths.as_ptr().cast());
            _mm512_mask_broadcast_i32x4(text, last as u16, lengths)
        }
        unsafe fn of_words(low: __m512i, high: __m512i) -> Self {
            let mask = _mm512_set1_epi64(MASK_44);
            // The ternary operation 0xa8 is (a | b) & c.
            let middle = _mm512_ternarylogic_epi64::<0xa8>(
                _mm512_srli_epi64::<44>(low),
                _mm512_slli_epi64::<20>(high),
                mask,
            );
            Self([_mm512_and_si512(low, mask), middle, _mm512_srli_epi64::<24>(high)])
        }
        unsafe fn of_blocks(low: __m512i, high: __m512i, index: __m512i) -> Self {
            let Self([low, middle, high]) = Self::of_words(low, high);
            // 2^128 is bit 40 of the limb that starts at 88.
            let there = _mm512_cmpge_epi64_mask(index, _mm512_setzero_si512());
            Self([low, middle, _mm512_mask_or_epi64(high, there, high, _mm512_set1_epi64(1 << 40))])
        }
        unsafe fn factor(self: Self) -> Factor44 {
            let mut twentyfold = self.0;
            for limb in &mut twentyfold {
                *limb = _mm512_slli_epi64::<2>(_mm512_add_epi64(*limb, _mm512_slli_epi64::<2>(*limb)));
            }
            Factor44 { limbs: self.0, twentyfold }
        }
        unsafe fn add(self: Self, other: Self) -> Self {
            let ([a, b, c], [d, e, f]) = (self.0, other.0);
            Self([_mm512_add_epi64(a, d), _mm512_add_epi64(b, e), _mm512_add_epi64(c, f)])
        }
        unsafe fn multiply(self: Self, factor: &Factor44) -> Product44 {
            let zero = [_mm512_setzero_si512(); 3];
            self.multiply_add(factor, Product44 { low: zero, high: zero })
        }
        unsafe fn multiply_add(self: Self, factor: &Factor44, product: Product44) -> Product44 {
            let [a, b, c] = self.0;
            let ([r, s, t], [_, s_20, t_20]) = (factor.limbs, factor.twentyfold);
            let Product44 { mut low, mut high } = product;
            for (limb, terms) in [[(a, r), (b, t_20), (c, s_20)], [(a, s), (b, r), (c, t_20)], [(a, t), (b, s), (c, r)]]
                .into_iter()
                .enumerate()
            {
                for (a, b) in terms {
                    low[limb] = _mm512_madd52lo_epu64(low[limb], a, b);
                    high[limb] = _mm512_madd52hi_epu64(high[limb], a, b);
                }
            }
            Product44 { low, high }
        }
        unsafe fn reduced(product: Product44) -> Self {
            let (mask_44, mask_42) = (_mm512_set1_epi64(MASK_44), _mm512_set1_epi64(MASK_42));
            let Product44 { low: [a, b, c], high: [a_high, b_high, c_high] } = product;
            // Four products: each word of `low` is under 2^56, of `high` under 2^46.
            let carry = _mm512_add_epi64(_mm512_srli_epi64::<44>(a), _mm512_slli_epi64::<8>(a_high));
            let (a, b) = (_mm512_and_si512(a, mask_44), _mm512_add_epi64(b, carry));
            let carry = _mm512_add_epi64(_mm512_srli_epi64::<44>(b), _mm512_slli_epi64::<8>(b_high));
            let (b, c) = (_mm512_and_si512(b, mask_44), _mm512_add_epi64(c, carry));
            // From here on in units of 2^130, which is 5.
            let carry = _mm512_add_epi64(_mm512_srli_epi64::<42>(c), _mm512_slli_epi64::<10>(c_high));
            let c = _mm512_and_si512(c, mask_42);
            let a = _mm512_add_epi64(a, _mm512_add_epi64(carry, _mm512_slli_epi64::<2>(carry)));
            let b = _mm512_add_epi64(b, _mm512_srli_epi64::<44>(a));
            Self([_mm512_and_si512(a, mask_44), b, c])
        }
    }
}

/// Five limbs of 26 bits, for multiplication of 32 bits at a time.
#[derive(Clone, Copy)]
pub struct Radix26([__m256i; 5]);

#[derive(Clone, Copy)]
pub struct Factor26 {
    limbs: [__m256i; 5],
    /// Of what goes beyond 2^130.
    fivefold: [__m256i; 5],
}

impl Residues<4, 5> for Radix26 {
    const BITS: u32 = 26;
    type Word = __m256i;
    type Factor = Factor26;
    type Product = [__m256i; 5];

    #[inline(always)]
    fn from_limbs(limbs: [__m256i; 5]) -> Self {
        Self(limbs)
    }

    #[inline(always)]
    fn limbs(self) -> [__m256i; 5] {
        self.0
    }

    intrinsics! {
        unsafe fn splat(word: u64) -> __m256i { _mm256_set1_epi64x(word.cast_signed()) }
        unsafe fn load(from: *const u64) -> __m256i { _mm256_loadu_si256(from.cast()) }
        unsafe fn store(word: __m256i, to: *mut u64) -> () { _mm256_storeu_si256(to.cast(), word) }
        unsafe fn and(a: __m256i, b: __m256i) -> __m256i { _mm256_and_si256(a, b) }
        unsafe fn subtract(a: __m256i, b: __m256i) -> __m256i { _mm256_sub_epi64(a, b) }
        unsafe fn transposed(rows: [__m256i; 4]) -> [__m256i; 4] {
            let [a, b, c, d] = rows;
            let (ab_even, ab_odd) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
            let (cd_even, cd_odd) = (_mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d));
            [
                _mm256_permute2x128_si256::<0x20>(ab_even, cd_even),
                _mm256_permute2x128_si256::<0x20>(ab_odd, cd_odd),
                _mm256_permute2x128_si256::<0x31>(ab_even, cd_even),
                _mm256_permute2x128_si256::<0x31>(ab_odd, cd_odd),
            ]
        }
        unsafe fn interleaved(a: __m256i, b: __m256i) -> (__m256i, __m256i) {
            (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b))
        }
        unsafe fn window(message: &Message, index: isize) -> __m256i {
            let offset = (index - 1) * BLOCK as isize;
            if offset >= 0 && offset + 32 <= message.length as isize {
                _mm256_loadu_si256(message.text.offset(offset).cast())
            } else {
                _mm256_set_m128i(message.block(index + 1), message.block(index))
            }
        }
        unsafe fn of_words(low: __m256i, high: __m256i) -> Self {
            let mask = _mm256_set1_epi64x(MASK_26);
            let middle = _mm256_or_si256(_mm256_srli_epi64::<52>(low), _mm256_slli_epi64::<12>(high));
            Self([
                _mm256_and_si256(low, mask),
                _mm256_and_si256(_mm256_srli_epi64::<26>(low), mask),
                _mm256_and_si256(middle, mask),
                _mm256_and_si256(_mm256_srli_epi64::<14>(high), mask),
                _mm256_srli_epi64::<40>(high),
            ])
        }
        unsafe fn of_blocks(low: __m256i, high: __m256i, index: __m256i) -> Self {
            let Self([a, b, c, d, e]) = Self::of_words(low, high);
            // 2^128 is bit 24 of the limb that starts at 104.
            let absent = _mm256_cmpgt_epi64(_mm256_setzero_si256(), index);
            Self([a, b, c, d, _mm256_or_si256(e, _mm256_andnot_si256(absent, _mm256_set1_epi64x(1 << 24)))])
        }
        unsafe fn factor(self: Self) -> Factor26 {
            let mut fivefold = self.0;
            for limb in &mut fivefold {
                *limb = _mm256_add_epi64(*limb, _mm256_slli_epi64::<2>(*limb));
            }
            Factor26 { limbs: self.0, fivefold }
        }
        unsafe fn add(self: Self, other: Self) -> Self {
            let ([a, b, c, d, e], [f, g, h, i, j]) = (self.0, other.0);
            Self([
                _mm256_add_epi64(a, f),
                _mm256_add_epi64(b, g),
                _mm256_add_epi64(c, h),
                _mm256_add_epi64(d, i),
                _mm256_add_epi64(e, j),
            ])
        }
        unsafe fn multiply(self: Self, factor: &Factor26) -> [__m256i; 5] {
            self.multiply_add(factor, [_mm256_setzero_si256(); 5])
        }
        unsafe fn multiply_add(self: Self, factor: &Factor26, product: [__m256i; 5]) -> [__m256i; 5] {
            let mut product = product;
            for (i, own) in self.0.into_iter().enumerate() {
                for (limb, sum) in product.iter_mut().enumerate() {
                    let other = if i <= limb { factor.limbs[limb - i] } else { factor.fivefold[limb + 5 - i] };
                    *sum = _mm256_add_epi64(*sum, _mm256_mul_epu32(own, other));
                }
            }
            product
        }
        unsafe fn reduced(product: [__m256i; 5]) -> Self {
            let mask = _mm256_set1_epi64x(MASK_26);
            let [a, b, c, d, e] = product;
            // Two chains of carries side by side, from the first and from the fourth limb.
            let (b, e) = (
                _mm256_add_epi64(b, _mm256_srli_epi64::<26>(a)),
                _mm256_add_epi64(e, _mm256_srli_epi64::<26>(d)),
            );
            let (a, d) = (_mm256_and_si256(a, mask), _mm256_and_si256(d, mask));
            let carry = _mm256_srli_epi64::<26>(e);
            let (c, a) = (
                _mm256_add_epi64(c, _mm256_srli_epi64::<26>(b)),
                _mm256_add_epi64(a, _mm256_add_epi64(carry, _mm256_slli_epi64::<2>(carry))),
            );
            let (b, e) = (_mm256_and_si256(b, mask), _mm256_and_si256(e, mask));
            let (d, b) = (
                _mm256_add_epi64(d, _mm256_srli_epi64::<26>(c)),
                _mm256_add_epi64(b, _mm256_srli_epi64::<26>(a)),
            );
            let (c, a) = (_mm256_and_si256(c, mask), _mm256_and_si256(a, mask));
            let e = _mm256_add_epi64(e, _mm256_srli_epi64::<26>(d));
            Self([a, b, c, _mm256_and_si256(d, mask), e])
        }
    }
}
