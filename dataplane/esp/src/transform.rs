//! Transforms: how a suite shapes an ESP packet (RFC 4303 §2).

use std::fmt;

use aead::{AssociatedData, Key, KeyLengthError, Nonce, Suite, Tail};
use wire::{Protocol, Spi};
use zeroize::Zeroizing;

use crate::{SALT, TRAILER};

/// Bytes of an SA in front of its key: then what a short packet needs of the key is on the fewest cache lines.
pub const KEY: usize = 48;

/// A key with all that its suite says about packets, worked out when the SA is made.
#[derive(Debug)]
#[repr(C)]
pub struct Transform {
    spi: Spi,
    start: Start,
    extended: bool,
    /// Bytes of the initialisation vector.
    iv: u8,
    /// Bytes of the integrity check value.
    tag: u8,
    /// The plaintext's alignment, a power of two, less 1.
    mask: u8,
    pub key: Key,
}

/// How a packet's initialisation vector becomes the cipher's start.
enum Start {
    /// Behind a salt, which only the two ends know (RFC 4106 §4, RFC 7634 §2).
    Salted(Zeroizing<[u8; SALT]>),
    /// As it is (RFC 3602 §3).
    Plain,
}

impl Transform {
    /// Expands the key.
    ///
    /// # Errors
    /// Where the key's length is not the suite's.
    pub fn new(suite: Suite, key: &[u8], salt: [u8; SALT], spi: Spi, extended: bool) -> Result<Self, KeyLengthError> {
        let alignment = suite.alignment();
        // What follows rests on it: a multiple of the alignment has room for the trailer unless it is none.
        assert!(alignment.is_power_of_two() && (TRAILER..=MOST_ALIGNMENT).contains(&alignment));
        Ok(Self {
            spi,
            start: if suite.salt_length() == 0 { Start::Plain } else { Start::Salted(Zeroizing::new(salt)) },
            extended,
            iv: suite.iv_length() as u8,
            tag: suite.tag_length() as u8,
            mask: alignment as u8 - 1,
            key: Key::new(suite, key)?,
        })
    }

    /// Bytes of the initialisation vector.
    #[inline(always)]
    pub fn iv(&self) -> usize {
        usize::from(self.iv)
    }

    /// Bytes from the ESP header to the integrity check value of a packet that carries `inner` bytes.
    #[inline(always)]
    pub fn sealed_length(&self, inner: usize) -> usize {
        let (tag, mask) = (usize::from(self.tag), usize::from(self.mask));
        wire::esp::HEADER + self.iv() + ((inner + TRAILER + mask) & !mask) + tag
    }

    /// Bytes of the longest inner packet of which [`Transform::sealed_length`] is at most `esp`.
    pub fn longest_inner(&self, esp: usize) -> usize {
        let (tag, mask) = (usize::from(self.tag), usize::from(self.mask));
        (esp.saturating_sub(wire::esp::HEADER + self.iv() + tag) & !mask).saturating_sub(TRAILER)
    }

    /// The index that all packets bear.
    pub fn spi(&self) -> Spi {
        self.spi
    }

    /// Bytes of the ciphertext in what follows the initialisation vector; `None` where it has an impossible length.
    #[inline(always)]
    pub fn opened_length(&self, source: &[u8]) -> Option<usize> {
        // RFC 4303 §2.4: pad length and next header end on a boundary. Nothing is a multiple, too, and has no trailer.
        let length = source.len().checked_sub(usize::from(self.tag))?;
        (length != 0 && length & usize::from(self.mask) == 0).then_some(length)
    }

    /// Writes the header of a packet.
    #[inline(always)]
    pub fn write_header(&self, sequence: u64, header: &mut [u8]) {
        let word = u64::from(self.spi.value()) << 32 | u64::from(sequence as u32);
        header.copy_from_slice(&word.to_be_bytes());
    }

    /// Writes the initialisation vector of a packet, [`Transform::iv`] bytes, and returns what the cipher starts with.
    #[inline(always)]
    pub fn write_iv(&self, sequence: u64, iv: &mut [u8]) -> Nonce {
        match &self.start {
            Start::Salted(salt) => {
                // RFC 4106 §3.1: any value that does not repeat will do, and the sequence number does not.
                let bytes = sequence.to_be_bytes();
                // As arrays: two copies of a length that differs would become one call of `memcpy`.
                *iv.first_chunk_mut().expect("8 bytes") = bytes;
                Nonce::salted(**salt, bytes)
            }
            Start::Plain => {
                let block = self.key.initialisation_vector(sequence).expect("CBC");
                *iv.first_chunk_mut().expect("16 bytes") = block;
                Nonce::block(block)
            }
        }
    }

    /// What the cipher starts with; `None` unless `iv` has [`Transform::iv`] bytes.
    #[inline(always)]
    pub fn read_iv(&self, iv: &[u8]) -> Option<Nonce> {
        match &self.start {
            Start::Salted(salt) => iv.try_into().ok().map(|bytes| Nonce::salted(**salt, bytes)),
            Start::Plain => iv.try_into().ok().map(Nonce::block),
        }
    }

    /// RFC 4303 §2.4: padding, its length and what the packet carries, one of the two IP versions.
    #[inline(always)]
    pub fn tail(&self, inner: usize, protocol: Protocol) -> Tail {
        let padding = (inner + TRAILER).wrapping_neg() & usize::from(self.mask);
        TAILS[usize::from(protocol == Protocol::IPV6)][padding % MOST_ALIGNMENT]
    }

    /// RFC 4106 §5, RFC 4303 §2.2.1: index and sequence number, all 64 bits of it where it is extended.
    #[inline(always)]
    pub fn associated_data(&self, sequence: u64) -> AssociatedData {
        AssociatedData::of(self.spi.value(), sequence, self.extended)
    }
}

/// The greatest alignment of any suite: a block of CBC.
const MOST_ALIGNMENT: usize = 16;

/// By version and bytes of padding. Padding bytes count up from 1.
static TAILS: [[Tail; MOST_ALIGNMENT]; 2] = [tails(Protocol::IPV4), tails(Protocol::IPV6)];

const fn tails(protocol: Protocol) -> [Tail; MOST_ALIGNMENT] {
    let mut tails = [Tail::EMPTY; MOST_ALIGNMENT];
    let mut padding = 0;
    while padding < MOST_ALIGNMENT {
        let mut bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0, 0];
        bytes[padding] = padding as u8;
        bytes[padding + 1] = protocol.0;
        tails[padding] = Tail::new(bytes, padding + TRAILER);
        padding += 1;
    }
    tails
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Salted(_) => "Salted(redacted)",
            Self::Plain => "Plain",
        })
    }
}
