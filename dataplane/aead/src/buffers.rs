//! What the caller of a batch fills in.

use zerocopy::{transmute, transmute_ref};

use crate::{MOST_TAIL, NONCE};

/// Bytes of a cipher's block.
const BLOCK: usize = 16;

/// The value that makes two packets under one key differ. Two words of bytes in their order: bytes would be handed on in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u64; 2]);

impl Nonce {
    /// Of an AEAD: salt and explicit initialisation vector (RFC 4106 §4, RFC 7634 §2).
    #[must_use]
    pub fn counter(bytes: [u8; NONCE]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self(transmute!([a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 1]))
    }

    /// [`Nonce::counter`] of its two parts.
    #[must_use]
    #[inline(always)]
    pub fn salted(salt: [u8; 4], iv: [u8; 8]) -> Self {
        // By halves: what is put together byte by byte is read late.
        let iv = u64::from_le_bytes(iv);
        let low = u64::from(u32::from_le_bytes(salt)) | iv << 32;
        let high = iv >> 32 | u64::from(1_u32.swap_bytes()) << 32;
        Self([low.to_le(), high.to_le()])
    }

    /// Of CBC: the initialisation vector, unpredictable (RFC 3602 §3). It is authenticated with the packet.
    #[must_use]
    pub fn block(bytes: [u8; BLOCK]) -> Self {
        Self(transmute!(bytes))
    }

    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8; BLOCK] {
        transmute_ref!(&self.0)
    }
}

/// What is authenticated in clear (RFC 4106 §5): the security parameters index and the sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssociatedData {
    /// Zeros behind `length`.
    pub(crate) block: [u8; BLOCK],
    pub(crate) length: usize,
}

impl AssociatedData {
    /// Index and 32-bit sequence number.
    #[must_use]
    pub fn short(bytes: [u8; 8]) -> Self {
        Self::padded(&bytes)
    }

    /// Index and 64-bit sequence number. Under an HMAC the upper half is hashed behind the packet (RFC 4303 §2.2.1).
    #[must_use]
    pub fn extended(bytes: [u8; 12]) -> Self {
        Self::padded(&bytes)
    }

    /// The same from numbers: `index` and all of `sequence` if it is extended, else its lower half.
    #[must_use]
    #[inline(always)]
    pub fn of(index: u32, sequence: u64, extended: bool) -> Self {
        // By halves: what is put together byte by byte is read late.
        let (index, number) = (u64::from(index.swap_bytes()), sequence.swap_bytes());
        let number = if extended { number.rotate_left(32) } else { number >> 32 << 32 };
        let (low, high) = (index | number >> 32 << 32, number as u32);
        let length = if extended { NONCE } else { NONCE - 4 };
        Self { block: (u128::from(high) << 64 | u128::from(low)).to_le_bytes(), length }
    }

    /// Any bytes up to a block, as published vectors have them; `None` with more. An HMAC knows only the two lengths
    /// above.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= BLOCK).then(|| Self::padded(bytes))
    }

    fn padded(bytes: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        block[..bytes.len()].copy_from_slice(bytes);
        Self { block, length: bytes.len() }
    }

    /// What an HMAC covers before the initialisation vector, and behind the ciphertext (RFC 4303 §2.2.1).
    pub(crate) fn around(&self) -> ([u8; 8], &[u8]) {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = self.block;
        if self.length == NONCE {
            ([a, b, c, d, i, j, k, l], &self.block[4..8])
        } else {
            ([a, b, c, d, e, f, g, h], &[])
        }
    }

    /// The bytes that are authenticated.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.block[..self.length]
    }
}

/// A few bytes of plaintext, held in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    pub(crate) bytes: [u8; MOST_TAIL],
    pub(crate) length: usize,
}

impl Tail {
    /// None.
    pub const EMPTY: Tail = Tail { bytes: [0; MOST_TAIL], length: 0 };

    /// The first `length` of `bytes`.
    ///
    /// # Panics
    /// With more than [`MOST_TAIL`]: the caller's own arithmetic.
    #[must_use]
    pub const fn new(bytes: [u8; MOST_TAIL], length: usize) -> Self {
        assert!(length <= MOST_TAIL, "a tail too long");
        Self { bytes, length }
    }

    /// How many bytes there are.
    // A tail that may be empty is nowhere asked whether it is.
    #[allow(clippy::len_without_is_empty)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Where a packet's bytes come from and go to.
#[derive(Debug)]
pub enum Buffers<'a> {
    /// From a place that is only read to another one.
    Apart {
        /// What is there.
        source: &'a [u8],
        /// Where the result goes.
        destination: &'a mut [u8],
    },
    /// From a place to itself.
    InPlace(&'a mut [u8]),
}

impl Buffers<'_> {
    /// Where the result goes.
    #[must_use]
    pub fn destination(&self) -> &[u8] {
        match self {
            Self::Apart { destination, .. } => destination,
            Self::InPlace(buffer) => buffer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_together_by_halves_is_what_is_put_together_by_bytes() {
        let (salt, iv) = ([1, 2, 3, 4], [5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(Nonce::salted(salt, iv), Nonce::counter([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]));
        let sequence = 0x0506_0708_090a_0b0c;
        let extended = AssociatedData::extended([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(AssociatedData::of(0x0102_0304, sequence, true), extended);
        assert_eq!(
            AssociatedData::of(0x0102_0304, sequence, false),
            AssociatedData::short([1, 2, 3, 4, 9, 10, 11, 12])
        );
    }
}
