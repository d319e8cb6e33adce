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
    pub shape: Shape,
    pub key: Key,
}

/// What a packet's lengths follow from.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Shape {
    /// Bytes around the ciphertext: header, initialisation vector and integrity check value.
    around: u8,
    /// The plaintext's alignment, a power of two, less 1.
    mask: u8,
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
            shape: Shape {
                around: (wire::esp::HEADER + suite.iv_length() + suite.tag_length()) as u8,
                mask: alignment as u8 - 1,
            },
            key: Key::new(suite, key)?,
        })
    }

    /// Bytes from the ESP header to the integrity check value of a packet that carries `inner` bytes.
    #[inline(always)]
    pub fn sealed_length(&self, inner: usize) -> usize {
        self.shape.sealed_length(inner)
    }

    /// What stands in front of initialisation vectors, of a suite that has it.
    #[inline(always)]
    pub fn salt(&self) -> Option<[u8; SALT]> {
        match &self.start {
            Start::Salted(salt) => Some(**salt),
            Start::Plain => None,
        }
    }

    /// Whether sequence numbers are 64 bits long.
    pub fn extended(&self) -> bool {
        self.extended
    }

    /// Bytes of the longest inner packet of which [`Transform::sealed_length`] is at most `esp`.
    pub fn longest_inner(&self, esp: usize) -> usize {
        let (around, mask) = (usize::from(self.shape.around), usize::from(self.shape.mask));
        (esp.saturating_sub(around) & !mask).saturating_sub(TRAILER)
    }

    /// The index that all packets bear.
    pub fn spi(&self) -> Spi {
        self.spi
    }

    /// Writes header and initialisation vector of a packet to the start of `esp`. Returns what the cipher starts with, and where the
    /// ciphertext goes.
    ///
    /// # Panics
    /// Where `esp` is shorter: the caller's own arithmetic.
    #[inline(always)]
    pub fn write_front<'p>(&self, sequence: u64, esp: &'p mut [u8]) -> (Nonce, &'p mut [u8]) {
        let (header, esp) = esp.split_first_chunk_mut().expect("room for the header");
        *header = header_of(self.spi, sequence);
        match &self.start {
            Start::Salted(salt) => {
                // RFC 4106 §3.1: any value that does not repeat will do, and the sequence number does not.
                let (iv, text) = esp.split_first_chunk_mut().expect("room for 8 bytes");
                let bytes = sequence.to_be_bytes();
                *iv = bytes;
                (Nonce::salted(**salt, bytes), text)
            }
            Start::Plain => {
                let (iv, text) = esp.split_first_chunk_mut().expect("room for 16 bytes");
                *iv = self.key.initialisation_vector(sequence).expect("CBC");
                (Nonce::block(*iv), text)
            }
        }
    }

    /// RFC 4106 §5, RFC 4303 §2.2.1: index and sequence number, all 64 bits of it where it is extended.
    #[inline(always)]
    pub fn associated_data(&self, sequence: u64) -> AssociatedData {
        AssociatedData::of(self.spi.value(), sequence, self.extended)
    }
}

impl Shape {
    /// Bytes around the ciphertext.
    #[inline(always)]
    pub fn around(self) -> usize {
        self.around.into()
    }

    /// See [`Transform::sealed_length`].
    #[inline(always)]
    pub fn sealed_length(self, inner: usize) -> usize {
        let (around, mask) = (usize::from(self.around), usize::from(self.mask));
        around + ((inner + TRAILER + mask) & !mask)
    }

    /// Bytes of the ciphertext in so many from the ESP header to the integrity check value; `None` where that is an impossible length.
    #[inline(always)]
    pub fn opened_length(self, sealed: usize) -> Option<usize> {
        // RFC 4303 §2.4: pad length and next header end on a boundary. Nothing is a multiple, too, and has no trailer.
        let length = sealed.checked_sub(usize::from(self.around))?;
        (length != 0 && length & usize::from(self.mask) == 0).then_some(length)
    }

    /// RFC 4303 §2.4: padding, its length and what the packet carries, one of the two IP versions.
    #[inline(always)]
    pub fn tail(self, inner: usize, is_v6: bool) -> Tail {
        let padding = (inner + TRAILER).wrapping_neg() & usize::from(self.mask);
        TAILS[usize::from(is_v6)][padding % MOST_ALIGNMENT]
    }
}

/// RFC 4303 §2: the index and the lower half of the sequence number.
#[inline(always)]
pub fn header_of(spi: Spi, sequence: u64) -> [u8; wire::esp::HEADER] {
    (u64::from(spi.value()) << 32 | u64::from(sequence as u32)).to_be_bytes()
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
