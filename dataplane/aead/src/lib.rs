//! Authenticated encryption for ESP, a batch at a time.
//!
//! The caller hands over a batch whose packets may mix keys, sizes and suites; [`seal`] and [`open`] take it apart by
//! suite and kernel and work on several packets at once, from one place to another or in place. They allocate nothing.
//! Which instructions do the work is decided when a key is expanded, see [`Kernel`].

mod buffers;
#[cfg(target_arch = "x86_64")]
mod chacha;
mod kernel;
mod key;
mod packet;
mod portable;
mod suite;

use arrayvec::ArrayVec;

pub use buffers::{AssociatedData, Buffers, Nonce, Tail};
pub use kernel::{Kernel, KernelError};
pub use key::{Key, KeyLengthError};
use key::Schedule;
use packet::Packet;
pub use suite::{AesKey, Integrity, Suite};

/// Bytes of the nonce of an AEAD: RFC 4106 §4, four of salt and eight of initialisation vector.
pub const NONCE: usize = 12;
/// Bytes of an AEAD's integrity check value, the only length offered (RFC 8221 §5).
pub const TAG: usize = 16;
/// Most bytes of any suite's integrity check value.
pub const MOST_TAG: usize = 32;
/// Most bytes of a [`Seal::tail`]: 255 bytes of padding, its length and the next header would be legal (RFC 4303 §2.4);
/// alignment alone never needs more than this.
pub const MOST_TAIL: usize = 20;
/// Packets that are taken apart together; a longer batch is worked on in pieces.
const PIECE: usize = 64;

/// A packet to be sealed.
#[derive(Debug)]
pub struct Seal<'a> {
    /// The key, with its suite.
    pub key: &'a Key,
    /// Never used twice with this key.
    pub nonce: Nonce,
    /// What is authenticated in clear.
    pub associated_data: AssociatedData,
    /// The plaintext's start, and room for ciphertext and tag: as many bytes as plaintext, `tail` and tag. In place, the
    /// plaintext's start stands at the start of the room.
    pub buffers: Buffers<'a>,
    /// The plaintext's end: what ESP puts behind the packet, which the received frame does not hold.
    pub tail: Tail,
}

/// A packet to be opened.
#[derive(Debug)]
pub struct Open<'a> {
    /// The key, with its suite.
    pub key: &'a Key,
    /// As it was sealed.
    pub nonce: Nonce,
    /// As it was sealed.
    pub associated_data: AssociatedData,
    /// Ciphertext and tag, and room for the plaintext: as many bytes, the tag not counted. In place, the plaintext is put
    /// where the ciphertext stands, and the tag's bytes stay. After a failure there are zeros.
    pub buffers: Buffers<'a>,
    /// Set by [`open`]: whether the tag was right.
    pub authentic: bool,
}

/// Seals every packet of the batch.
///
/// # Panics
/// Where a length is not what [`Seal`] says, or not a multiple of the block of CBC: the caller's own arithmetic.
pub fn seal(batch: &mut [Seal<'_>]) {
    for piece in batch.chunks_mut(PIECE) {
        let mut left = every(piece.len());
        while left != 0 {
            let first = piece[left.trailing_zeros() as usize].key;
            macro_rules! run {
                ($schedule:path, $seal:path) => {{
                    let mut packets = ArrayVec::<Packet<'_, _>, PIECE>::new();
                    for (position, packet) in piece.iter_mut().enumerate() {
                        if left & 1 << position != 0
                            && let $schedule(key) = &packet.key.schedule
                            && packet.key.kernel() == first.kernel()
                        {
                            packets.push(Packet::sealing(key, packet, position));
                            left &= !(1 << position);
                        }
                    }
                    $seal(first.kernel(), &mut packets);
                }};
            }
            match &first.schedule {
                Schedule::Portable(_) => run!(Schedule::Portable, portable::seal),
                #[cfg(target_arch = "x86_64")]
                Schedule::ChaCha(_) => run!(Schedule::ChaCha, chacha::seal),
            }
        }
    }
}

/// Opens every packet of the batch and says of each whether it was [`Open::authentic`].
///
/// # Panics
/// Where a length is not what [`Open`] says, or not a multiple of the block of CBC: the caller's own arithmetic.
pub fn open(batch: &mut [Open<'_>]) {
    for piece in batch.chunks_mut(PIECE) {
        let (mut left, mut authentic) = (every(piece.len()), 0);
        while left != 0 {
            let first = piece[left.trailing_zeros() as usize].key;
            macro_rules! run {
                ($schedule:path, $open:path) => {{
                    let mut packets = ArrayVec::<Packet<'_, _>, PIECE>::new();
                    for (position, packet) in piece.iter_mut().enumerate() {
                        if left & 1 << position != 0
                            && let $schedule(key) = &packet.key.schedule
                            && packet.key.kernel() == first.kernel()
                        {
                            packets.push(Packet::opening(key, packet, position));
                            left &= !(1 << position);
                        }
                    }
                    $open(first.kernel(), &mut packets);
                    for packet in &mut packets {
                        authentic |= u64::from(packet.authentic) << packet.position;
                        if !packet.authentic {
                            packet.wipe();
                        }
                    }
                }};
            }
            match &first.schedule {
                Schedule::Portable(_) => run!(Schedule::Portable, portable::open),
                #[cfg(target_arch = "x86_64")]
                Schedule::ChaCha(_) => run!(Schedule::ChaCha, chacha::open),
            }
        }
        for (position, packet) in piece.iter_mut().enumerate() {
            packet.authentic = authentic & 1 << position != 0;
        }
    }
}

/// A bit for each of `count` packets, 64 at most.
fn every(count: usize) -> u64 {
    u64::MAX >> (PIECE - count)
}

#[cfg(test)]
mod tests;
