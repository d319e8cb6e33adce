//! ChaCha20-Poly1305 (RFC 8439 §2.8, for ESP RFC 7634), blocks of several packets at a time.

mod blocks;
mod hashing;
mod lanes;
mod long;
mod poly1305;
mod residues;
mod words;

use std::arch::x86_64::{__m256i, __m512i};

use arrayvec::ArrayVec;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::{Kernel, Packet, TAG};
use blocks::{BLOCK, Keystream, Set};
use poly1305::Message;
use residues::{Radix26, Radix44, Residues};
use words::Words;

/// Bytes of text from which on packets are long.
const LONG: usize = 384;

/// A key, wiped when dropped. There is nothing to expand.
pub struct Key([u32; 8]);

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Key {
    /// `None` where `key` is not 32 bytes long.
    pub fn new(key: &[u8]) -> Option<Self> {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(key.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        (key.len() == 32).then_some(Self(words))
    }
}

/// Seals every packet.
pub fn seal(kernel: Kernel, packets: &mut [Packet<'_, Key>]) {
    match kernel {
        // SAFETY: keys are expanded for kernels whose instructions the processor has.
        Kernel::Vaes512 => unsafe { seal_512(packets) },
        // SAFETY: the same.
        Kernel::Vaes256 => unsafe { seal_256(packets) },
        Kernel::Portable | Kernel::AesNi => unreachable!("keys of these kernels are portable"),
    }
}

/// Opens every packet, and says of each whether it was authentic.
pub fn open(kernel: Kernel, packets: &mut [Packet<'_, Key>]) {
    match kernel {
        // SAFETY: keys are expanded for kernels whose instructions the processor has.
        Kernel::Vaes512 => unsafe { open_512(packets) },
        // SAFETY: the same.
        Kernel::Vaes256 => unsafe { open_256(packets) },
        Kernel::Portable | Kernel::AesNi => unreachable!("keys of these kernels are portable"),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
fn seal_512(packets: &mut [Packet<'_, Key>]) {
    if are_long(packets) {
        // SAFETY: this function has the instructions.
        return unsafe { long::seal(packets) };
    }
    for group in packets.chunks_mut(16) {
        // SAFETY: this function has the instructions of both vectors.
        unsafe { seal_group::<__m512i, Radix44, 16, 8, 3>(group) };
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
fn open_512(packets: &mut [Packet<'_, Key>]) {
    if are_long(packets) {
        // SAFETY: this function has the instructions.
        let tags = unsafe { long::open(packets) };
        for (packet, tag) in packets.iter_mut().zip(&tags) {
            compare(packet, tag);
        }
        return;
    }
    for group in packets.chunks_mut(16) {
        // SAFETY: this function has the instructions of both vectors.
        unsafe { open_group::<__m512i, Radix44, 16, 8, 3>(group) };
    }
}

#[target_feature(enable = "avx2,bmi2")]
fn seal_256(packets: &mut [Packet<'_, Key>]) {
    for group in packets.chunks_mut(8) {
        // SAFETY: this function has the instructions of both vectors.
        unsafe { seal_group::<__m256i, Radix26, 8, 4, 5>(group) };
    }
}

#[target_feature(enable = "avx2,bmi2")]
fn open_256(packets: &mut [Packet<'_, Key>]) {
    for group in packets.chunks_mut(8) {
        // SAFETY: this function has the instructions of both vectors.
        unsafe { open_group::<__m256i, Radix26, 8, 4, 5>(group) };
    }
}

/// Whether packets are worth to be authenticated beside the rounds of others: they are so many, and so nearly of the same
/// length, that vectors of them are.
fn are_long(packets: &[Packet<'_, Key>]) -> bool {
    let (mut least, mut most) = (usize::MAX, 0);
    for packet in packets {
        (least, most) = (least.min(packet.text_length()), most.max(packet.text_length()));
    }
    packets.len() > hashing::LANES && least >= LONG && most - least <= least / 4
}

/// Says of a packet whether it came with this tag.
#[inline(always)]
fn compare(packet: &mut Packet<'_, Key>, tag: &[u8; TAG]) {
    // Subtle compares arrays byte by byte, which takes as long as two blocks of keystream.
    let differences = u128::from_le_bytes(*tag) ^ u128::from_le_bytes(packet.tag());
    let folded = differences as u64 | (differences >> 64) as u64;
    packet.authentic = folded.ct_eq(&0).into();
}

/// Seals as many packets as one set makes authentication keys for.
///
/// # Safety
/// Wants the instructions of `W` and `R`.
#[inline(always)]
unsafe fn seal_group<W, R, const WORDS: usize, const LANES: usize, const LIMBS: usize>(packets: &mut [Packet<'_, Key>])
where
    W: Words<WORDS>,
    R: Residues<LANES, LIMBS>,
{
    let packets = &*packets;
    let (mut set, mut first) = (Set::<WORDS>::new(packets), Keystream([[0; BLOCK]; WORDS]));
    let mut messages = ArrayVec::<Message<'_>, WORDS>::new();
    // SAFETY: the caller vouches for the instructions; by the packet's invariants there is room for a tag behind the
    // text, which has been written when it is authenticated.
    unsafe {
        set.keystream::<W>(packets, &mut first);
        encipher::<W, WORDS>(packets, &mut set, &first);
        for (packet, key) in packets.iter().zip(&first.0) {
            messages.push(Message::new(packet, packet.destination, key));
        }
        for (packet, tag) in packets.iter().zip(&tags::<R, WORDS, LANES, LIMBS>(&messages)) {
            packet.destination.add(packet.text_length()).cast::<[u8; TAG]>().write_unaligned(*tag);
        }
    }
}

/// Opens as many packets as one set makes authentication keys for.
///
/// # Safety
/// Wants the instructions of `W` and `R`.
#[inline(always)]
unsafe fn open_group<W, R, const WORDS: usize, const LANES: usize, const LIMBS: usize>(packets: &mut [Packet<'_, Key>])
where
    W: Words<WORDS>,
    R: Residues<LANES, LIMBS>,
{
    let (mut set, mut first) = (Set::<WORDS>::new(packets), Keystream([[0; BLOCK]; WORDS]));
    let mut messages = ArrayVec::<Message<'_>, WORDS>::new();
    // SAFETY: the caller vouches for the instructions; the ciphertext, perhaps overwritten by the plaintext, has not been
    // when it is authenticated.
    unsafe {
        set.keystream::<W>(packets, &mut first);
        for (packet, key) in packets.iter().zip(&first.0) {
            messages.push(Message::new(packet, packet.source, key));
        }
        for (packet, tag) in packets.iter_mut().zip(&tags::<R, WORDS, LANES, LIMBS>(&messages)) {
            compare(packet, tag);
        }
        encipher::<W, WORDS>(packets, &mut set, &first);
    }
}

/// Enciphers all text: that of the first set, whose keystream is there already, and what follows.
///
/// # Safety
/// Wants the instructions of `W`; `packets` are those that the set was filled from.
#[inline(always)]
unsafe fn encipher<W: Words<LANES>, const LANES: usize>(
    packets: &[Packet<'_, Key>],
    set: &mut Set<LANES>,
    first: &Keystream<LANES>,
) {
    let mut keystream = Keystream([[0; BLOCK]; LANES]);
    // SAFETY: the caller vouches for instructions and packets.
    unsafe {
        set.encipher::<W>(packets, first);
        while set.advance(packets) {
            set.keystream::<W>(packets, &mut keystream);
            set.encipher::<W>(packets, &keystream);
        }
    }
}

/// The tag of each message: side by side where they are about as long, else one by one.
///
/// # Safety
/// Wants the instructions of `R`.
#[inline(always)]
unsafe fn tags<R: Residues<LANES, LIMBS>, const WORDS: usize, const LANES: usize, const LIMBS: usize>(
    messages: &[Message<'_>],
) -> [[u8; TAG]; WORDS] {
    let mut tags = [[0; TAG]; WORDS];
    let mut order = ArrayVec::<usize, WORDS>::new();
    order.extend(0..messages.len());
    order.sort_unstable_by_key(|&i| messages[i].blocks());
    for chosen in order.chunks(LANES) {
        let mut together = [&messages[chosen[0]]; LANES];
        for (message, &i) in together.iter_mut().zip(chosen) {
            *message = &messages[i];
        }
        // Side by side, every lane takes as long as the longest message. One by one, a message takes as many blocks as it
        // has, and as long as about a vector of blocks to begin and to end with, and so do the powers of all.
        let longest = together[chosen.len() - 1].blocks();
        let blocks: usize = chosen.iter().map(|&i| messages[i].blocks()).sum();
        // SAFETY: the caller vouches for the instructions.
        let made = unsafe {
            if longest * LANES <= blocks + (chosen.len() + 1) * LANES {
                poly1305::across::<R, LANES, LIMBS>(&together)
            } else {
                poly1305::along::<R, LANES, LIMBS>(&together, chosen.len())
            }
        };
        for (&i, tag) in chosen.iter().zip(made) {
            tags[i] = tag;
        }
    }
    tags
}

#[cfg(test)]
mod tests;
