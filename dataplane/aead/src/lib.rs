//! Authenticated encryption for ESP, a batch at a time.
//!
//! The caller hands over a batch whose packets may mix keys, sizes and suites; [`seal`] and [`open`] work from a
//! read-only source into a destination elsewhere and allocate nothing. Which instructions do the work is chosen when a
//! key is expanded, see [`Kernel`]. Kernels work packet by packet so far; the batch is the interface that those over
//! several packets at once will take.

mod key;
mod portable;
#[cfg(target_arch = "x86_64")]
mod vaes;

pub use key::{Kernel, Key, KeyLengthError, Suite};

/// Bytes of the nonce: RFC 4106 §4, four of salt and eight of initialisation vector.
pub const NONCE: usize = 12;
/// Bytes that the processor fetches together.
const CACHE_LINE: usize = 64;
/// Bytes of the integrity check value, the only length offered (RFC 8221 §5).
pub const TAG: usize = 16;
/// Most bytes of a [`Seal::tail`]: 255 bytes of padding, its length and the next header would be legal (RFC 4303 §2.4);
/// alignment alone never needs more than this.
pub const MOST_TAIL: usize = 20;

/// Additional authenticated data (RFC 4106 §5): index and sequence number, 8 bytes, or 12 with an extended number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssociatedData {
    /// Index and 32-bit sequence number.
    Short([u8; 8]),
    /// Index and 64-bit sequence number.
    Extended([u8; 12]),
}

impl AssociatedData {
    /// The bytes that are authenticated.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => bytes,
            Self::Extended(bytes) => bytes,
        }
    }
}

/// A few bytes of plaintext, held in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    bytes: [u8; MOST_TAIL],
    length: usize,
}

impl Tail {
    /// The first `length` of `bytes`.
    ///
    /// # Panics
    /// With more than [`MOST_TAIL`]: the caller's own arithmetic.
    #[must_use]
    pub fn new(bytes: [u8; MOST_TAIL], length: usize) -> Self {
        assert!(length <= MOST_TAIL, "a tail of {length} bytes");
        Self { bytes, length }
    }

    /// How many bytes there are.
    // A tail that may be empty is nowhere asked whether it is.
    #[allow(clippy::len_without_is_empty)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// A packet to be sealed.
#[derive(Debug)]
pub struct Seal<'a> {
    /// The key, with its suite.
    pub key: &'a Key,
    /// Never used twice with this key.
    pub nonce: [u8; NONCE],
    /// What is authenticated in clear.
    pub associated_data: AssociatedData,
    /// The plaintext's start.
    pub source: &'a [u8],
    /// The plaintext's end: what ESP puts behind the packet, which the received frame does not hold.
    pub tail: Tail,
    /// Where ciphertext and tag go: `source.len() + tail.len() + TAG` bytes.
    pub destination: &'a mut [u8],
}

/// A packet to be opened.
#[derive(Debug)]
pub struct Open<'a> {
    /// The key, with its suite.
    pub key: &'a Key,
    /// As it was sealed.
    pub nonce: [u8; NONCE],
    /// As it was sealed.
    pub associated_data: AssociatedData,
    /// Ciphertext and tag, at least `TAG` bytes.
    pub source: &'a [u8],
    /// Where the plaintext goes: `source.len() - TAG` bytes. What stands there after a failure is not plaintext.
    pub destination: &'a mut [u8],
    /// Set by [`open`]: whether the tag was right.
    pub authentic: bool,
}

/// Seals every packet of the batch.
///
/// # Panics
/// Where a destination's length is not what [`Seal::destination`] says: the caller's own arithmetic.
pub fn seal(batch: &mut [Seal<'_>]) {
    for position in 0..batch.len() {
        if let Some(next) = batch.get(position + 1) {
            prefetch(next.source);
            prefetch(next.destination);
        }
        let packet = &mut batch[position];
        packet.key.seal(
            &packet.nonce,
            packet.associated_data.bytes(),
            packet.source,
            packet.tail.bytes(),
            packet.destination,
        );
    }
}

/// Opens every packet of the batch and says of each whether it was [`Open::authentic`].
///
/// # Panics
/// Where a length is not what [`Open`] says: the caller's own arithmetic.
pub fn open(batch: &mut [Open<'_>]) {
    for position in 0..batch.len() {
        if let Some(next) = batch.get(position + 1) {
            prefetch(next.source);
            prefetch(next.destination);
        }
        let packet = &mut batch[position];
        let (text, tag) = packet.source.split_last_chunk::<TAG>().expect("the caller checks the length");
        packet.authentic =
            packet.key.open(&packet.nonce, packet.associated_data.bytes(), text, tag, packet.destination);
    }
}

/// Has what comes next brought into the cache: another core or the device wrote it, and the misses then overlap with the
/// work on what is here already.
#[inline]
fn prefetch(source: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in source.chunks(CACHE_LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of any address has no effect that the program sees, and this one is readable.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (source, CACHE_LINE);
}

#[cfg(test)]
mod tests;
