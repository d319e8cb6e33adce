//! Sealing: from inner packets to ESP.

use std::sync::Arc;

use aead::{AssociatedData, Buffers, Key, KeyLengthError, Nonce, Suite, Tail};
use arrayvec::ArrayVec;
use wire::{Packet, Spi};
use zeroize::Zeroizing;

use crate::{ALIGNMENT, BATCH, Exhausted, IV, OuterHeader, SALT, SequenceCounter, TRAILER};

/// What an outbound SA is made of.
#[derive(Debug)]
pub struct Outbound<'a> {
    /// The index that the peer chose.
    pub spi: Spi,
    /// The transform.
    pub suite: Suite,
    /// The key, [`Suite::key_length`] bytes.
    pub key: &'a [u8],
    /// The nonce's fixed part (RFC 4106 §4).
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
    salt: Zeroizing<[u8; SALT]>,
    extended: bool,
    sequence: SequenceCounter,
    key: Key,
}

impl OutboundSa {
    /// Expands the key and starts counting at 1.
    ///
    /// # Errors
    /// Where the key's length is not the suite's.
    pub fn new(parts: Outbound<'_>) -> Result<Self, KeyLengthError> {
        let protection = Protection {
            key: Key::new(parts.suite, parts.key)?,
            spi: parts.spi,
            salt: Zeroizing::new(parts.salt),
            extended: parts.extended,
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
        self.outer.length() + wire::esp::HEADER + IV + (inner + TRAILER).next_multiple_of(ALIGNMENT) + aead::TAG
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
        let (header, rest) = esp.split_at_mut(wire::esp::HEADER);
        let (iv, destination) = rest.split_at_mut(IV);
        let protection = &*sa.protection;
        let index = protection.spi.value().to_be_bytes();
        header[..4].copy_from_slice(&index);
        header[4..].copy_from_slice(&(sequence as u32).to_be_bytes());
        // RFC 4106 §3.1: any value that does not repeat will do, and the sequence number does not.
        iv.copy_from_slice(&sequence.to_be_bytes());
        self.0.push(aead::Seal {
            key: &protection.key,
            nonce: nonce(*protection.salt, sequence.to_be_bytes()),
            associated_data: associated_data(index, sequence, protection.extended),
            buffers: Buffers::Apart { source: inner.bytes, destination },
            tail: tail(inner),
        });
        length
    }

    /// Seals the batch.
    pub fn finish(mut self) {
        aead::seal(&mut self.0);
    }
}

/// RFC 4303 §2.4: padding bytes count up from 1; then their number and what the packet carries.
fn tail(inner: &Packet<'_>) -> Tail {
    let content = inner.bytes.len() + TRAILER;
    let padding = content.next_multiple_of(ALIGNMENT) - content;
    let mut bytes = [1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[padding] = padding as u8;
    bytes[padding + 1] = inner.tunnel_protocol().0;
    Tail::new(bytes, padding + TRAILER)
}

pub(crate) fn nonce(salt: [u8; SALT], iv: [u8; IV]) -> Nonce {
    let ([a, b, c, d], [e, f, g, h, i, j, k, l]) = (salt, iv);
    Nonce::counter([a, b, c, d, e, f, g, h, i, j, k, l])
}

/// RFC 4106 §5: index and sequence number, all 64 bits of it where it is extended.
pub(crate) fn associated_data(index: [u8; 4], sequence: u64, extended: bool) -> AssociatedData {
    let [a, b, c, d] = index;
    let [e, f, g, h, i, j, k, l] = sequence.to_be_bytes();
    if extended {
        AssociatedData::extended([a, b, c, d, e, f, g, h, i, j, k, l])
    } else {
        AssociatedData::short([a, b, c, d, i, j, k, l])
    }
}
