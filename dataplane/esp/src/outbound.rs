//! Sealing: from inner packets to ESP.

use std::sync::Arc;

use aead::{Buffers, KeyLengthError, Suite};
use arrayvec::ArrayVec;
use wire::{Packet, Spi};

use crate::transform::Transform;
use crate::{BATCH, Exhausted, OuterHeader, SALT, SequenceCounter};

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
    /// What goes in front of ESP.
    pub outer: OuterHeader,
}

/// An SA that seals. Workers share it.
#[derive(Debug)]
pub struct OutboundSa {
    outer: OuterHeader,
    protection: Arc<Protection>,
}

/// What stays when the outer header changes: above all the counter, for no number may be used twice under a key.
#[derive(Debug)]
struct Protection {
    spi: Spi,
    sequence: SequenceCounter,
    transform: Transform,
}

impl OutboundSa {
    /// Expands the key and starts counting at 1.
    ///
    /// # Errors
    /// Where the key's length is not the suite's.
    pub fn new(parts: Outbound<'_>) -> Result<Self, KeyLengthError> {
        let protection = Protection {
            transform: Transform::new(parts.suite, parts.key, parts.salt, parts.spi, parts.extended)?,
            spi: parts.spi,
            sequence: SequenceCounter::new(parts.extended),
        };
        Ok(Self { outer: parts.outer, protection: Arc::new(protection) })
    }

    /// The same SA behind another outer header, its peer having moved (RFC 3948 §4, RFC 7296 §2.23). Both take their
    /// numbers from one counter, so that workers may still use the old one for a while.
    #[must_use]
    pub fn moved(&self, outer: OuterHeader) -> Self {
        Self { outer, protection: Arc::clone(&self.protection) }
    }

    /// Takes `count` sequence numbers in a row, for a run of packets, and returns the first.
    ///
    /// # Errors
    /// [`Exhausted`] when the SA may seal no more.
    pub fn take_sequence(&self, count: usize) -> Result<u64, Exhausted> {
        self.protection.sequence.take(count as u64)
    }

    /// Bytes of the packet, from the outer header to the tag, that carries an inner packet of `inner` bytes.
    #[must_use]
    pub fn sealed_length(&self, inner: usize) -> usize {
        self.outer.length() + self.protection.transform.sealed_length(inner)
    }

    /// The index that the peer chose.
    #[must_use]
    pub fn spi(&self) -> Spi {
        self.protection.spi
    }

    /// How many packets were sealed.
    #[must_use]
    pub fn sealed(&self) -> u64 {
        self.protection.sequence.taken()
    }
}

/// A batch of packets being sealed, from received frames into transmit frames.
#[derive(Debug, Default)]
pub struct Sealing<'a>(ArrayVec<aead::Seal<'a>, BATCH>);

impl<'a> Sealing<'a> {
    /// Writes the headers of the packet that carries `inner` under `sequence`, at the start of `packet`, and returns
    /// its length; the rest follows with [`Sealing::finish`].
    ///
    /// # Panics
    /// Where `packet` is shorter than [`OutboundSa::sealed_length`], or with more than [`BATCH`] packets: the
    /// caller's own arithmetic.
    pub fn push(&mut self, sa: &'a OutboundSa, sequence: u64, inner: &Packet<'a>, packet: &'a mut [u8]) -> usize {
        let length = sa.sealed_length(inner.bytes.len());
        let (outer, esp) = packet[..length].split_at_mut(sa.outer.length());
        sa.outer.write(outer, esp.len() as u16, inner.traffic_class);
        let transform = &sa.protection.transform;
        let (header, rest) = esp.split_at_mut(wire::esp::HEADER);
        let (iv, destination) = rest.split_at_mut(transform.iv);
        transform.write_header(sequence, header);
        self.0.push(aead::Seal {
            key: &transform.key,
            nonce: transform.write_iv(sequence, iv),
            associated_data: transform.associated_data(sequence),
            buffers: Buffers::Apart { source: inner.bytes, destination },
            tail: transform.tail(inner),
        });
        length
    }

    /// Seals the batch.
    pub fn finish(mut self) {
        aead::seal(&mut self.0);
    }
}
