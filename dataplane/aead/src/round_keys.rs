//! The key expansion of AES (FIPS 197 §5.2), for every kernel that enciphers by instructions.

use std::arch::x86_64::{_mm_aeskeygenassist_si128, _mm_cvtsi128_si32, _mm_set_epi64x};

use zeroize::Zeroize;

/// Round keys of the longest schedule.
pub const MOST_ROUND_KEYS: usize = 15;

/// The round keys of a key of 16, 24 or 32 bytes, as they stand in memory; zeros behind them.
#[target_feature(enable = "sse4.1,aes")]
pub fn expand(key: &[u8]) -> [u128; MOST_ROUND_KEYS] {
    let words = key.len() / 4;
    let rounds = words + 6;
    // Word by word; the substitution box is the instruction's, not a table.
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
    let mut round_keys = [0; MOST_ROUND_KEYS];
    for (round_key, words) in round_keys.iter_mut().zip(schedule.as_chunks::<4>().0) {
        *round_key = words.iter().rev().fold(0, |value, word| value << 32 | u128::from(*word));
    }
    schedule.zeroize();
    round_keys
}

/// The substitution box on each byte of a word.
#[target_feature(enable = "sse4.1,aes")]
fn substitute(word: u32) -> u32 {
    let vector = _mm_set_epi64x(0, i64::from(word) << 32);
    _mm_cvtsi128_si32(_mm_aeskeygenassist_si128::<0>(vector)) as u32
}
