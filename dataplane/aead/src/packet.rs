//! A packet as kernels see it: checked once, then pointers.

use std::marker::PhantomData;
use std::ptr;

use crate::{AssociatedData, Buffers, Open, Seal, Tail};

/// A packet with its key's schedule.
///
/// Invariants, which every kernel rests on:
/// - `source` is readable for `length` bytes; when opening, for the tag's bytes behind them, too;
/// - `destination` is writable for `length` bytes; when sealing, for the tail's and the tag's bytes behind them, too;
/// - the two are equal or do not overlap, and nothing else refers to what they point at during `'a`.
pub(crate) struct Packet<'a, K> {
    /// Round keys and the like.
    pub(crate) key: &'a K,
    /// Of an AEAD with a block counter of 1 behind it, as GCM has it; else the initialisation vector.
    pub(crate) nonce: [u8; 16],
    pub(crate) data: AssociatedData,
    pub(crate) source: *const u8,
    pub(crate) destination: *mut u8,
    /// Bytes at `source`: plaintext without tail, or ciphertext without tag.
    pub(crate) length: usize,
    /// Empty when opening.
    pub(crate) tail: Tail,
    /// What opening found.
    pub(crate) authentic: bool,
    /// Where it stands in the batch.
    pub(crate) position: usize,
    buffers: PhantomData<&'a mut [u8]>,
}

impl<'a, K> Packet<'a, K> {
    /// Takes a packet in from the batch.
    ///
    /// # Panics
    /// Where the buffers are not as long as [`Seal`] says.
    #[inline]
    pub(crate) fn sealing(key: &'a K, packet: &'a mut Seal<'_>, position: usize) -> Self {
        let tag = packet.key.tag_length();
        let (source, destination, length) = match &mut packet.buffers {
            Buffers::Apart { source, destination } => {
                assert_eq!(destination.len(), source.len() + packet.tail.length + tag, "destination");
                (source.as_ptr(), destination.as_mut_ptr(), source.len())
            }
            Buffers::InPlace(buffer) => {
                let length = buffer.len().checked_sub(packet.tail.length + tag).expect("room for tail and tag");
                let destination = buffer.as_mut_ptr();
                (destination.cast_const(), destination, length)
            }
        };
        Self {
            key,
            nonce: packet.nonce.0,
            data: packet.associated_data,
            source,
            destination,
            length,
            tail: packet.tail,
            authentic: false,
            position,
            buffers: PhantomData,
        }
    }

    /// Takes a packet in from the batch.
    ///
    /// # Panics
    /// Where the buffers are not as long as [`Open`] says.
    #[inline]
    pub(crate) fn opening(key: &'a K, packet: &'a mut Open<'_>, position: usize) -> Self {
        let tag = packet.key.tag_length();
        let (source, destination, length) = match &mut packet.buffers {
            Buffers::Apart { source, destination } => {
                assert_eq!(destination.len() + tag, source.len(), "destination");
                (source.as_ptr(), destination.as_mut_ptr(), destination.len())
            }
            Buffers::InPlace(buffer) => {
                let length = buffer.len().checked_sub(tag).expect("a tag");
                let destination = buffer.as_mut_ptr();
                (destination.cast_const(), destination, length)
            }
        };
        Self {
            key,
            nonce: packet.nonce.0,
            data: packet.associated_data,
            source,
            destination,
            length,
            tail: Tail::EMPTY,
            authentic: false,
            position,
            buffers: PhantomData,
        }
    }

    /// Bytes of the text, its tail included.
    #[inline]
    pub(crate) fn text_length(&self) -> usize {
        self.length + self.tail.length
    }

    /// The whole text at its destination, copied there, with the bytes behind it that `behind` counts.
    ///
    /// # Panics
    /// Never, as long as `behind` is the tag's length when sealing and 0 when opening.
    pub(crate) fn text(&mut self, behind: usize) -> &mut [u8] {
        // SAFETY: both are valid for `length` bytes; `copy` takes it that they may be equal.
        unsafe { ptr::copy(self.source, self.destination, self.length) };
        // SAFETY: `destination` is writable for text, tail and tag when sealing and for the text when opening, and
        // nothing else refers to it.
        let text = unsafe { std::slice::from_raw_parts_mut(self.destination, self.text_length() + behind) };
        text[self.length..][..self.tail.length].copy_from_slice(self.tail.bytes());
        text
    }

    /// The tag that came with a packet to be opened.
    #[inline]
    pub(crate) fn tag<const N: usize>(&self) -> [u8; N] {
        // SAFETY: when opening, the tag's bytes are readable behind the ciphertext.
        unsafe { self.source.add(self.length).cast::<[u8; N]>().read_unaligned() }
    }

    /// Leaves nothing of a packet that was not authentic.
    pub(crate) fn wipe(&mut self) {
        // SAFETY: `destination` is writable for the text's bytes.
        unsafe { ptr::write_bytes(self.destination, 0, self.length) };
    }
}
