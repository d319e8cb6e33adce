//! AES-CBC (RFC 3602) and HMAC over it (RFC 2404, RFC 4868), many packets at once.
//!
//! CBC encrypts, and a hash takes in, one block after the other; only packets can go side by side. So the cipher and
//! the hash each have lanes, a packet in each, and a lane that comes to its packet's end takes the next one.

mod blocks;
mod cipher;
mod hash;
mod hmac;
mod sha1;
mod sha2;
mod sha_ni;
mod words;

use std::{iter, ptr};

use arrayvec::ArrayVec;
use cipher::{RoundKeys, Text};
use hash::{Engine, Message};
use hmac::Chaining;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::{AesKey, Integrity, Kernel, MOST_TAG, PIECE, Packet};

/// Bytes of a block of AES.
const BLOCK: usize = 16;

/// An expanded key, zeroised when dropped.
pub struct Key {
    length: AesKey,
    integrity: Integrity,
    cipher: RoundKeys,
    chaining: Chaining,
}

impl Key {
    /// From the cipher's key and the hash's behind it (RFC 7296 §2.17), as long as the suite says.
    ///
    /// # Panics
    /// Where the processor has no AES-NI: there is no kernel then that takes this key.
    pub fn new(length: AesKey, integrity: Integrity, key: &[u8]) -> Self {
        assert!(Kernel::AesNi.is_available());
        let (cipher, authentication) = key.split_at(length.length());
        // SAFETY: the processor has AES-NI.
        let cipher = unsafe { RoundKeys::new(cipher) };
        Self { length, integrity, cipher, chaining: Chaining::new(integrity, authentication) }
    }

    /// One block, enciphered.
    pub fn encrypt_block(&self, block: [u8; BLOCK]) -> [u8; BLOCK] {
        // SAFETY: there is a key, so the processor has AES-NI.
        unsafe { self.cipher.encrypt_block(block) }
    }
}

/// Seals every packet: encrypts, then authenticates (RFC 4303 §3.3.2).
///
/// # Panics
/// Where a text, its tail included, is no multiple of 16 bytes long: the caller's own arithmetic.
pub fn seal(kernel: Kernel, packets: &mut [Packet<'_, Key>]) {
    for packets in packets.chunks(PIECE) {
        for packet in packets {
            let length = packet.text_length();
            assert!(length.is_multiple_of(BLOCK), "a CBC text of {length} bytes");
        }
        let order = Order::new(packets);
        for of_length in order.by_length {
            let texts = order.members(of_length).map(|number| text(&packets[number]));
            cipher::encrypt(kernel, texts.filter(|text| text.length + text.tail.len() > 0));
        }
        let message = |number: usize| message(&packets[number], packets[number].destination);
        authenticate(kernel, &order, message, |number, code| {
            let packet = &packets[number];
            let tag = &code[..packet.key.integrity.tag_length()];
            // SAFETY: when sealing, there is room for the tag behind the text.
            unsafe { ptr::copy_nonoverlapping(tag.as_ptr(), packet.destination.add(packet.text_length()), tag.len()) };
        });
    }
}

/// Opens every packet and says of each whether it was authentic; only those that were are decrypted (RFC 4303
/// §3.4.4.1).
pub fn open(kernel: Kernel, packets: &mut [Packet<'_, Key>]) {
    for packets in packets.chunks_mut(PIECE) {
        let order = Order::new(packets);
        let mut authentic = 0u64;
        let message = |number: usize| message(&packets[number], packets[number].source);
        authenticate(kernel, &order, message, |number, code| {
            authentic |= u64::from(is_tag(&packets[number], code)) << number;
        });
        for (number, packet) in packets.iter_mut().enumerate() {
            packet.authentic = authentic & 1 << number != 0;
            if packet.authentic {
                cipher::decrypt(kernel, &text(packet));
            }
        }
    }
}

/// Tells `done` the codes of all messages in order.
fn authenticate<'a>(
    kernel: Kernel,
    order: &Order,
    message: impl Fn(usize) -> Message<'a>,
    mut done: impl FnMut(usize, &[u8; MOST_TAG]),
) {
    let engine = Engine::of(kernel);
    let [narrow_1, narrow_2, wide] = order.by_hash;
    hash::run::<Sha1, 16>(engine, order.members(narrow_1), &message, &mut done);
    hash::run::<Sha256, 16>(engine, order.members(narrow_2), &message, &mut done);
    hash::run::<Sha512, 8>(engine, order.members(wide), &message, &mut done);
}

/// A packet as the cipher sees it.
#[inline]
fn text<'a>(packet: &'a Packet<'_, Key>) -> Text<'a> {
    Text {
        keys: &packet.key.cipher,
        iv: *packet.nonce,
        source: packet.source,
        destination: packet.destination,
        length: packet.length,
        tail: packet.tail,
    }
}

/// A packet as the hash sees it, with its ciphertext.
#[inline]
fn message<'a>(packet: &Packet<'a, Key>, ciphertext: *const u8) -> Message<'a> {
    let (before, after) = packet.data.around();
    Message {
        chaining: &packet.key.chaining,
        before,
        iv: *packet.nonce,
        text: ciphertext,
        length: packet.text_length(),
        after: after.first_chunk().copied(),
    }
}

/// Whether the tag that came with a packet starts the code; all of it is looked at, whatever it holds.
#[inline]
fn is_tag(packet: &Packet<'_, Key>, code: &[u8; MOST_TAG]) -> bool {
    match packet.key.integrity {
        Integrity::HmacSha1 => starts_with(code, packet.tag::<12>()),
        Integrity::HmacSha256 => starts_with(code, packet.tag::<16>()),
        Integrity::HmacSha384 => starts_with(code, packet.tag::<24>()),
        Integrity::HmacSha512 => starts_with(code, packet.tag::<32>()),
    }
}

/// In a time that does not depend on the bytes: what differs is gathered, and looked at once.
#[inline]
fn starts_with<const N: usize>(code: &[u8; MOST_TAG], tag: [u8; N]) -> bool {
    let (code, _) = code[..N].as_chunks::<4>();
    let (tag, _) = tag.as_chunks::<4>();
    let differing = code
        .iter()
        .zip(tag)
        .fold(0, |differing, (made, sent)| differing | (u32::from_ne_bytes(*made) ^ u32::from_ne_bytes(*sent)));
    differing.ct_eq(&0).into()
}

/// The packets, the longest first: so the lanes end at about the same time. A bit stands for a place in that order.
struct Order {
    numbers: ArrayVec<u8, PIECE>,
    /// Those with a key of 128, 192 and 256 bits.
    by_length: [u64; 3],
    /// Those under SHA-1, SHA-256, and SHA-384 or SHA-512.
    by_hash: [u64; 3],
}

impl Order {
    /// Of those packets whose text is made of whole blocks: no others are authentic.
    fn new(packets: &[Packet<'_, Key>]) -> Self {
        let whole = packets.iter().enumerate().filter(|(_, packet)| packet.text_length().is_multiple_of(BLOCK));
        // The number counts down behind the length, so that packets of one length are in order from the start.
        let mut lengths: ArrayVec<u64, PIECE> =
            whole.map(|(number, packet)| ((packet.text_length() as u64) << 6) | (63 - number as u64)).collect();
        if !lengths.is_sorted_by(|a, b| a > b) {
            lengths.sort_unstable_by(|a, b| b.cmp(a));
        }
        let mut order = Self { numbers: ArrayVec::new(), by_length: [0; 3], by_hash: [0; 3] };
        for (place, length) in lengths.iter().enumerate() {
            let number = 63 - (length & 63);
            let key = packets[number as usize].key;
            let hash = match key.integrity {
                Integrity::HmacSha1 => 0,
                Integrity::HmacSha256 => 1,
                Integrity::HmacSha384 | Integrity::HmacSha512 => 2,
            };
            order.by_length[key.length as usize] |= 1 << place;
            order.by_hash[hash] |= 1 << place;
            order.numbers.push(number as u8);
        }
        order
    }

    /// The numbers of the packets in those places.
    fn members(&self, mut places: u64) -> impl Iterator<Item = usize> + Clone {
        iter::from_fn(move || {
            let place = places.trailing_zeros() as usize;
            places &= places.wrapping_sub(1);
            self.numbers.get(place).map(|&number| number.into())
        })
    }
}

#[cfg(test)]
mod tests;
