//! Long packets with AVX-512: Poly1305 goes on beside the rounds of ChaCha20.
//!
//! By itself, each is held up by the latency of its own instructions. Sealing, ciphertext is authenticated while that of
//! the packets behind it is made. Opening, it is authenticated while the packets before it are deciphered.

use std::arch::asm;

use super::blocks::Keystream;
use super::hashing::{Hashing, LANES};
use super::lanes::Lanes;
use super::words::Words;
use super::{Key, Packet};
use crate::{PIECE, TAG};

/// A quarter of a quarter round of RFC 8439 §2.1. In assembly, as the compiler would put these instructions into an order of
/// its own, and need more registers than there are.
macro_rules! quarter {
    ($words:ident, $by:literal, $a:literal $b:literal $d:literal) => {
        asm!(
            "vpaddd {a}, {a}, {b}",
            "vpxord {d}, {d}, {a}",
            concat!("vprold {d}, {d}, ", $by),
            a = inout(zmm_reg) $words[$a],
            b = in(zmm_reg) $words[$b],
            d = inout(zmm_reg) $words[$d],
            options(nomem, nostack, preserves_flags)
        )
    };
}

/// Two rounds, and after each quarter of each quarter round what goes on beside them, in 32 parts counted from a first.
macro_rules! double_round {
    ($words:ident $($beside:ident $part:literal)?) => {
        quarter!($words, 16, 0 4 12);
        $($beside!($part + 0);)?
        quarter!($words, 16, 1 5 13);
        $($beside!($part + 1);)?
        quarter!($words, 16, 2 6 14);
        $($beside!($part + 2);)?
        quarter!($words, 16, 3 7 15);
        $($beside!($part + 3);)?
        quarter!($words, 12, 8 12 4);
        $($beside!($part + 4);)?
        quarter!($words, 12, 9 13 5);
        $($beside!($part + 5);)?
        quarter!($words, 12, 10 14 6);
        $($beside!($part + 6);)?
        quarter!($words, 12, 11 15 7);
        $($beside!($part + 7);)?
        quarter!($words, 8, 0 4 12);
        $($beside!($part + 8);)?
        quarter!($words, 8, 1 5 13);
        $($beside!($part + 9);)?
        quarter!($words, 8, 2 6 14);
        $($beside!($part + 10);)?
        quarter!($words, 8, 3 7 15);
        $($beside!($part + 11);)?
        quarter!($words, 7, 8 12 4);
        $($beside!($part + 12);)?
        quarter!($words, 7, 9 13 5);
        $($beside!($part + 13);)?
        quarter!($words, 7, 10 14 6);
        $($beside!($part + 14);)?
        quarter!($words, 7, 11 15 7);
        $($beside!($part + 15);)?
        quarter!($words, 16, 0 5 15);
        $($beside!($part + 16);)?
        quarter!($words, 16, 1 6 12);
        $($beside!($part + 17);)?
        quarter!($words, 16, 2 7 13);
        $($beside!($part + 18);)?
        quarter!($words, 16, 3 4 14);
        $($beside!($part + 19);)?
        quarter!($words, 12, 10 15 5);
        $($beside!($part + 20);)?
        quarter!($words, 12, 11 12 6);
        $($beside!($part + 21);)?
        quarter!($words, 12, 8 13 7);
        $($beside!($part + 22);)?
        quarter!($words, 12, 9 14 4);
        $($beside!($part + 23);)?
        quarter!($words, 8, 0 5 15);
        $($beside!($part + 24);)?
        quarter!($words, 8, 1 6 12);
        $($beside!($part + 25);)?
        quarter!($words, 8, 2 7 13);
        $($beside!($part + 26);)?
        quarter!($words, 8, 3 4 14);
        $($beside!($part + 27);)?
        quarter!($words, 7, 10 15 5);
        $($beside!($part + 28);)?
        quarter!($words, 7, 11 12 6);
        $($beside!($part + 29);)?
        quarter!($words, 7, 8 13 7);
        $($beside!($part + 30);)?
        quarter!($words, 7, 9 14 4);
        $($beside!($part + 31);)?
    };
}

/// Seals long packets.
///
/// # Safety
/// Wants the instructions of the kernel.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
pub unsafe fn seal(packets: &[Packet<'_, Key>]) {
    let mut keys = Keystream([[0; 64]; PIECE]);
    let keys = keys.0.as_mut_ptr();
    // SAFETY: the caller vouches for the instructions. By the packet's invariants there is room for a tag behind the text.
    // Keys and text that are authenticated have been written by then.
    unsafe {
        let mut lanes = Lanes::new();
        let mut hashing = Hashing::new(packets, keys.cast_const(), true);
        while lanes.fill(packets, keys, true) {
            hashing.begin(hashing.ready);
            encipher(packets, &mut lanes, &mut hashing);
            hashing.ready = if lanes.complete() == packets.len() {
                packets.len().div_ceil(LANES)
            } else {
                lanes.complete() / LANES
            };
        }
        hashing.finish(hashing.ready);
        for (packet, tag) in packets.iter().zip(&hashing.tags) {
            packet.destination.add(packet.text_length()).cast::<[u8; TAG]>().write_unaligned(*tag);
        }
    }
}

/// Opens long packets, and returns the tags that they should have.
///
/// # Safety
/// Wants the instructions of the kernel.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
pub unsafe fn open(packets: &[Packet<'_, Key>]) -> [[u8; TAG]; PIECE] {
    let mut keys = Keystream([[0; 64]; PIECE]);
    let keys = keys.0.as_mut_ptr();
    // SAFETY: the caller vouches for the instructions. Keys that are used for authentication have been written by then;
    // ciphertext, perhaps overwritten by the plaintext, has not been.
    unsafe {
        let mut lanes = Lanes::new();
        let mut hashing = Hashing::new(packets, keys.cast_const(), false);
        while lanes.fill(packets, keys, false) {
            hashing.finish(lanes.begun().div_ceil(LANES));
            hashing.begin(hashing.ready);
            encipher(packets, &mut lanes, &mut hashing);
            hashing.ready =
                if lanes.keys() == packets.len() { packets.len().div_ceil(LANES) } else { lanes.keys() / LANES };
        }
        hashing.tags
    }
}

/// Makes the keystream of a set and puts it where it goes, and authenticates beside it.
///
/// # Safety
/// Wants the instructions of the kernel.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
unsafe fn encipher(packets: &[Packet<'_, Key>], lanes: &mut Lanes, hashing: &mut Hashing<'_, '_>) {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        lanes.begin(packets);
        let places = [hashing.next(0), hashing.next(1)];
        let (mut words, mut sum) = (lanes.start, hashing.product);
        let mut limbs = [words[0]; 4];
        for place in places {
            if let Some(place) = place {
                let (step, blocks) = hashing.step(&place);
                macro_rules! beside {
                    ($part:expr) => {
                        step.part($part, &blocks, &mut sum, &mut limbs);
                    };
                }
                double_round!(words beside 0);
                double_round!(words beside 32);
                double_round!(words beside 64);
                double_round!(words beside 96);
                double_round!(words beside 128);
            } else {
                for _ in 0..5 {
                    double_round!(words);
                }
            }
        }
        hashing.product = sum;
        for (word, start) in words.iter_mut().zip(&lanes.start) {
            *word = word.add(*start);
        }
        lanes.encipher(packets, words);
    }
}
