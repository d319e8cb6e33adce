//! A packet as kernels see it: checked once, then pointers.

use std::marker::PhantomData;
use std::ptr;

use crate::{AssociatedData, Buffers, Key, MOST_TAIL, MOST_TEXT, Open, Seal, Tail};

/// Where a packet's bytes are; see [`Packet`] for what holds of it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) source: *const u8,
    pub(crate) destination: *mut u8,
    /// Bytes at `source`: plaintext without tail, or ciphertext without tag.
    pub(crate) length: usize,
}

/// A packet of a batch as the caller filled it in.
pub(crate) trait Whole {
    /// Whether it is to be sealed; else it is to be opened.
    const SEAL: bool;
    /// The key, with its suite.
    fn key(&self) -> &Key;
    /// Of an AEAD with a block counter of 1 behind it, as GCM has it; else the initialisation vector.
    fn nonce(&self) -> &[u8; 16];
    /// What is authenticated in clear.
    fn data(&self) -> &AssociatedData;
    /// The plaintext's end; empty when opening.
    fn tail(&self) -> &Tail;
    /// Where the caller looks for what opening found; null when sealing.
    fn verdict(&mut self) -> *mut bool;
    /// Bytes of text and tail, unless lengths are not as they should be, with a tag of so many bytes.
    fn length(&self, tag: usize) -> usize;
    /// Where its bytes are, as the caller said it.
    fn buffers(&self) -> &Buffers<'_>;
    /// Where its bytes come from and go to.
    fn addresses(&mut self) -> (*const u8, *mut u8);
    /// Where its bytes are, with a tag of so many bytes.
    ///
    /// # Panics
    /// Where they are not as many as [`Seal`] or [`Open`] says.
    fn place(&mut self, tag: usize) -> Place;

    /// Whether it has the other one's lengths, and is in place or not as that one is. One question after the other: each is a
    /// branch that is foreseen, where all answers put together would take the time of their arithmetic.
    #[inline(always)]
    fn is_shaped_like(&self, other: &Self) -> bool {
        if self.data().length != other.data().length {
            return false;
        }
        if self.tail().length != other.tail().length {
            return false;
        }
        self.buffers().are_like(other.buffers())
    }
}

impl Whole for Seal<'_> {
    const SEAL: bool = true;

    #[inline(always)]
    fn key(&self) -> &Key {
        self.key
    }

    #[inline(always)]
    fn nonce(&self) -> &[u8; 16] {
        self.nonce.bytes()
    }

    #[inline(always)]
    fn data(&self) -> &AssociatedData {
        &self.associated_data
    }

    #[inline(always)]
    fn tail(&self) -> &Tail {
        &self.tail
    }

    #[inline(always)]
    fn verdict(&mut self) -> *mut bool {
        ptr::null_mut()
    }

    #[inline(always)]
    fn length(&self, tag: usize) -> usize {
        self.buffers.length(tag, tag)
    }

    #[inline(always)]
    fn buffers(&self) -> &Buffers<'_> {
        &self.buffers
    }

    #[inline(always)]
    fn addresses(&mut self) -> (*const u8, *mut u8) {
        self.buffers.addresses()
    }

    #[inline(always)]
    fn place(&mut self, tag: usize) -> Place {
        self.buffers.place(0, self.tail.length + tag)
    }
}

impl Whole for Open<'_> {
    const SEAL: bool = false;

    #[inline(always)]
    fn key(&self) -> &Key {
        self.key
    }

    #[inline(always)]
    fn nonce(&self) -> &[u8; 16] {
        self.nonce.bytes()
    }

    #[inline(always)]
    fn data(&self) -> &AssociatedData {
        &self.associated_data
    }

    #[inline(always)]
    fn tail(&self) -> &Tail {
        &Tail::EMPTY
    }

    #[inline(always)]
    fn verdict(&mut self) -> *mut bool {
        &raw mut self.authentic
    }

    #[inline(always)]
    fn length(&self, tag: usize) -> usize {
        self.buffers.length(0, tag)
    }

    #[inline(always)]
    fn buffers(&self) -> &Buffers<'_> {
        &self.buffers
    }

    #[inline(always)]
    fn addresses(&mut self) -> (*const u8, *mut u8) {
        self.buffers.addresses()
    }

    #[inline(always)]
    fn place(&mut self, tag: usize) -> Place {
        self.buffers.place(tag, 0)
    }
}

impl Buffers<'_> {
    /// Whether they are of the other ones' lengths, and in place or not as those are.
    #[inline(always)]
    fn are_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Apart { source, destination }, Self::Apart { source: other, destination: to }) => {
                if source.len() != other.len() {
                    return false;
                }
                destination.len() == to.len()
            }
            (Self::InPlace(buffer), Self::InPlace(other)) => buffer.len() == other.len(),
            _ => false,
        }
    }

    /// Where the bytes come from and go to.
    #[inline(always)]
    fn addresses(&mut self) -> (*const u8, *mut u8) {
        match self {
            Self::Apart { source, destination } => (source.as_ptr(), destination.as_mut_ptr()),
            Self::InPlace(buffer) => {
                let buffer = buffer.as_mut_ptr();
                (buffer.cast_const(), buffer)
            }
        }
    }

    /// Bytes of a text with its tail, behind which there are so many others at the destination apart, and so many in place.
    #[inline(always)]
    fn length(&self, apart: usize, in_place: usize) -> usize {
        match self {
            Self::Apart { destination, .. } => destination.len().saturating_sub(apart),
            Self::InPlace(buffer) => buffer.len().saturating_sub(in_place),
        }
    }

    /// Where the bytes are of a text behind which there are so many others at the source, and so many at the destination.
    ///
    /// # Panics
    /// Where there are not.
    #[inline(always)]
    fn place(&mut self, behind_source: usize, behind_destination: usize) -> Place {
        let place = match self {
            Self::Apart { source, destination } => {
                assert_eq!(destination.len() + behind_source, source.len() + behind_destination, "destination");
                let length = source.len().checked_sub(behind_source).expect("a tag");
                Place { source: source.as_ptr(), destination: destination.as_mut_ptr(), length }
            }
            Self::InPlace(buffer) => {
                let behind = behind_source.max(behind_destination);
                let length = buffer.len().checked_sub(behind).expect("room for tail and tag");
                let destination = buffer.as_mut_ptr();
                Place { source: destination.cast_const(), destination, length }
            }
        };
        assert!(place.length <= MOST_TEXT - MOST_TAIL, "a text of {} bytes", place.length);
        place
    }
}

/// A packet with its key's schedule.
///
/// Invariants, which every kernel rests on:
/// - `source` is readable for `length` bytes; when opening, for the tag's bytes behind them, too;
/// - `destination` is writable for `length` bytes; when sealing, for the tail's and the tag's bytes behind them, too;
/// - the two are equal or do not overlap, and nothing else refers to what they point at during `'a`;
/// - text and tail are at most [`MOST_TEXT`] bytes, and there is no tail when opening.
pub(crate) struct Packet<'a, K> {
    /// Round keys and the like.
    pub(crate) key: &'a K,
    /// Of an AEAD with a block counter of 1 behind it, as GCM has it; else the initialisation vector.
    pub(crate) nonce: &'a [u8; 16],
    pub(crate) data: &'a AssociatedData,
    pub(crate) source: *const u8,
    pub(crate) destination: *mut u8,
    /// Bytes at `source`: plaintext without tail, or ciphertext without tag.
    pub(crate) length: usize,
    /// Empty when opening.
    pub(crate) tail: &'a Tail,
    /// Where the caller looks for what opening found; null when sealing.
    verdict: *mut bool,
    /// What opening found.
    pub(crate) authentic: bool,
    buffers: PhantomData<&'a mut [u8]>,
}

impl<K> Clone for Packet<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Packet<'_, K> {}

impl<'a, K> Packet<'a, K> {
    /// Takes a packet in from the batch.
    ///
    /// # Panics
    /// Where the buffers are not as long as it says.
    pub(crate) fn new(key: &'a K, packet: &'a mut impl Whole) -> Self {
        let Place { source, destination, length } = packet.place(packet.key().suite().tag_length());
        let verdict = packet.verdict();
        Self {
            key,
            nonce: packet.nonce(),
            data: packet.data(),
            source,
            destination,
            length,
            tail: packet.tail(),
            verdict,
            authentic: false,
            buffers: PhantomData,
        }
    }

    /// Bytes of the text, its tail included.
    #[inline(always)]
    pub(crate) fn text_length(&self) -> usize {
        self.length + self.tail.length
    }

    /// The whole text at its destination, copied there, with the bytes behind it that `behind` counts: the tag's when
    /// sealing, none when opening.
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
    #[inline(always)]
    pub(crate) fn tag<const N: usize>(&self) -> [u8; N] {
        // SAFETY: when opening, the tag's bytes are readable behind the ciphertext.
        unsafe { self.source.add(self.length).cast::<[u8; N]>().read_unaligned() }
    }

    /// Says what opening found, and leaves nothing of a packet that was not authentic.
    pub(crate) fn settle(&mut self) {
        if !self.verdict.is_null() {
            // SAFETY: the invariants.
            unsafe { settle(self.verdict, self.destination, self.length, self.authentic) };
        }
    }
}

/// Says what opening a packet found, and leaves nothing of one that was not authentic.
///
/// # Safety
/// These are of a packet that is opened, under its invariants.
#[inline(always)]
pub(crate) unsafe fn settle(verdict: *mut bool, destination: *mut u8, length: usize, authentic: bool) {
    // SAFETY: the caller's.
    unsafe {
        *verdict = authentic;
        if !authentic {
            wipe(destination, length);
        }
    }
}

#[cold]
unsafe fn wipe(destination: *mut u8, length: usize) {
    // SAFETY: the caller's.
    unsafe { ptr::write_bytes(destination, 0, length) };
}
