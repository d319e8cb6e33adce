//! SHA-1 and SHA-256 by the processor's own instructions, two messages at a time: their latency is twice what they keep
//! the unit busy for.

// The intrinsics are many, and their names are their own.
#![allow(clippy::wildcard_imports)]
// Indices run over several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::hash::Lanes;
use super::sha2::CONSTANTS_256;

/// `count` blocks of every active lane.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub fn sha256(lanes: &mut Lanes<u32, 16>, count: usize) {
    for first in (0..lanes.active).step_by(2) {
        if first + 1 < lanes.active {
            sha256_interleaved::<2>(lanes, first, count);
        } else {
            sha256_interleaved::<1>(lanes, first, count);
        }
    }
}

/// `count` blocks of every active lane.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub fn sha1(lanes: &mut Lanes<u32, 16>, count: usize) {
    for first in (0..lanes.active).step_by(2) {
        if first + 1 < lanes.active {
            sha1_interleaved::<2>(lanes, first, count);
        } else {
            sha1_interleaved::<1>(lanes, first, count);
        }
    }
}

/// The four vectors of the block at `offset`, put in order by `order`.
///
/// # Safety
/// `block` is readable for 64 bytes from `offset`.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
unsafe fn message(block: *const u8, offset: usize, order: __m128i) -> [__m128i; 4] {
    [0, 16, 32, 48].map(|i| {
        // SAFETY: the caller's.
        let words = unsafe { _mm_loadu_si128(block.wrapping_add(offset + i).cast()) };
        _mm_shuffle_epi8(words, order)
    })
}

/// The `N` lanes from `first` on, all of them active.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn sha256_interleaved<const N: usize>(lanes: &mut Lanes<u32, 16>, first: usize, count: usize) {
    let order = _mm_set_epi64x(0x0c0d0e0f_08090a0b, 0x04050607_00010203);
    let set = |words: [u32; 4]| {
        let [a, b, c, d] = words.map(u32::cast_signed);
        _mm_set_epi32(a, b, c, d)
    };
    let mut abef = [_mm_setzero_si128(); N];
    let mut cdgh = [_mm_setzero_si128(); N];
    for i in 0..N {
        let [a, b, c, d, e, f, g, h] = lanes.state(first + i);
        (abef[i], cdgh[i]) = (set([a, b, e, f]), set([c, d, g, h]));
    }
    for at in 0..count {
        let before = (abef, cdgh);
        let mut words = [[_mm_setzero_si128(); 4]; N];
        for i in 0..N {
            // SAFETY: the pointers of active lanes are readable for `count` blocks.
            words[i] = unsafe { message(lanes.next[first + i], 64 * at, order) };
        }
        macro_rules! rounds {
            ($($four:literal)*) => {$({
                let [a, b, c, d] = *CONSTANTS_256[4 * $four..].first_chunk().expect("64 constants");
                let constants = set([d, c, b, a]);
                for i in 0..N {
                    let sum = _mm_add_epi32(words[i][$four % 4], constants);
                    cdgh[i] = _mm_sha256rnds2_epu32(cdgh[i], abef[i], sum);
                    abef[i] = _mm_sha256rnds2_epu32(abef[i], cdgh[i], _mm_shuffle_epi32::<0x0e>(sum));
                    if $four < 12 {
                        let [m0, m1, m2, m3] = [0, 1, 2, 3].map(|j| words[i][($four + j) % 4]);
                        let known = _mm_add_epi32(_mm_sha256msg1_epu32(m0, m1), _mm_alignr_epi8::<4>(m3, m2));
                        words[i][$four % 4] = _mm_sha256msg2_epu32(known, m3);
                    }
                }
            })*};
        }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for i in 0..N {
            abef[i] = _mm_add_epi32(abef[i], before.0[i]);
            cdgh[i] = _mm_add_epi32(cdgh[i], before.1[i]);
        }
    }
    for i in 0..N {
        let (abef, cdgh): ([u32; 4], [u32; 4]) = (zerocopy::transmute!(abef[i]), zerocopy::transmute!(cdgh[i]));
        let ([f, e, b, a], [h, g, d, c]) = (abef, cdgh);
        lanes.set_state(first + i, [a, b, c, d, e, f, g, h]);
    }
}

/// The `N` lanes from `first` on, all of them active.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn sha1_interleaved<const N: usize>(lanes: &mut Lanes<u32, 16>, first: usize, count: usize) {
    // The first word is the uppermost.
    let order = _mm_set_epi64x(0x00010203_04050607, 0x08090a0b_0c0d0e0f);
    let mut abcd = [_mm_setzero_si128(); N];
    let mut e = [_mm_setzero_si128(); N];
    for i in 0..N {
        let [a, b, c, d, last, ..] = lanes.state(first + i).map(u32::cast_signed);
        (abcd[i], e[i]) = (_mm_set_epi32(a, b, c, d), _mm_set_epi32(last, 0, 0, 0));
    }
    for at in 0..count {
        let before = (abcd, e);
        let mut words = [[_mm_setzero_si128(); 4]; N];
        for i in 0..N {
            // SAFETY: the pointers of active lanes are readable for `count` blocks.
            words[i] = unsafe { message(lanes.next[first + i], 64 * at, order) };
        }
        macro_rules! rounds {
            ($($four:literal)*) => {$({
                for i in 0..N {
                    let word = words[i][$four % 4];
                    let sum = if $four == 0 { _mm_add_epi32(e[i], word) } else { _mm_sha1nexte_epu32(e[i], word) };
                    e[i] = abcd[i];
                    abcd[i] = _mm_sha1rnds4_epu32::<{ $four / 5 }>(abcd[i], sum);
                    if $four < 16 {
                        let [m0, m1, m2, m3] = [0, 1, 2, 3].map(|j| words[i][($four + j) % 4]);
                        let known = _mm_xor_si128(_mm_sha1msg1_epu32(m0, m1), m2);
                        words[i][$four % 4] = _mm_sha1msg2_epu32(known, m3);
                    }
                }
            })*};
        }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
        for i in 0..N {
            e[i] = _mm_sha1nexte_epu32(e[i], before.1[i]);
            abcd[i] = _mm_add_epi32(abcd[i], before.0[i]);
        }
    }
    for i in 0..N {
        let ([d, c, b, a], [.., e]): ([u32; 4], [u32; 4]) = (zerocopy::transmute!(abcd[i]), zerocopy::transmute!(e[i]));
        lanes.set_state(first + i, [a, b, c, d, e, 0, 0, 0]);
    }
}
