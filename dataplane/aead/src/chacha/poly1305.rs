//! Poly1305 (RFC 8439 §2.5) over several packets, or several parts of one, at a time.
//!
//! A message is a polynomial in `r`, its blocks the coefficients, and the first one stands at the highest power: blocks
//! of zeros in front change nothing. So messages of different lengths end together.

use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_setzero_si128};

use super::residues::Residues;
use super::{Key, blocks};
use crate::{Packet, TAG};

/// Bytes of a block.
pub const BLOCK: usize = 16;
/// RFC 8439 §2.5: what is left of `r`.
const CLAMP: [u64; 2] = [0x0fff_fffc_0fff_ffff, 0x0fff_fffc_0fff_fffc];

/// What is authenticated of a packet (RFC 8439 §2.8), as blocks: first the associated data, then the ciphertext, at
/// last the lengths.
///
/// Invariant: `text` is readable for `length` bytes.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// The first 32 bytes of the keystream: `r` and `s` (RFC 8439 §2.6).
    pub key: &'a [u8; blocks::BLOCK],
    pub data: [u8; BLOCK],
    pub text: *const u8,
    pub length: usize,
    pub lengths: [u8; BLOCK],
    /// 0, or 1 where there is no associated data.
    pub first: isize,
    /// The index behind the last whole block of text.
    pub inside: isize,
    /// The index of the block of lengths.
    pub last: isize,
}

impl<'a> Message<'a> {
    /// That of a packet whose ciphertext stands at `text`, with its block of keystream of counter 0.
    #[inline(always)]
    pub fn new(packet: &Packet<'_, Key>, text: *const u8, key: &'a [u8; blocks::BLOCK]) -> Self {
        let length = packet.text_length();
        let lengths = (packet.data.length as u128) | (length as u128) << 64;
        Self {
            key,
            data: packet.data.block,
            text,
            length,
            lengths: lengths.to_le_bytes(),
            first: isize::from(packet.data.length == 0),
            inside: (length / BLOCK) as isize + 1,
            last: length.div_ceil(BLOCK) as isize + 1,
        }
    }

    /// Blocks, that of the associated data counted even where it is empty.
    #[inline(always)]
    pub fn blocks(&self) -> usize {
        self.last as usize + 1
    }

    /// One block, zeros where there is none.
    ///
    /// # Safety
    /// Wants SSE2.
    #[inline(always)]
    pub unsafe fn block(&self, index: isize) -> __m128i {
        let offset = (index - 1) * BLOCK as isize;
        // SAFETY: what is read of the text lies inside it; the caller vouches for the instructions.
        unsafe {
            if index == 0 {
                _mm_loadu_si128(self.data.as_ptr().cast())
            } else if index == self.last {
                _mm_loadu_si128(self.lengths.as_ptr().cast())
            } else if index < 0 {
                _mm_setzero_si128()
            } else if offset + BLOCK as isize <= self.length as isize {
                _mm_loadu_si128(self.text.offset(offset).cast())
            } else {
                // RFC 8439 §2.8: the ciphertext is padded with zeros.
                let mut block = [0u8; BLOCK];
                let rest = self.length - offset as usize;
                block.as_mut_ptr().copy_from_nonoverlapping(self.text.offset(offset), rest);
                _mm_loadu_si128(block.as_ptr().cast())
            }
        }
    }
}

/// Tags of as many messages as lanes, each in its own: for short ones of about the same length.
///
/// # Safety
/// Wants the instructions of `R`.
#[inline(always)]
pub unsafe fn across<R: Residues<LANES, LIMBS>, const LANES: usize, const LIMBS: usize>(
    messages: &[&Message<'_>; LANES],
) -> [[u8; TAG]; LANES] {
    // A window of every message, turned, gives so many blocks of each.
    let step = LANES / 2;
    let most = messages.iter().map(|message| message.blocks()).max().unwrap_or(0);
    let end = most.next_multiple_of(step);
    let (mut leads, mut absent, mut texts) = ([0; LANES], [0; LANES], [std::ptr::null(); LANES]);
    // Where there is text in whole blocks in every lane.
    let mut inside = 0..end as isize;
    for (i, message) in messages.iter().enumerate() {
        let lead = (end - message.blocks()) as isize;
        leads[i] = lead;
        absent[i] = (lead + message.first).cast_unsigned() as u64;
        texts[i] = message.text.wrapping_offset(-(lead + 1) * BLOCK as isize);
        inside = inside.start.max(lead + 1)..inside.end.min(lead + message.inside);
    }
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let absent = R::load(absent.as_ptr());
        let r = multipliers::<R, LANES, LIMBS>(messages);
        let mut powers = [r.factor(); LANES];
        let mut power = r;
        for i in 1..step {
            power = R::reduced(power.multiply(&powers[0]));
            powers[i] = power.factor();
        }
        let mut sum = R::of_words(R::splat(0), R::splat(0));
        for at in (0..end).step_by(step) {
            let mut rows = [R::splat(0); LANES];
            if inside.contains(&(at as isize)) && inside.contains(&((at + step - 1) as isize)) {
                for (row, text) in rows.iter_mut().zip(texts) {
                    *row = R::load(text.wrapping_add(at * BLOCK).cast());
                }
            } else {
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = R::window(messages[i], at as isize - leads[i]);
                }
            }
            let columns = R::transposed(rows);
            macro_rules! block {
                ($i:expr) => {{
                    let index = R::subtract(R::splat((at + $i) as u64), absent);
                    R::of_blocks(columns[2 * $i], columns[2 * $i + 1], index)
                }};
            }
            // The sum so far comes last, as the others need not wait for it.
            let mut product = block!(step - 1).multiply(&powers[0]);
            for i in (1..step - 1).rev() {
                product = block!(i).multiply_add(&powers[step - 1 - i], product);
            }
            sum = R::reduced(sum.add(block!(0)).multiply_add(&powers[step - 1], product));
        }
        let limbs = stored::<R, LANES, LIMBS>(sum);
        let mut tags = [[0; TAG]; LANES];
        for (i, tag) in tags.iter_mut().enumerate() {
            let mut own = [0; LIMBS];
            for (own, limb) in own.iter_mut().zip(&limbs) {
                *own = limb[i];
            }
            *tag = finished(own, R::BITS, messages[i].key);
        }
        tags
    }
}

/// Tags of up to as many messages as lanes, one message after the other, each taken apart over all lanes: for long ones.
///
/// # Safety
/// Wants the instructions of `R`.
#[inline(always)]
pub unsafe fn along<R: Residues<LANES, LIMBS>, const LANES: usize, const LIMBS: usize>(
    messages: &[&Message<'_>; LANES],
    count: usize,
) -> [[u8; TAG]; LANES] {
    let mut tags = [[0; TAG]; LANES];
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        // Powers of every message's r, from the first to that of as many as lanes, and its square.
        let r = multipliers::<R, LANES, LIMBS>(messages);
        let mut powers = [r; LANES];
        let by_r = r.factor();
        for i in 1..LANES {
            let half = powers[i / 2];
            let whole = if i % 2 == 1 { half.multiply(&half.factor()) } else { powers[i - 1].multiply(&by_r) };
            powers[i] = R::reduced(whole);
        }
        let step = powers[LANES - 1];
        let step_limbs = stored::<R, LANES, LIMBS>(step);
        let double_limbs = stored::<R, LANES, LIMBS>(R::reduced(step.multiply(&step.factor())));
        // Turned: the powers of one message, each in the lane whose sum it ends.
        let mut turned = [[R::splat(0); LIMBS]; LANES];
        for limb in 0..LIMBS {
            let mut rows = [R::splat(0); LANES];
            for (lane, row) in rows.iter_mut().enumerate() {
                *row = powers[LANES - 1 - block_in_lane::<LANES>(lane)].limbs()[limb];
            }
            for (turned, column) in turned.iter_mut().zip(R::transposed(rows)) {
                turned[limb] = column;
            }
        }

        let mut order = [0; LANES];
        for (lane, index) in order.iter_mut().enumerate() {
            *index = block_in_lane::<LANES>(lane) as u64;
        }
        for (i, message) in messages.iter().enumerate().take(count) {
            let order = R::subtract(R::load(order.as_ptr()), R::splat(message.first as u64));
            let (mut step, mut double) = ([R::splat(0); LIMBS], [R::splat(0); LIMBS]);
            for limb in 0..LIMBS {
                step[limb] = R::splat(step_limbs[limb][i]);
                double[limb] = R::splat(double_limbs[limb][i]);
            }
            let (step, double) = (R::from_limbs(step).factor(), R::from_limbs(double).factor());
            let (blocks, lanes) = (message.blocks(), LANES as isize);
            let mut at = blocks as isize - blocks.next_multiple_of(LANES) as isize;
            let mut sum = R::of_words(R::splat(0), R::splat(0));
            if blocks.div_ceil(LANES) % 2 == 1 {
                sum = group::<R, LANES, LIMBS>(message, at, order);
                at += lanes;
            }
            while at < blocks as isize {
                let product = group::<R, LANES, LIMBS>(message, at, order).multiply(&step);
                let next = group::<R, LANES, LIMBS>(message, at + lanes, order);
                sum = R::reduced(sum.multiply_add(&double, product)).add(next);
                at += 2 * lanes;
            }
            let ends = R::from_limbs(turned[i]).factor();
            let limbs = stored::<R, LANES, LIMBS>(R::reduced(sum.multiply(&ends)));
            let mut own = [0; LIMBS];
            for (own, limb) in own.iter_mut().zip(&limbs) {
                *own = limb.iter().sum();
            }
            tags[i] = finished(own, R::BITS, message.key);
        }
    }
    tags
}

/// Which of a group's blocks [`Residues::interleaved`] puts into a lane.
#[inline(always)]
const fn block_in_lane<const LANES: usize>(lane: usize) -> usize {
    lane % 2 * (LANES / 2) + lane / 2
}

/// As many blocks of one message as lanes, from block `at` on.
///
/// # Safety
/// Wants the instructions of `R`.
#[inline(always)]
unsafe fn group<R: Residues<LANES, LIMBS>, const LANES: usize, const LIMBS: usize>(
    message: &Message<'_>,
    at: isize,
    order: R::Word,
) -> R {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let half = (LANES / 2) as isize;
        let (low, high) = if at > 0 && at + 2 * half <= message.inside {
            let text = message.text.offset((at - 1) * BLOCK as isize);
            R::interleaved(R::load(text.cast()), R::load(text.add(LANES * BLOCK / 2).cast()))
        } else {
            R::interleaved(R::window(message, at), R::window(message, at + half))
        };
        R::of_blocks(low, high, R::subtract(order, R::splat(at.wrapping_neg().cast_unsigned() as u64)))
    }
}

/// The `r` of each message.
///
/// # Safety
/// Wants the instructions of `R`.
#[inline(always)]
pub unsafe fn multipliers<R: Residues<LANES, LIMBS>, const LANES: usize, const LIMBS: usize>(
    messages: &[&Message<'_>; LANES],
) -> R {
    // SAFETY: a block of keystream is as long as the widest vector; the caller vouches for the instructions.
    unsafe {
        let mut rows = [R::splat(0); LANES];
        for (row, message) in rows.iter_mut().zip(messages) {
            *row = R::load(message.key.as_ptr().cast());
        }
        let columns = R::transposed(rows);
        R::of_words(R::and(columns[0], R::splat(CLAMP[0])), R::and(columns[1], R::splat(CLAMP[1])))
    }
}

/// The limbs of every lane.
///
/// # Safety
/// Wants the instructions of `R`.
#[inline(always)]
pub unsafe fn stored<R: Residues<LANES, LIMBS>, const LANES: usize, const LIMBS: usize>(
    residues: R,
) -> [[u64; LANES]; LIMBS] {
    let mut limbs = [[0; LANES]; LIMBS];
    // SAFETY: there is room for as many words as lanes; the caller vouches for the instructions.
    unsafe {
        for (stored, limb) in limbs.iter_mut().zip(residues.limbs()) {
            R::store(limb, stored.as_mut_ptr());
        }
    }
    limbs
}

/// The tag: the residue, now the least one, and `s` added to it (RFC 8439 §2.5.1). Limbs are under 2^62, all but the
/// last under 2^(128 - the bit they start at).
#[inline(always)]
pub fn finished<const LIMBS: usize>(limbs: [u64; LIMBS], bits: u32, key: &[u8; blocks::BLOCK]) -> [u8; TAG] {
    // As `low` + 2^128 · `high`.
    let (mut low, mut high) = (0_u128, 0_u64);
    for (i, limb) in limbs.into_iter().enumerate() {
        let shift = bits * i as u32;
        let (sum, carry) = low.overflowing_add(u128::from(limb) << shift);
        low = sum;
        // Only the last limb can reach over.
        high += u64::from(carry) + if i == LIMBS - 1 { limb >> (128 - shift) } else { 0 };
    }
    // 2^130 is 5.
    let (sum, carry) = low.overflowing_add(u128::from(high >> 2) * 5);
    let (low, high) = (sum, (high & 3) + u64::from(carry));
    // Less the modulus, where that leaves 2^130 or more of what is 5 greater.
    let (less, carry) = low.overflowing_add(5);
    let beyond = (high + u64::from(carry)) >> 2;
    let beyond = u128::from(beyond).wrapping_neg();
    let least = low & !beyond | less & beyond;
    let [_, s, ..] = *key.as_chunks::<TAG>().0 else { return [0; TAG] };
    least.wrapping_add(u128::from_le_bytes(s)).to_le_bytes()
}
