//! Sealing: from inner packets to ESP.

use std::mem::offset_of;

use aead::{Buffers, KeyLengthError, Suite};
use arrayvec::ArrayVec;
use wire::Spi;

use crate::outer::InnerClass;
use crate::run::Run;
use crate::transform::{KEY, Transform};
use crate::{Alone, BATCH, Exhausted, OuterHeader, Protect, SALT, SequenceCounter, TRAILER};

/// What an outbound SA is made of. Its key is not to be shown, so it has no `Debug`.
pub struct Outbound<'a> {
    /// The index that the peer chose.
    pub spi: Spi,
    /// The transform.
    pub suite: Suite,
    /// The key, [`Suite::key_length`] bytes.
    pub key: &'a [u8],
    /// The nonce's fixed part (RFC 4106 §4, RFC 7634 §2); CBC has none and looks at nothing here.
    pub salt: [u8; SALT],
    /// Whether sequence numbers are 64 bits long.
    pub extended: bool,
    /// How many packets it may seal at most; `None`: as many as it has sequence numbers.
    pub packets: Option<u64>,
}

/// An SA that seals. Workers share it. What goes in front of its packets is no part of it: a peer may move.
///
/// All that moves with its packets, or is small, shares one cache line with the key's head.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct OutboundSa {
    sequence: SequenceCounter,
    _room: [u64; 2],
    transform: Transform,
}

const _: () = assert!(offset_of!(OutboundSa, transform) + offset_of!(Transform, key) == KEY);

impl OutboundSa {
    /// Expands the key and starts counting at 1.
    ///
    /// # Errors
    /// Where the key's length is not the suite's.
    pub fn new(parts: Outbound<'_>) -> Result<Self, KeyLengthError> {
        Ok(Self {
            sequence: SequenceCounter::new(parts.extended, parts.packets),
            _room: [0; 2],
            transform: Transform::new(parts.suite, parts.key, parts.salt, parts.spi, parts.extended)?,
        })
    }

    /// Takes `count` sequence numbers in a row, for a run of packets, and returns the first.
    ///
    /// # Errors
    /// [`Exhausted`] when the SA may seal no more.
    #[inline(always)]
    pub fn take_sequence(&self, count: usize) -> Result<u64, Exhausted> {
        self.sequence.take(count as u64)
    }

    /// Has what is read of it before a packet is sealed brought near, and does not wait for it.
    #[inline(always)]
    pub fn prefetch(&self) {
        aead::prefetch(&self.sequence);
    }

    /// The same of what is read to seal an inner packet of so many bytes.
    #[inline(always)]
    pub fn prefetch_key(&self, inner: usize) {
        self.transform.key.prefetch(inner + TRAILER);
    }

    /// Bytes from the ESP header to the integrity check value of a packet that carries `inner` bytes.
    #[must_use]
    #[inline(always)]
    pub fn sealed_length(&self, inner: usize) -> usize {
        self.transform.sealed_length(inner)
    }

    /// Bytes of the longest inner packet whose ESP, from its header to the integrity check value, has at most `esp` bytes.
    #[must_use]
    pub fn longest_inner(&self, esp: usize) -> usize {
        self.transform.longest_inner(esp)
    }

    /// The index that the peer chose.
    #[must_use]
    pub fn spi(&self) -> Spi {
        self.transform.spi()
    }

    /// How many packets were sealed.
    #[must_use]
    pub fn sealed(&self) -> u64 {
        self.sequence.taken()
    }
}

/// A batch of packets being sealed, from received frames into transmit frames.
#[derive(Debug, Default)]
pub struct Sealing<'a>(ArrayVec<aead::Seal<'a>, BATCH>);

impl<'a> Sealing<'a> {
    /// Writes the headers of the packet that carries the IP packet `inner` under `sequence`, at the start of `frame`, and
    /// returns the frame's length; the rest follows with [`Sealing::finish`].
    ///
    /// # Panics
    /// Where `frame` is shorter than header and [`OutboundSa::sealed_length`], or than [`OuterHeader::LONGEST`], `inner` is
    /// no IP packet, or with more than [`BATCH`] packets: the caller's own arithmetic.
    #[inline(always)]
    pub fn push(
        &mut self,
        sa: &'a OutboundSa,
        header: &OuterHeader,
        sequence: u64,
        inner: &'a [u8],
        frame: &'a mut [u8],
    ) -> usize {
        let transform = &sa.transform;
        let esp_length = transform.sealed_length(inner.len());
        let class = InnerClass::of(inner);
        header.write(frame, esp_length, class, sequence);
        let length = header.length() + esp_length;
        let (nonce, destination) = transform.write_front(sequence, &mut frame[header.length()..length]);
        self.0.push(aead::Seal {
            key: &transform.key,
            nonce,
            associated_data: transform.associated_data(sequence),
            buffers: Buffers::Apart { source: inner, destination },
            tail: transform.shape.tail(inner.len(), class.is_v6),
        });
        length
    }

    /// [`Sealing::push`] of packets in a row, with numbers from `first` on, as many as there are `lengths`, where those of their frames
    /// are put.
    ///
    /// # Panics
    /// As [`Sealing::push`], or with fewer frames.
    #[inline(never)]
    pub fn push_run(
        &mut self,
        (sa, header): (&'a OutboundSa, &OuterHeader),
        first: u64,
        packets: impl Iterator<Item = &'a [u8]>,
        frames: &mut impl Iterator<Item = &'a mut [u8]>,
        lengths: &mut [u16],
    ) {
        let mut frame = || frames.next().expect("a frame for each packet");
        let packets = packets.zip(lengths).enumerate();
        if let Some(run) = Run::of(&sa.transform, header) {
            self.0.extend(packets.map(|(position, (inner, length))| {
                let (seal, framed) = run.begin(first + position as u64, inner, frame());
                *length = framed as u16;
                seal
            }));
        } else {
            packets.for_each(|(position, (inner, length))| {
                *length = self.push(sa, header, first + position as u64, inner, frame()) as u16;
            });
        }
    }

    /// The packets that were added, in order.
    pub fn inner(&self) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().map(|packet| match &packet.buffers {
            Buffers::Apart { source, .. } => *source,
            Buffers::InPlace(_) => &[],
        })
    }

    /// Seals the batch.
    #[inline(always)]
    pub fn finish(mut self) {
        self.finish_by(&mut Alone);
    }

    /// [`Sealing::finish`] of a batch that stays where it is, the cryptography being done by `protect`. Not to be done twice.
    #[inline(always)]
    pub fn finish_by(&mut self, protect: &mut impl Protect) {
        protect.seal(&mut self.0);
    }
}
