//! Authenticated encryption for ESP, a batch at a time.
//!
//! The caller hands over a batch whose packets may mix keys, sizes and suites; [`seal`] and [`open`] take it apart by
//! suite and kernel and work on several packets at once, from one place to another or in place. They allocate nothing.
//! Which instructions do the work is decided when a key is expanded, see [`Kernel`].

mod buffers;
#[cfg(target_arch = "x86_64")]
mod cbc;
#[cfg(target_arch = "x86_64")]
mod chacha;
#[cfg(target_arch = "x86_64")]
mod gcm;
mod kernel;
mod key;
mod packet;
mod portable;
mod prefetch;
#[cfg(target_arch = "x86_64")]
mod round_keys;
mod suite;

use arrayvec::ArrayVec;

pub use buffers::{AssociatedData, Buffers, Nonce, Tail};
pub use kernel::{Kernel, KernelError};
use key::Schedule;
pub use key::{Key, KeyLengthError};
use packet::{Packet, Whole};
pub use prefetch::prefetch;
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
/// Most bytes of a text with its tail: what an IP packet has at most, and a little more.
pub const MOST_TEXT: usize = 1 << 16;
/// Packets that are taken apart together; a longer batch is worked on in pieces.
const PIECE: usize = 64;

/// Runs the kernels' `$run` over a batch, a kernel at a time: all packets that go to the same kernel as the first one
/// left, until none is left.
macro_rules! take_apart {
    ($batch:ident, $run:ident) => {
        for piece in $batch.chunks_mut(PIECE) {
            let mut left = u64::MAX >> (PIECE - piece.len());
            while left != 0 {
                let first = piece[left.trailing_zeros() as usize].key;
                #[cfg(target_arch = "x86_64")]
                if let Schedule::Gcm(..) = first.schedule {
                    // SAFETY: what is left is in the piece, the first one's key for this kernel.
                    let others = unsafe { gcm::run_alike(first.kernel(), left, piece) };
                    if others != left {
                        left = others;
                        continue;
                    }
                }
                let (same, sizes_differ) = look_through(first, piece);
                let chosen = left & same;
                left &= !chosen;
                macro_rules! run {
                    ($schedule:path, $kernel:ident) => {{
                        let chosen = (0..).zip(&mut *piece).filter(|(position, _)| chosen & 1_u64 << position != 0);
                        let packets = chosen.filter_map(|(_, packet)| match &packet.key.schedule {
                            $schedule(_, key) => Some(Packet::<$kernel::Key>::new(key, packet)),
                            _ => None,
                        });
                        let mut packets: ArrayVec<Packet<'_, _>, PIECE> = packets.collect();
                        $kernel::$run(first.kernel(), &mut packets);
                        packets.iter_mut().for_each(Packet::settle);
                    }};
                }
                match &first.schedule {
                    Schedule::Portable(..) => run!(Schedule::Portable, portable),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: what is chosen is in the piece, with a key for the kernel to which the first one's goes.
                    Schedule::Gcm(..) => unsafe { gcm::run(first.kernel(), chosen, sizes_differ, piece) },
                    #[cfg(target_arch = "x86_64")]
                    Schedule::Cbc(..) => run!(Schedule::Cbc, cbc),
                    #[cfg(target_arch = "x86_64")]
                    Schedule::ChaCha(..) => run!(Schedule::ChaCha, chacha),
                }
            }
        }
    };
}

/// A bit for each packet whose key goes to the kernel to which `first` goes; and whether the packets differ in size.
#[inline]
fn look_through<W: Whole>(first: &Key, packets: &[W]) -> (u64, bool) {
    let length = packets.first().map_or(0, |packet| packet.length(TAG));
    let (mut same, mut differ) = (0, 0);
    for (position, packet) in packets.iter().enumerate() {
        let is_same = std::ptr::eq(packet.key(), first) || packet.key().goes_with(first);
        same |= u64::from(is_same) << position;
        differ |= packet.length(TAG) ^ length;
    }
    (same, differ != 0)
}

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
    take_apart!(batch, seal);
}

/// Opens every packet of the batch and says of each whether it was [`Open::authentic`].
///
/// # Panics
/// Where a length is not what [`Open`] says: the caller's own arithmetic.
pub fn open(batch: &mut [Open<'_>]) {
    take_apart!(batch, open);
}

#[cfg(test)]
mod tests;
